//! Devices, by Firebase Cloud Messaging. A repeat replaces the notification that is shown.

use domain::delivery::Outcome;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::client::{Answer, Channels, Envelope};
use super::google;
use super::senders::SenderRefused;
use super::text::{TITLE, line};
use crate::outside::service_account::Grant;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

pub(super) async fn request(
    channels: &Channels,
    device: &str,
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let token = google::token(channels, Grant::Scope(SCOPE), now).await?;
    let path = format!("/v1/projects/{}/messages:send", google::account(channels)?.project());
    let post = channels.post("fcm.googleapis.com", &path).bearer_auth(token.expose());
    Ok(post.json(&json!({"message": message(device, envelope)})))
}

/// By <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>. Without a `collapse_key`: of a
/// device that is away, only four of those are kept.
fn message(device: &str, envelope: Envelope<'_>) -> Value {
    let body: Value = serde_json::from_str(envelope.body).unwrap_or_default();
    json!({
        "token": device,
        "notification": {"title": TITLE, "body": line(envelope.body)},
        "data": {"id": envelope.id, "type": body["type"]},
        "android": {"notification": {"tag": envelope.id}},
        "apns": {"headers": {"apns-collapse-id": envelope.id}},
        "webpush": {"notification": {"tag": envelope.id}},
    })
}

/// By <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>. 401 `THIRD_PARTY_AUTH_ERROR` is the
/// owner's certificate for Apple's devices.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    let body = answer.json();
    let details = body["error"]["details"].as_array().into_iter().flatten();
    let code = details.filter_map(|detail| detail["errorCode"].as_str()).next().unwrap_or_default();
    let says = body["error"]["message"].as_str().unwrap_or_default();
    match (answer.status.as_u16(), code) {
        (404, "UNREGISTERED") | (403, "SENDER_ID_MISMATCH") => Ok(Outcome::Gone),
        // A token that never was one.
        (400, "INVALID_ARGUMENT") if says.contains("registration token is not") => Ok(Outcome::Gone),
        // The project.
        (404, _) => Err(SenderRefused),
        _ => google::outcome(answer, now),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{NOW, answer};
    use super::*;

    #[test]
    fn a_message_is_a_line_that_a_repeat_replaces() {
        let body = r#"{"type": "job.failed", "data": {"id": "job_a", "model": "m", "request": {"prompt": "secret"}}}"#;
        let message = message("t", Envelope { id: "evt_a", body });
        assert_eq!(message["notification"], json!({"title": "Genmux", "body": "Job job_a (m) has failed."}));
        assert_eq!(message["data"], json!({"id": "evt_a", "type": "job.failed"}));
        assert_eq!(message["android"]["notification"]["tag"], "evt_a");
        assert!(!message.to_string().contains("secret"));
    }

    #[test]
    fn each_answer_has_its_outcome() {
        let later = |seconds| Ok(Outcome::Later { wait: Some(Duration::from_secs(seconds)) });
        let of = |status: u16, code: &str, says: &str, headers: &[(&'static str, &'static str)]| {
            let body = json!({"error": {"code": status, "message": says, "status": "x", "details": [
                {"@type": "type.googleapis.com/google.rpc.Other"},
                {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]}});
            outcome(&answer(status, headers, &body.to_string()), NOW)
        };
        let invalid = "The registration token is not a valid FCM registration token";
        assert_eq!(
            outcome(&answer(200, &[], r#"{"name": "projects/p/messages/1"}"#), NOW),
            Ok(Outcome::Delivered)
        );
        for (status, code, says, outcome) in [
            (404, "UNREGISTERED", "", Ok(Outcome::Gone)),
            (403, "SENDER_ID_MISMATCH", "", Ok(Outcome::Gone)),
            (400, "INVALID_ARGUMENT", invalid, Ok(Outcome::Gone)),
            (400, "INVALID_ARGUMENT", "Android message is too big", Ok(Outcome::Never)),
            (401, "THIRD_PARTY_AUTH_ERROR", "", Err(SenderRefused)),
            (403, "", "", Err(SenderRefused)),
            (404, "", "", Err(SenderRefused)),
            (429, "QUOTA_EXCEEDED", "", later(60)),
            (500, "INTERNAL", "", Ok(Outcome::Later { wait: None })),
            (503, "UNAVAILABLE", "", Ok(Outcome::Later { wait: None })),
        ] {
            assert_eq!(of(status, code, says, &[]), outcome, "{status} {code}");
        }
        assert_eq!(of(429, "QUOTA_EXCEEDED", "", &[("retry-after", "7")]), later(7));
    }
}
