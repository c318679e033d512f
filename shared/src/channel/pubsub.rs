//! Topics of Google Pub/Sub: the body of a webhook, with the event's id in it. Only those that the owner lists.

use data_encoding::BASE64;
use domain::delivery::Outcome;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::client::{Answer, Channels, Envelope};
use super::google;
use super::senders::SenderRefused;
use super::text::with_id;
use crate::outside::service_account::Grant;

const SCOPE: &str = "https://www.googleapis.com/auth/pubsub";

/// By <https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish>.
pub(super) async fn request(
    channels: &Channels,
    topic: &str,
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let token = google::token(channels, Grant::Scope(SCOPE), now).await?;
    let body: Value = serde_json::from_str(envelope.body).unwrap_or_default();
    let message = json!({
        "data": BASE64.encode(with_id(envelope).as_bytes()),
        "attributes": {"type": body["type"], "id": envelope.id},
    });
    let post = channels.post("pubsub.googleapis.com", &format!("/v1/{topic}:publish"));
    Ok(post.bearer_auth(token.expose()).json(&json!({"messages": [message]})))
}

/// A topic that may not be written to is the owner's to allow.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    if answer.status == 404 { Ok(Outcome::Gone) } else { google::outcome(answer, now) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, answer};
    use super::*;

    #[test]
    fn each_answer_has_its_outcome() {
        for (status, outcome) in [
            (200, Ok(Outcome::Delivered)),
            (400, Ok(Outcome::Never)),
            (401, Err(SenderRefused)),
            (403, Err(SenderRefused)),
            (404, Ok(Outcome::Gone)),
            (413, Ok(Outcome::Never)),
            (429, Ok(Outcome::Later { wait: Some(google::PAUSE) })),
            (503, Ok(Outcome::Later { wait: None })),
        ] {
            assert_eq!(super::outcome(&answer(status, &[], "{}"), NOW), outcome, "{status}");
        }
    }
}
