//! The HTTP server below both providers: it logs calls and can close a connection unanswered.

use std::fmt;
use std::future::Future;
use std::pin::pin;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Call, CallKind, Fault, Provider, Simulator, fal, lock, runway};

/// What a provider does with a call.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(Response),
    /// Close the connection without a byte.
    Hangup,
}

impl<T: IntoResponse> From<T> for Answer {
    fn from(response: T) -> Self {
        Self::Reply(response.into_response())
    }
}

/// The service's error: hyper closes the connection on it, before any response header.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// Larger than any body that a provider takes (Runway's data URIs end at 5 MB).
const BODY_MAX: usize = 16 << 20;

pub(super) async fn serve(simulator: &Simulator, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(simulator.clone(), stream)); }
                Err(error) => tracing::warn!(%error, "a simulated provider could not accept a connection"),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn converse(simulator: Simulator, stream: TcpStream) {
    let service = service_fn(|request| answer(&simulator, request));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to a simulated provider ended early");
    }
}

async fn answer(simulator: &Simulator, request: Request<Incoming>) -> Result<Response, Cut> {
    let (call, body) = request.into_parts();
    // The body is read first, so that the caller of a cut call knows that it has sent everything.
    let body = match axum::body::to_bytes(Body::new(body), BODY_MAX).await {
        Ok(body) => body,
        Err(_) => return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
    };
    let kind = match simulator.provider {
        Provider::Fal => fal::target(&call).kind(),
        Provider::Runway => runway::target(&call).kind(),
    };
    note(simulator, kind, &call);
    let fault = take_cut(simulator, kind);
    if fault == Some(Fault::DropBefore) {
        return Err(Cut);
    }
    let answer = dispatch(simulator, &call, body).await;
    match answer {
        _ if fault == Some(Fault::DropAfter) => Err(Cut),
        Ok(Answer::Reply(response)) => Ok(response),
        Ok(Answer::Hangup) => Err(Cut),
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                path = call.uri.path(),
                "the simulator itself failed"
            );
            Ok((StatusCode::INTERNAL_SERVER_ERROR, format!("the simulator itself failed: {error:#}"))
                .into_response())
        }
    }
}

async fn dispatch(simulator: &Simulator, call: &Parts, body: Bytes) -> anyhow::Result<Answer> {
    match simulator.provider {
        Provider::Fal => fal::answer(simulator, call, &body).await,
        Provider::Runway => runway::answer(simulator, call, &body).await,
    }
}

fn note(simulator: &Simulator, kind: CallKind, call: &Parts) {
    lock(&simulator.desk.calls).push(Call {
        kind,
        method: call.method.to_string(),
        path: call.uri.path().to_owned(),
        authorized: call.headers.contains_key(AUTHORIZATION),
        at: simulator.clock.now(),
    });
}

fn take_cut(simulator: &Simulator, kind: CallKind) -> Option<Fault> {
    let mut cuts = lock(&simulator.desk.cuts);
    let index = cuts.iter().position(|(cut, _)| *cut == kind)?;
    Some(cuts.remove(index).1)
}

/// The value of a header, if it is there and text.
pub(super) fn header<'a>(call: &'a Parts, name: &str) -> Option<&'a str> {
    call.headers.get(name)?.to_str().ok()
}

/// The first value of a query parameter.
pub(super) fn query(call: &Parts, name: &str) -> Option<String> {
    let query = call.uri.query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
