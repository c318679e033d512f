//! Webhooks of payment processors: proved, and queued for `payment` with what to ask about.

use std::time::Duration;

use domain::payment::Processor;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt, Response};
use serde_json::json;
use shared::edge::http::{Problem, json as answer};
use shared::payment::Unread;
use shared::provider::VerifyError;
use shared::store::queue::Message;

use super::{App, body, inbound};

pub(super) async fn receive(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let parameters = request.path_parameters();
    let name = parameters.first("processor").unwrap_or_default();
    let processor: Processor = name.parse().map_err(|_unknown| Problem::not_found())?;
    let (headers, now) = (request.headers(), app.clock.now());
    let url = inbound::url(app, request, &format!("v1/payments/{name}"));
    let verified = app.payments.verify(processor, &app.platforms, (&url, headers, body(request)?), now).await;
    let verified = verified.map_err(|error| refused(processor, error))?;

    // Proved from here on. It says what to ask about, and nothing of it is believed.
    let about = app.payments.read(processor, headers, &verified).map_err(|unread| {
        tracing::warn!(processor = name, cause = unread.to_string(), "payment.unread");
        let detail = format!("The webhook is not taken: {unread}.");
        match unread {
            Unread::Malformed => Problem::new(StatusCode::BAD_REQUEST, "malformed_webhook", detail),
            Unread::WrongMode => Problem::new(StatusCode::BAD_REQUEST, "wrong_mode", detail),
        }
    })?;
    tracing::info!(processor = name, is_ours = about.is_some(), "payment.reported");
    if let Some(about) = about {
        // Acknowledged only once it is durable; otherwise the processor delivers it again.
        let message = Message::Payment { processor, about, listed: false };
        app.payment.send(&message, Some(processor.name()), Duration::ZERO).await?;
    }
    Ok(answer(StatusCode::OK, &json!({"received": true})))
}

/// Without the reason, so that a forger learns nothing; unless we could not look.
fn refused(processor: Processor, error: VerifyError) -> Problem {
    if error.is_ours() {
        return Problem::unavailable(&error);
    }
    if error == VerifyError::NoWebhooks {
        return Problem::not_found();
    }
    tracing::warn!(processor = processor.name(), cause = error.to_string(), "payment.forged");
    Problem::new(StatusCode::UNAUTHORIZED, "bad_signature", "Webhook verification failed.")
}
