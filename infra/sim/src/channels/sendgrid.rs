//! SendGrid's v3 Mail Send: <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>.

use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use crate::frame::wire::Inbound;

const KEY: &str = "SG.simulated";
const FROM: &str = "events@genmux.example";

#[derive(Debug)]
pub(super) struct Sendgrid;

impl Channel for Sendgrid {
    fn name(&self) -> &'static str {
        "sendgrid"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path() == "/v3/mail/send" && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        if call.authorization("Bearer ") != Some(KEY) {
            return Err(self.refusal(Refusal::Unauthorized).into());
        }
        let body: Value = call.object().map_err(|_none| wrong(Value::Null, "Bad Request"))?.into();
        let to = checked(&body)?;
        if body["from"]["email"] != FROM {
            let message = "The from address does not match a verified Sender Identity.";
            return Err(answer(403, &errors(json!("from"), message)).into());
        }
        let subject = body["subject"].as_str().unwrap_or_default();
        let text = format!("{subject}\n{}", body["content"][0]["value"].as_str().unwrap_or_default());
        let id = format!("simulated-{}", channels.next_number());
        let response = (StatusCode::ACCEPTED, [("x-message-id", id)]).into_response();
        Ok((Some(Taken { channel: self.name(), to, text, body }), response))
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Busy(seconds) => {
                let body = answer(429, &errors(Value::Null, "too many requests"));
                ([("retry-after", seconds.to_string())], body).into_response()
            }
            // A mail has no such answer.
            Refusal::Gone => {
                wrong(json!("personalizations.0.to.0.email"), "Does not contain a valid address.")
            }
            Refusal::Unauthorized => answer(
                401,
                &errors(Value::Null, "The provided authorization grant is invalid, expired, or revoked"),
            ),
            Refusal::Down => answer(503, &errors(Value::Null, "service unavailable")),
        }
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("SENDGRID_API_KEY", KEY.to_owned()), ("EMAIL_FROM", format!("Genmux <{FROM}>"))]
    }
}

fn errors(field: Value, message: &str) -> Value {
    json!({"errors": [{"message": message, "field": field, "help": null}]})
}

fn wrong(field: Value, message: &str) -> Response {
    answer(400, &errors(field, message))
}

/// The one recipient of a mail that has all that it needs.
fn checked(body: &Value) -> Result<String, Box<Response>> {
    let to = body["personalizations"][0]["to"][0]["email"].as_str().unwrap_or_default();
    if !to.contains('@') {
        return Err(wrong(json!("personalizations.0.to.0.email"), "Does not contain a valid address.").into());
    }
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    if !is_text(&body["subject"]) {
        return Err(wrong(json!("subject"), "The subject is required.").into());
    }
    if !is_text(&body["content"][0]["value"]) || !is_text(&body["content"][0]["type"]) {
        return Err(wrong(
            json!("content"),
            "The content value must be a string at least one character in length.",
        )
        .into());
    }
    // What belongs to the head of the mail itself cannot be set.
    let reserved = ["received", "dkim-signature", "to", "from", "subject", "reply-to", "cc", "bcc"];
    let headers = body["headers"].as_object().into_iter().flatten();
    for (name, value) in headers {
        if reserved.contains(&name.to_ascii_lowercase().as_str()) || !value.is_string() {
            return Err(
                wrong(json!(format!("headers.{name}")), "The header is reserved, or no string.").into()
            );
        }
    }
    Ok(to.to_owned())
}
