//! Webhooks of Discord's channels: <https://docs.discord.com/developers/resources/webhook>.
//!
//! The webhook of the id 404 is deleted, and the token `gone` is wrong.

use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use crate::frame::wire::Inbound;

const CONTENT_MAX: usize = 2_000;

#[derive(Debug)]
pub(super) struct Discord;

impl Channel for Discord {
    fn name(&self) -> &'static str {
        "discord"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        webhook(call).is_some() && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        let (id, token) = webhook(call).unwrap_or_default();
        if id == "404" {
            return Err(self.refusal(Refusal::Gone).into());
        }
        if token == "gone" {
            return Err(self.refusal(Refusal::Unauthorized).into());
        }
        let message: Value = call.object().unwrap_or_default().into();
        let content = message["content"].as_str().unwrap_or_default();
        if content.is_empty() || content.chars().count() > CONTENT_MAX {
            return Err(answer(400, &json!({"code": 50035, "message": "Invalid Form Body"})).into());
        }
        let number = channels.next_number().to_string();
        let response = match call.query("wait").as_deref() {
            Some("true") => answer(200, &json!({"id": number, "content": content})),
            _ => StatusCode::NO_CONTENT.into_response(),
        };
        let (to, text) = (id.to_owned(), content.to_owned());
        Ok((Some(Taken { channel: self.name(), to, text, body: message }), response))
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Busy(seconds) => {
                let seconds = f64::from(seconds) - 0.5;
                let message = "You are being rate limited.";
                answer(429, &json!({"message": message, "retry_after": seconds, "global": false}))
            }
            Refusal::Gone => answer(404, &json!({"message": "Unknown Webhook", "code": 10015})),
            Refusal::Unauthorized => answer(401, &json!({"message": "Invalid Webhook Token", "code": 50027})),
            Refusal::Down => answer(500, &json!({"message": "500: Internal Server Error", "code": 0})),
        }
    }
}

/// The id and token of `/api/webhooks/{id}/{token}`, perhaps with a version.
fn webhook(call: &Inbound) -> Option<(&str, &str)> {
    let path = call.path().strip_prefix("/api/")?;
    let path = match path.split_once('/')? {
        (version, rest) if version.starts_with('v') => rest,
        _ => path,
    };
    path.strip_prefix("webhooks/")?.split_once('/')
}
