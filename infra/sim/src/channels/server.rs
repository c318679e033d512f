//! The HTTP server below every vendor.

use std::future::Future;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::{ALL, Channels, Play, Refusal};
use crate::frame::create;
use crate::frame::server::{Cut, accept};
use crate::frame::simulator::lock;
use crate::frame::wire::Inbound;

/// Larger than what any vendor takes of us.
const BODY_MAX: usize = 1 << 20;

impl Channels {
    /// Answers on the listener until `shutdown` ends; open connections are then dropped.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let channels = self.clone();
        accept(listener, shutdown, true, move |request| {
            let channels = channels.clone();
            async move { answer(&channels, request).await }
        })
        .await;
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
