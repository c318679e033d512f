//! Firebase Cloud Messaging: <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send>. A token
//! that begins with `gone` is not registered any more, with `other` another project's, with `bad` none.

use axum::response::Response;
use http::Method;
use serde_json::{Value, json};

use super::super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use super::{PROJECT, check, failed, refusal};
use crate::frame::wire::Inbound;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const MESSAGE_MAX: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Fcm;

impl Channel for Fcm {
    fn name(&self) -> &'static str {
        "fcm"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path().ends_with("/messages:send") && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        check(channels, call, SCOPE)?;
        if call.path() != format!("/v1/projects/{PROJECT}/messages:send") {
            let message = "Permission denied on the project.";
            return Err(failed(403, "PERMISSION_DENIED", message, &json!([])).into());
        }
        let body: Value =
            call.object().map_err(|_none| invalid("", "Invalid JSON payload received."))?.into();
        let message = &body["message"];
        let Some(token) = message["token"].as_str().filter(|token| !token.is_empty()) else {
            return Err(invalid("message", "Recipient of the message is not set.").into());
        };
        let data = message["data"].as_object();
        for (name, value) in data.into_iter().flatten() {
            if !value.is_string() {
                return Err(invalid(&format!("message.data.{name}"), "Invalid value (TYPE_STRING)").into());
            }
            if name == "from" || name.starts_with("google") || name.starts_with("gcm") {
                return Err(invalid(&format!("message.data.{name}"), "Invalid data payload key").into());
            }
        }
        let payload = json!([message["notification"], message["data"]]).to_string();
        if payload.len() > MESSAGE_MAX {
            return Err(of_fcm(400, "INVALID_ARGUMENT", "Android message is too big").into());
        }
        if token.starts_with("gone") {
            return Err(self.refusal(Refusal::Gone).into());
        }
        if token.starts_with("other") {
            return Err(of_fcm(403, "SENDER_ID_MISMATCH", "SenderId mismatch").into());
        }
        if token.starts_with("bad") {
            let message = "The registration token is not a valid FCM registration token";
            return Err(of_fcm(400, "INVALID_ARGUMENT", message).into());
        }
        let text = message["notification"]["body"].as_str().unwrap_or_default().to_owned();
        let name = format!("projects/{PROJECT}/messages/{}", channels.next_number());
        let taken = Taken { channel: self.name(), to: token.to_owned(), text, body: body.clone() };
        Ok((Some(taken), answer(200, &json!({"name": name}))))
    }

    fn refusal(&self, why: Refusal) -> Response {
        match why {
            Refusal::Gone => of_fcm(404, "UNREGISTERED", "Requested entity was not found."),
            why => refusal(why, ""),
        }
    }
}

fn invalid(field: &str, message: &str) -> Response {
    let kind = "type.googleapis.com/google.rpc.BadRequest";
    let violation = json!({"field": field, "description": message});
    failed(400, "INVALID_ARGUMENT", message, &json!([{"@type": kind, "fieldViolations": [violation]}]))
}

/// With the vendor's own code, which the status is not.
fn of_fcm(code: u16, error: &str, message: &str) -> Response {
    let status = match code {
        404 => "NOT_FOUND",
        403 => "PERMISSION_DENIED",
        _ => "INVALID_ARGUMENT",
    };
    let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    failed(code, status, message, &json!([{"@type": kind, "errorCode": error}]))
}
