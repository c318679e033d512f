//! Pub/Sub: <https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish>. A topic whose name begins
//! with `gone` does not exist.

use axum::response::Response;
use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};

use super::super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use super::{check, failed, refusal};
use crate::frame::wire::Inbound;

const SCOPE: &str = "https://www.googleapis.com/auth/pubsub";
const MESSAGE_MAX: usize = 10 << 20;

#[derive(Debug)]
pub(crate) struct Pubsub;

impl Channel for Pubsub {
    fn name(&self) -> &'static str {
        "pubsub"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        topic(call).is_some() && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        check(channels, call, SCOPE)?;
        let to = topic(call).unwrap_or_default().to_owned();
        if to.rsplit('/').next().is_some_and(|name| name.starts_with("gone")) {
            return Err(self.refusal(Refusal::Gone).into());
        }
        let body: Value = call.object().map_err(|_none| wrong("Invalid JSON payload received."))?.into();
        let Some([message]) = body["messages"].as_array().map(Vec::as_slice) else {
            return Err(wrong("The value for message_count is too small or too large.").into());
        };
        let data = message["data"].as_str().and_then(|text| BASE64.decode(text.as_bytes()).ok());
        let text = data.and_then(|data| String::from_utf8(data).ok());
        let Some(text) = text.filter(|text| !text.is_empty() && text.len() <= MESSAGE_MAX) else {
            return Err(wrong("Base64 decoding failed, or the message has no data.").into());
        };
        let attributes = message["attributes"].as_object();
        if !attributes.into_iter().flatten().all(|(_, value)| value.is_string()) {
            return Err(wrong("Invalid value at 'messages[0].attributes' (TYPE_STRING)").into());
        }
        let id = channels.next_number().to_string();
        let taken = Taken { channel: self.name(), to, text, body: body.clone() };
        Ok((Some(taken), answer(200, &json!({"messageIds": [id]}))))
    }

    fn refusal(&self, why: Refusal) -> Response {
        refusal(why, "Resource not found (resource=topic).")
    }
}

fn topic(call: &Inbound) -> Option<&str> {
    let topic = call.path().strip_prefix("/v1/")?.strip_suffix(":publish")?;
    topic.starts_with("projects/").then_some(topic)
}

fn wrong(message: &str) -> Response {
    failed(400, "INVALID_ARGUMENT", message, &json!([]))
}
