//! `webhook`: verify the raw body, queue the verdict for `fetch` or `settle`, answer. What comes from
//! inbound sources is queued for `notify`, and what comes from payment processors for `payment`.

mod inbound;
mod payments;

use std::convert::Infallible;

use bytes::Bytes;
use domain::provider::Provider;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt, Response};
use shared::boot::{self, Clock, Process, StartError, config};
use shared::edge::http::{Problem, answer, body_bytes, json};
use shared::edge::note_job;
use shared::inbound::{Platforms, Sources};
use shared::payment::Webhooks;
use shared::provider::{CallbackSecrets, Delivery, ProviderClient, Token, Verified, VerifyError, adapter};
use shared::store::queue::{Message, Queue, Sender};
use shared::store::verdicts::Verdicts;
use url::Url;

/// Maximum size of a webhook, in bytes: an escaped body must fit into a Lambda event.
const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Everything `webhook` may touch.
#[derive(Debug)]
pub struct App {
    pub providers: ProviderClient,
    pub verdicts: Verdicts,
    pub callback_secrets: CallbackSecrets,
    /// Providers in use.
    pub sold: Vec<Provider>,
    pub sources: Sources,
    pub platforms: Platforms,
    /// The API's own URL, as inbound sources call it: some sign it.
    pub url: Option<Url>,
    pub notify: Queue,
    pub payments: Webhooks,
    pub payment: Queue,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let app = Self {
            providers: config::keyless_client(&mut read)?,
            verdicts: config::verdicts(process, &mut read),
            callback_secrets: config::callback_secrets(&mut read)?,
            sold: config::providers(&mut read),
            sources: config::inbound_sources(&mut read),
            platforms: config::platforms(&mut read),
            url: config::public_url(&mut read, "WEBHOOK_BASE_URL"),
            notify: config::queue(process, &mut read, "NOTIFY_QUEUE_URL"),
            payments: boot::payments::webhooks(&mut read),
            payment: config::queue(process, &mut read, "PAYMENT_QUEUE_URL"),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    let received = async {
        let has = |name| request.path_parameters_ref().is_some_and(|all| all.first(name).is_some());
        match (has("source"), has("processor")) {
            (true, _) => inbound::receive(app, &request).await,
            (_, true) => payments::receive(app, &request).await,
            _ => receive(app, &request).await,
        }
    };
    Ok(answer(&request, received).await)
}

async fn receive(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let parameters = request.path_parameters();
    let provider: Provider =
        parameters.first("provider").unwrap_or_default().parse().map_err(|_unknown| Problem::not_found())?;
    if adapter(provider).capabilities().webhooks.is_none() {
        return Err(Problem::not_found());
    }
    let token = parameters.first("token").unwrap_or_default();
    let (token, old_token) = verify_token(app, token, provider).map_err(refused)?;
    let body = body(request)?;
    let verified =
        app.providers.verify_webhook(provider, &token, request.headers(), body, app.clock.now()).await;
    let Delivery { body, signed, user } = verified.map_err(refused)?;
    if let Some(answer) = adapter(provider).challenge(&body) {
        return Ok(json(StatusCode::OK, &answer));
    }

    // Verified from here on. Without a readable verdict the provider is polled.
    let notice = adapter(provider).read_webhook(&body);
    if let Err(unreadable) = &notice {
        tracing::warn!(provider = %provider, cause = unreadable.0, "webhook.unreadable");
    }
    let (remote, outcome) = notice.map_or((None, None), |notice| (notice.remote, notice.verdict));
    // An unsigned notification only triggers a poll.
    let outcome = outcome.filter(|_| signed);
    let Token { job, attempt, .. } = token.get().clone();
    note_job(&job);
    tracing::info!(provider = %provider, job = %job, attempt, verdict = outcome.is_some(), "webhook.received");
    let message = Message::report(job, attempt, remote, outcome, Sender { provider, user, old_token });
    // Acknowledged only once it is durable; otherwise the provider delivers it again.
    app.verdicts.send(&message, provider).await?;
    Ok(json(StatusCode::OK, &serde_json::json!({"received": true})))
}

/// The unchanged bytes of the body.
fn body(request: &Request) -> Result<Bytes, Problem> {
    let bytes = body_bytes(request);
    if bytes.len() > BODY_BYTES_MAX {
        let detail = format!("A webhook may have at most {BODY_BYTES_MAX} bytes.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    Ok(Bytes::copy_from_slice(bytes))
}

/// The verified token of a callback URL, and whether an older release made it. Old tokens do not
/// name the provider: they are accepted only for providers in use, and `settle` and `fetch` compare
/// the attempt's provider and age.
fn verify_token(app: &App, text: &str, provider: Provider) -> Result<(Verified<Token>, bool), VerifyError> {
    match app.callback_secrets.verify(text, provider) {
        Err(_) if app.sold.contains(&provider) => {
            app.callback_secrets.verify_old(text, provider).map(|token| (token, true))
        }
        token => token.map(|token| (token, false)),
    }
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
    Problem::new(status, code, format!("Webhook verification failed: {error}."))
}
