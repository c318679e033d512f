//! The HTTP server below every processor.

use std::future::Future;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::net::TcpListener;

use super::{Payments, Play, abacate, pages, paypal, stripe};
use crate::frame::server::{Cut, accept};
use crate::frame::simulator::lock;
use crate::frame::wire::Inbound;

/// Larger than what any processor takes of us.
const BODY_MAX: usize = 1 << 20;

/// An answer: its status and its JSON.
pub(super) type Reply = (u16, Value);

impl Payments {
    /// Answers on the listener until `shutdown` ends; open connections are then dropped.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let base = listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default();
        let payments = self.clone();
        accept(listener, shutdown, true, move |request| {
            let (payments, base) = (payments.clone(), base.clone());
            async move { answer(&payments, &base, request).await }
        })
        .await;
    }
}

async fn answer(payments: &Payments, base: &str, request: Request<Incoming>) -> Result<Response, Cut> {
    let (parts, body) = request.into_parts();
    let call = match axum::body::to_bytes(Body::new(body), BODY_MAX).await {
        Ok(body) => Inbound { parts, body },
        Err(_) => return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
    };
    let name = format!("{} {}", call.parts.method, call.path());
    lock(&payments.0.calls).push(name.clone());
    if let Some(page) = pages::answer(payments, &call) {
        return Ok(page);
    }
    let play = next_play(payments, &name);
    let refusal = match play {
        Some(Play::Busy(_)) => Some(429),
        Some(Play::Unauthorized) => Some(401),
        Some(Play::Refused) => Some(422),
        Some(Play::FailBefore) => Some(500),
        Some(Play::FailAfter | Play::Lost) | None => None,
    };
    if let Some(status) = refusal {
        let mut response = reply(refused(&call, status));
        if let Some(Play::Busy(seconds)) = play {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        return Ok(response);
    }
    let answered = payments.change(|books, now| {
        let path = call.path();
        if abacate::is_own(path) {
            abacate::answer(books, base, &call, now)
        } else if is_paypals(path) {
            paypal::answer(books, base, &call, now)
        } else {
            stripe::answer(books, base, &call, now)
        }
    });
    match play {
        Some(Play::FailAfter) => Ok(reply(refused(&call, 500))),
        Some(Play::Lost) => Err(Cut),
        _ => Ok(reply(answered)),
    }
}

fn is_paypals(path: &str) -> bool {
    let begins = ["/v2/", "/v1/oauth2/", "/v1/notifications/", "/v1/customer/"];
    begins.iter().any(|begin| path.starts_with(begin))
}

fn next_play(payments: &Payments, call: &str) -> Option<Play> {
    let mut plays = lock(&payments.0.plays);
    let index = plays.iter().position(|(of, _)| call.starts_with(of.as_str()))?;
    Some(plays.remove(index).1)
}

fn refused(call: &Inbound, status: u16) -> Reply {
    match call.path() {
        path if is_paypals(path) && status == 422 => {
            paypal::error(status, "UNPROCESSABLE_ENTITY", Some("PAYEE_ACCOUNT_RESTRICTED"))
        }
        path if abacate::is_own(path) => abacate::error(status, "unavailable"),
        path if is_paypals(path) => paypal::error(status, "INTERNAL_SERVER_ERROR", None),
        _ => stripe::error(status, "api_error", None, "unavailable"),
    }
}

fn reply((status, body): Reply) -> Response {
    (StatusCode::from_u16(status).unwrap_or_default(), Json(body)).into_response()
}
