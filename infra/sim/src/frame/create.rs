//! Creates of remote jobs, with their faults.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use axum::response::{Html, IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Map, Value};

use super::call::Says;
use super::jobs::{Callback, Medium, RemoteJob};
use super::play::{CreatePlay, Failure, Play, Refusal, RetryAfter, Then, WebhookPlay};
use super::simulator::Simulator;
use super::webhook;
use super::wire::Answer;

/// A valid create.
#[derive(Debug)]
pub(crate) struct NewJob {
    /// The id of the new remote job.
    pub(crate) id: String,
    pub(crate) endpoint: String,
    pub(crate) prompt: String,
    pub(crate) medium: Medium,
    pub(crate) aspect: (u32, u32),
    pub(crate) callback: Option<Callback>,
    pub(crate) extra: Value,
    pub(crate) play: Play,
}

/// The prompt of an input: its field `prompt`, or the first text with a blank.
pub(crate) fn prompt(input: &Map<String, Value>) -> String {
    let named = input.get("prompt").and_then(Value::as_str);
    let sentence = || input.values().filter_map(Value::as_str).find(|text| text.contains(' '));
    named.or_else(sentence).unwrap_or_default().to_owned()
}

/// Runs a create with its faults; `accept` builds the provider's answer to a success.
pub(crate) async fn play<F>(
    simulator: &Simulator,
    mut new_job: NewJob,
    accept: impl FnOnce(RemoteJob) -> F,
) -> anyhow::Result<Answer>
where
    F: Future<Output = anyhow::Result<Response>>,
{
    if simulator.lacks_image {
        new_job.play.fail = Some(Failure::Invalid);
    }
    let create = match new_job.play.times {
        Some(times) if simulator.store.count_create(&new_job.prompt)? > times => CreatePlay::Accept,
        _ => new_job.play.create,
    };
    match create {
        CreatePlay::Refuse(refusal) => {
            return Ok(Answer::Reply(refuse(simulator, refusal, new_job.play.retry_after)?));
        }
        CreatePlay::DropBefore => return Ok(Answer::Hangup),
        CreatePlay::Html => return Ok((StatusCode::BAD_GATEWAY, gateway_page()).into()),
        CreatePlay::SameId => {
            let same = |job: &RemoteJob| job.endpoint == new_job.endpoint;
            if let Some(earlier) = simulator.store.all()?.into_iter().rfind(same) {
                return Ok(Answer::Reply(accepted(accept(earlier).await?)));
            }
        }
        CreatePlay::Accept | CreatePlay::DropAfter | CreatePlay::Slow(_) | CreatePlay::AcceptThen(_) => {}
    }
    let early = new_job.play.webhook == WebhookPlay::Early;
    let job = remote_job(simulator, new_job);
    simulator.store.insert(&job)?;
    if early {
        webhook::deliver_one(simulator, &job.id).await?;
    }
    match create {
        CreatePlay::DropAfter => return Ok(Answer::Hangup),
        CreatePlay::AcceptThen(then) => return Ok(Answer::Reply(in_place_of_success(simulator, then))),
        CreatePlay::Slow(span) => pause(span).await,
        _ => {}
    }
    Ok(Answer::Reply(accepted(accept(job).await?)))
}

/// Marks the answer as one that names the remote job or contains its output, unless it is already marked
/// as spoilt.
fn accepted(response: Response) -> Response {
    if response.extensions().get::<Says>().is_some() { response } else { says(response, Says::Accepted) }
}

pub(crate) fn says(mut response: Response, says: Says) -> Response {
    response.extensions_mut().insert(says);
    response
}

/// A refusal in the provider's format, with `Retry-After`.
pub(crate) fn refuse(
    simulator: &Simulator,
    refusal: Refusal,
    retry_after: Option<RetryAfter>,
) -> anyhow::Result<Response> {
    let response = simulator.wire.refusal(refusal);
    // After an error of the server, a remote job may exist.
    let response = match refusal {
        Refusal::Internal | Refusal::Unavailable => response,
        _ => says(response, Says::Refused),
    };
    with_retry_after(simulator, response, retry_after)
}

/// Adds `Retry-After` to an answer.
pub(crate) fn with_retry_after(
    simulator: &Simulator,
    mut response: Response,
    retry_after: Option<RetryAfter>,
) -> anyhow::Result<Response> {
    let value = match retry_after {
        None => return Ok(response),
        Some(RetryAfter::Seconds(span)) => HeaderValue::from(span),
        Some(RetryAfter::Tenths(span)) => HeaderValue::from_str(&format!("{}.{}", span / 10, span % 10))?,
        Some(RetryAfter::Date(span)) => {
            let at = simulator.clock.now() + Duration::from_secs(span.into());
            let at = jiff::Timestamp::from_second(at.as_secs())?;
            HeaderValue::from_str(&DateTimePrinter::new().timestamp_to_rfc9110_string(&at)?)?
        }
    };
    response.headers_mut().insert(RETRY_AFTER, value);
    Ok(response)
}

/// The error answer to a call that took effect.
pub(crate) fn in_place_of_success(simulator: &Simulator, then: Then) -> Response {
    match then {
        Then::Html => (StatusCode::BAD_GATEWAY, gateway_page()).into_response(),
        Then::Error(code) => error(simulator, code),
    }
}

/// An error in the provider's format, with this status if the provider uses HTTP statuses.
pub(crate) fn error(simulator: &Simulator, code: u16) -> Response {
    let mut response = simulator.wire.refusal(match code {
        403 => Refusal::WrongKey,
        503 => Refusal::Unavailable,
        _ => Refusal::Internal,
    });
    if let Ok(code) = StatusCode::from_u16(code) {
        *response.status_mut() = code;
    }
    response
}

fn remote_job(simulator: &Simulator, new_job: NewJob) -> RemoteJob {
    let latency = match new_job.play.webhook {
        WebhookPlay::Early => Duration::ZERO,
        _ => new_job.play.latency.unwrap_or(simulator.options.latency),
    };
    let mut job = RemoteJob {
        id: new_job.id,
        endpoint: new_job.endpoint,
        prompt: new_job.prompt,
        medium: new_job.medium,
        aspect: new_job.aspect,
        extra: new_job.extra,
        created_at: simulator.clock.now(),
        latency,
        play: new_job.play,
        canceled_at: None,
        deleted: false,
        webhook: None,
        results: 0,
        downloads: 0,
    };
    if let Some(callback) = new_job.callback {
        job.request_webhook(callback);
    }
    job
}

/// A random UUID, version 4.
pub(crate) fn uuid() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no randomness")?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = HEXLOWER.encode(&bytes);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// What a proxy shows instead of the provider's answer.
pub(crate) fn gateway_page() -> Response {
    Html("<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>")
        .into_response()
}

/// Waits in real time, because the caller's timeouts run in real time.
#[expect(clippy::disallowed_methods, reason = "a slow provider is slow in real time")]
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
