//! Incoming webhooks of Slack. A repeat is shown twice: it has no idempotency key.

use domain::delivery::Outcome;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::json;

use super::client::{Answer, Envelope};
use super::text::line;

pub(super) fn request(post: RequestBuilder, envelope: Envelope<'_>) -> RequestBuilder {
    // Slack reads these three as markup.
    let text = line(envelope.body).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    post.json(&json!({"text": text, "unfurl_links": false}))
}

/// By <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>: `no_service`, a revoked
/// token, an archived channel are the end; `invalid_payload` is of this message.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Outcome {
    match answer.status.as_u16() {
        200 => Outcome::Delivered,
        403 | 404 | 410 => Outcome::Gone,
        400 => Outcome::Never,
        _ => Outcome::Later { wait: answer.retry_after(now) },
    }
}
