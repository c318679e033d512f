//! Webhooks of Discord channels. A repeat is shown twice: it has no idempotency key.

use std::time::Duration;

use domain::delivery::{Outcome, RETRY_AFTER_MAX};
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use url::Url;

use super::client::{Answer, Envelope};
use super::text::line;

/// Maximum length of a message, in characters.
const CONTENT_MAX: usize = 2_000;

pub(super) fn request(http: &reqwest::Client, mut url: Url, envelope: Envelope<'_>) -> RequestBuilder {
    let content: String = line(envelope.body).chars().take(CONTENT_MAX).collect();
    // With `wait`, the answer says whether the message was made. No name in it calls anyone.
    url.set_query(Some("wait=true"));
    http.post(url).json(&json!({"content": content, "allowed_mentions": {"parse": []}}))
}

/// By <https://docs.discord.com/developers/resources/webhook>: 404 is a deleted webhook, 401 a wrong token.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Outcome {
    match answer.status.as_u16() {
        200 | 204 => Outcome::Delivered,
        401 | 404 => Outcome::Gone,
        400 => Outcome::Never,
        _ => Outcome::Later { wait: pause(answer).or_else(|| answer.retry_after(now)) },
    }
}

/// `retry_after` of a rate limit: seconds with a fraction, rounded up.
fn pause(answer: &Answer) -> Option<Duration> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let seconds = body.get("retry_after")?.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(RETRY_AFTER_MAX).min(RETRY_AFTER_MAX))
}
