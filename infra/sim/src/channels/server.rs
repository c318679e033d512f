//! The HTTP server below every vendor.

use std::future::Future;
use std::pin::pin;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{ALL, Channels, Play, Refusal};
use crate::frame::create;
use crate::frame::server::Cut;
use crate::frame::simulator::lock;
use crate::frame::wire::Inbound;
use crate::guard;

/// Larger than what any vendor takes of us.
const BODY_MAX: usize = 1 << 20;

impl Channels {
    /// Answers on the listener until `shutdown` ends; open connections are then dropped.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => { connections.spawn(converse(self.clone(), stream)); }
                    Err(error) => tracing::warn!(%error, "a simulated channel could not accept a connection"),
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }
}

async fn converse(channels: Channels, stream: TcpStream) {
    let service = service_fn(async |request: Request<Incoming>| {
        if guard::is_foreign(request.headers(), None) {
            return Ok(guard::refused());
        }
        answer(&channels, request).await
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to a simulated channel ended early");
    }
}

async fn answer(channels: &Channels, request: Request<Incoming>) -> Result<Response, Cut> {
    let (parts, body) = request.into_parts();
    let call = match axum::body::to_bytes(Body::new(body), BODY_MAX).await {
        Ok(body) => Inbound { parts, body },
        Err(_) => return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
    };
    let Some(channel) = ALL.iter().find(|channel| channel.is_for(&call)) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let play = channels.next_play(channel.name());
    let refusal = match play {
        Some(Play::Busy(seconds)) => Some(Refusal::Busy(seconds)),
        Some(Play::Gone) => Some(Refusal::Gone),
        Some(Play::Unauthorized) => Some(Refusal::Unauthorized),
        Some(Play::Down) => Some(Refusal::Down),
        Some(Play::Slow(_) | Play::Lost) | None => None,
    };
    if let Some(refusal) = refusal {
        return Ok(channel.refusal(refusal));
    }
    let response = match channel.take(channels, &call) {
        Ok((taken, response)) => {
            lock(&channels.0.taken).extend(taken);
            response
        }
        Err(response) => *response,
    };
    match play {
        Some(Play::Lost) => Err(Cut),
        Some(Play::Slow(span)) => {
            create::pause(span).await;
            Ok(response)
        }
        _ => Ok(response),
    }
}
