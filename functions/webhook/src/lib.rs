//! `webhook`: verify the raw bytes, put the verdict on the `fetch` or `settle` queue, answer.

use std::convert::Infallible;

use bytes::Bytes;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt, Response};
use shared::boot::{Clock, Process, StartError, config};
use shared::domain::provider::Provider;
use shared::edge::http::{Problem, answer, body_bytes, json};
use shared::provider::{CallbackSecrets, Delivery, ProviderClient, Token, VerifyError, adapter};
use shared::store::queue::{Message, Source};
use shared::store::verdicts::Verdicts;

/// The largest webhook that is read, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Everything `webhook` may touch.
#[derive(Debug)]
pub struct App {
    pub providers: ProviderClient,
    pub verdicts: Verdicts,
    pub callback_secrets: CallbackSecrets,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let app = Self {
            providers: config::keyless_client(&mut read)?,
            verdicts: config::verdicts(process, &mut read),
            callback_secrets: config::callback_secrets(&mut read)?,
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(answer(&request, receive(app, &request)).await)
}

async fn receive(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let parameters = request.path_parameters();
    let provider: Provider =
        parameters.first("provider").unwrap_or_default().parse().map_err(|_unknown| Problem::not_found())?;
    let token = parameters.first("token").unwrap_or_default();
    let token = app.callback_secrets.verify(token).map_err(refused)?;
    if body_bytes(request).len() > BODY_BYTES_MAX {
        let detail = format!("A webhook may have at most {BODY_BYTES_MAX} bytes.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    let body = Bytes::copy_from_slice(body_bytes(request));
    let verified =
        app.providers.verify_webhook(provider, &token, request.headers(), body, app.clock.now()).await;
    let Delivery { body, signed } = verified.map_err(refused)?;
    if let Some(answer) = adapter(provider).challenge(&body) {
        return Ok(json(StatusCode::OK, &answer));
    }

    // Genuine from here on. What makes no sense is no verdict: the provider is asked.
    let notice = adapter(provider).read_webhook(&body);
    if let Err(unreadable) = &notice {
        tracing::warn!(provider.name = %provider, cause = unreadable.0, "webhook.unreadable");
    }
    let (remote, outcome) = notice.map_or((None, None), |notice| (notice.remote, notice.verdict));
    // What nobody signed is a hint: the provider is asked.
    let outcome = outcome.filter(|_| signed);
    let Token { job, attempt } = token.get().clone();
    tracing::info!(provider.name = %provider, job.id = %job, attempt, verdict = outcome.is_some(), "webhook.received");
    let message = Message::verdict(job, attempt, remote, outcome, Source::Webhook);
    // Only a durable verdict is acknowledged; otherwise they deliver it again.
    app.verdicts.send(&message, provider).await?;
    Ok(json(StatusCode::OK, &serde_json::json!({"received": true})))
}

fn refused(error: VerifyError) -> Problem {
    if error.is_ours() {
        return Problem::unavailable(&error);
    }
    let (status, code) = match error {
        VerifyError::NoWebhooks => return Problem::not_found(),
        VerifyError::Stale => (StatusCode::BAD_REQUEST, "stale_webhook"),
        error if error.is_stale_or_malformed() => (StatusCode::BAD_REQUEST, "malformed_webhook"),
        _ => (StatusCode::UNAUTHORIZED, "bad_signature"),
    };
    Problem::new(status, code, format!("This is not taken for a webhook of this provider: {error}."))
}
