//! Webhooks of Discord channels. A repeat is shown twice: it has no idempotency key.

use domain::delivery::Outcome;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::json;
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
        _ => {
            let wait = Answer::wait(&answer.json()["retry_after"]);
            Outcome::Later { wait: wait.or_else(|| answer.retry_after(now)) }
        }
    }
}
