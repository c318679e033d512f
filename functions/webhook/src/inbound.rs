//! Webhooks of inbound sources: verified, read, and queued for `notify`.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt, Response};
use serde_json::json;
use shared::edge::http::{Problem, json as answer};
use shared::edge::note_account;
use shared::inbound::{self, Content, Report, Source};
use shared::provider::VerifyError;
use shared::store::queue::{Message, SEND_MAX};
use url::Url;

use super::{App, body};

pub(super) async fn receive(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    let parameters = request.path_parameters();
    let parameter = |name| parameters.first(name).unwrap_or_default();
    let (name, token) = (parameter("source"), parameter("token"));
    let source = app.sources.find(name, token).ok_or_else(Problem::not_found)?;
    note_account(&source.account);
    let (headers, body, now) = (request.headers(), body(request)?, app.clock.now());
    let url = url(app, request, &inbound::path(name, token));
    let verified = source.verify(&app.platforms, &url, headers, body, now).await;
    let verified = verified.map_err(|error| refused(source, error))?;

    // Verified from here on.
    let query = request.uri().query().unwrap_or_default();
    let reports = match source.read(query, headers, &verified) {
        Ok(Content::Reports(reports)) => reports,
        Ok(Content::Challenge(challenge)) => {
            return Ok(answer(StatusCode::OK, &json!({"challenge": challenge})));
        }
        Ok(Content::Confirm(url)) => return confirm(app, source, &url).await,
        Err(unreadable) => {
            tracing::warn!(source = source.name.as_str(), cause = unreadable.0, "inbound.unreadable");
            let detail = format!("The webhook cannot be read: {unreadable}.");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed_webhook", detail));
        }
    };
    tracing::info!(source = source.name.as_str(), reports = reports.len(), "inbound.received");
    let group = source.account.as_str();
    let message = |report: Report| (Message::Inbound(Box::new(report.of(source, now))), group.to_owned());
    let messages: Vec<_> = reports.into_iter().map(message).collect();
    // Acknowledged only once all are durable; otherwise the platform delivers them again. A queue that
    // does not take the first ten is not asked for the rest.
    for some in messages.chunks(SEND_MAX) {
        for sent in app.notify.send_all(some).await {
            sent?;
        }
    }
    Ok(answer(StatusCode::OK, &json!({"received": true})))
}

/// Confirms the subscription of a topic that the owner configured.
async fn confirm(app: &App, source: &Source, url: &Url) -> Result<Response<Body>, Problem> {
    let source = source.name.as_str();
    if app.platforms.confirm(url).await {
        tracing::info!(source, "inbound.confirmed");
        return Ok(answer(StatusCode::OK, &json!({"received": true})));
    }
    tracing::warn!(source, "inbound.not_confirmed");
    let detail = "The subscription could not be confirmed. It is safe to retry.";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail))
}

/// The URL that the platform called, which some sign.
pub(super) fn url(app: &App, request: &Request, path: &str) -> String {
    let base = app.url.as_ref().map_or("", |url| url.as_str());
    match request.uri().query() {
        Some(query) => format!("{base}{path}?{query}"),
        None => format!("{base}{path}"),
    }
}

/// Without the reason, so that a forger learns nothing; unless we could not look.
fn refused(source: &Source, error: VerifyError) -> Problem {
    if error.is_ours() {
        return Problem::unavailable(&error);
    }
    tracing::warn!(source = source.name.as_str(), cause = error.to_string(), "inbound.refused");
    Problem::new(StatusCode::UNAUTHORIZED, "bad_signature", "Webhook verification failed.")
}
