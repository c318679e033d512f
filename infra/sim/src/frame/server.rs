//! The HTTP server below every provider: it logs calls and can close a connection unanswered.

use std::fmt;
use std::future::Future;
use std::pin::pin;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::guard;

use super::call::{Call, CallKind, Fault};
use super::play::{CreatePlay, Refusal};
use super::poll::Hang;
use super::simulator::{Simulator, lock};
use super::wire::{Answer, Inbound};
use super::{create, images, media};

/// The service's error: hyper closes the connection on it, before any response header.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// Larger than any body that a provider takes (Runway's data URIs end at 5 MB).
const BODY_MAX: usize = 16 << 20;

impl Simulator {
    /// Answers on the listener until `shutdown` ends; open connections are then dropped.
    ///
    /// # Errors
    ///
    /// If the listener has no address.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let local = format!("http://{}", listener.local_addr()?);
        *lock(&self.memory.base) = self.options.public_url.clone().unwrap_or(local);
        serve(self, listener, shutdown).await;
        Ok(())
    }
}

async fn serve(simulator: &Simulator, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    // On another address, the name of that machine is not known.
    let is_guarded = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let simulator = simulator.clone();
    accept(listener, shutdown, is_guarded, move |request| {
        let simulator = simulator.clone();
        async move { answer(&simulator, request).await }
    })
    .await;
}

/// Answers every request on the listener until `shutdown` ends; open connections are then dropped. A
/// guarded server refuses requests for another host, as browsers send them after a DNS rebinding.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    is_guarded: bool,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Result<Response, Cut>> + Send + 'static,
{
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(stream, is_guarded, answer.clone())); }
                Err(error) => tracing::warn!(%error, "a simulator could not accept a connection"),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn converse<F>(
    stream: TcpStream,
    is_guarded: bool,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Result<Response, Cut>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            if is_guarded && guard::is_foreign(request.headers(), None) {
                return Ok(guard::refused());
            }
            answer(request).await
        }
    });
    // HTTP/1, or HTTP/2 as who knows that it is spoken here begins it.
    let server = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to a simulator ended early");
    }
}

async fn answer(simulator: &Simulator, request: Request<Incoming>) -> Result<Response, Cut> {
    let (parts, body) = request.into_parts();
    // The body is read first, so that the caller of a cut call knows that it has sent everything.
    let call = match axum::body::to_bytes(Body::new(body), BODY_MAX).await {
        Ok(body) => Inbound { parts, body },
        Err(_) => return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
    };
    let medium = simulator.wire.media(call.path()).filter(|_| call.is(&Method::GET));
    let kind = if medium.is_some() { CallKind::Media } else { simulator.wire.kind(&call) };
    let index = note(simulator, kind, &call);
    let response = respond(simulator, &call, kind, medium).await?;
    if let Some(noted) = lock(&simulator.memory.calls).get_mut(index) {
        noted.status = Some(response.status().as_u16());
        noted.says = response.extensions().get().copied();
    }
    Ok(response)
}

async fn respond(
    simulator: &Simulator,
    call: &Inbound,
    kind: CallKind,
    medium: Option<&str>,
) -> Result<Response, Cut> {
    let profile = simulator.fault_profile();
    let fault = match profile.all {
        CreatePlay::Refuse(refusal) => {
            return Ok(or_failed(create::refuse(simulator, refusal, profile.retry_after), call));
        }
        CreatePlay::Html => return Ok((StatusCode::BAD_GATEWAY, create::gateway_page()).into_response()),
        CreatePlay::DropBefore => Some(Fault::DropBefore),
        CreatePlay::DropAfter => Some(Fault::DropAfter),
        CreatePlay::Accept | CreatePlay::AcceptThen(_) | CreatePlay::Slow(_) | CreatePlay::SameId => {
            take_cut(simulator, kind)
        }
    };
    if fault == Some(Fault::DropBefore) {
        return Err(Cut);
    }
    let answer = match medium {
        Some(_) if simulator.wire.media_need_key() && !simulator.is_authorized(call) => {
            Ok(simulator.wire.refusal(Refusal::WrongKey).into())
        }
        Some(id) => media::answer(simulator, call, id).await,
        None => {
            let lacks_image = kind == CallKind::Create && !images::are_there(simulator, call).await;
            let simulator = Simulator { lacks_image, ..simulator.clone() };
            simulator.wire.answer(&simulator, call).await
        }
    };
    if fault == Some(Fault::DropAfter) {
        return Err(Cut);
    }
    match (answer, profile.all) {
        // A refusal is not replaced.
        (Ok(Answer::Reply(response)), CreatePlay::AcceptThen(then)) if response.status().is_success() => {
            Ok(create::in_place_of_success(simulator, then))
        }
        (answer, _) => finish(answer, call).await,
    }
}

async fn finish(answer: anyhow::Result<Answer>, call: &Inbound) -> Result<Response, Cut> {
    match answer {
        Ok(Answer::Reply(response)) => {
            if let Some(Hang(span)) = response.extensions().get() {
                create::pause(*span).await;
            }
            Ok(response)
        }
        Ok(Answer::Hangup) => Err(Cut),
        Err(error) => Ok(or_failed(Err(error), call)),
    }
}

fn or_failed(answer: anyhow::Result<Response>, call: &Inbound) -> Response {
    answer.unwrap_or_else(|error| {
        let error = format!("{error:#}");
        tracing::error!(error, path = call.path(), "the simulator itself failed");
        let text = format!("the simulator itself failed: {error}");
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    })
}

/// Logs a call, and returns its index in the log.
fn note(simulator: &Simulator, kind: CallKind, call: &Inbound) -> usize {
    let has_key = simulator.wire.key(call).is_some();
    let mut calls = lock(&simulator.memory.calls);
    calls.push(Call {
        kind,
        method: call.parts.method.to_string(),
        path: call.path().to_owned(),
        authorized: has_key || call.parts.headers.contains_key(AUTHORIZATION),
        at: simulator.clock.now(),
        status: None,
        says: None,
    });
    calls.len() - 1
}

fn take_cut(simulator: &Simulator, kind: CallKind) -> Option<Fault> {
    let mut cuts = lock(&simulator.memory.cuts);
    let index = cuts.iter().position(|(cut, _)| *cut == kind)?;
    Some(cuts.remove(index).1)
}
