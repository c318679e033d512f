//! Chats of Telegram. A repeat is shown twice: it has no idempotency key.

use domain::delivery::Outcome;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::json;

use super::client::{Answer, Channels, Envelope};
use super::senders::{NO_SENDER, SenderRefused};
use super::text::line;

/// Maximum length of a message, in characters.
const TEXT_MAX: usize = 4_096;
/// What a chat that cannot be written to any more is answered with under 400: by
/// <https://github.com/TelegramBotAPI/errors>.
const GONE: [&str; 6] = [
    "chat not found",
    "user not found",
    "group is deactivated",
    "group chat was upgraded to a supergroup chat",
    "PEER_ID_INVALID",
    "have no rights to send a message",
];

/// By <https://core.telegram.org/bots/api#sendmessage>. Without a parse mode, nothing in the text is markup.
pub(super) fn request(
    channels: &Channels,
    chat: &str,
    envelope: Envelope<'_>,
) -> Result<RequestBuilder, &'static str> {
    let token = channels.senders().telegram.as_ref().ok_or(NO_SENDER)?;
    let text: String = line(envelope.body).chars().take(TEXT_MAX).collect();
    let body = json!({"chat_id": chat, "text": text, "link_preview_options": {"is_disabled": true}});
    Ok(channels.post("api.telegram.org", &format!("/bot{}/sendMessage", token.expose())).json(&body))
}

/// By <https://core.telegram.org/bots/api#making-requests>. 401 and 404 are a wrong token; 403 is a bot that
/// was blocked or removed; a group that became a supergroup has another number.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    let body = answer.json();
    let description = body["description"].as_str().unwrap_or_default();
    Ok(match answer.status.as_u16() {
        200 if body["ok"] == true => Outcome::Delivered,
        401 | 404 => return Err(SenderRefused),
        403 => Outcome::Gone,
        400 if GONE.iter().any(|end| description.contains(end)) => Outcome::Gone,
        400 => Outcome::Never,
        _ => {
            let wait = Answer::wait(&body["parameters"]["retry_after"]);
            Outcome::Later { wait: wait.or_else(|| answer.retry_after(now)) }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{NOW, answer};
    use super::*;

    #[test]
    fn each_answer_has_its_outcome() {
        let later = |seconds| Outcome::Later { wait: Some(Duration::from_secs(seconds)) };
        let none = Outcome::Later { wait: None };
        for (status, body, outcome) in [
            (200, r#"{"ok":true,"result":{"message_id":1}}"#, Ok(Outcome::Delivered)),
            (200, "<html>", Ok(none)),
            (400, r#"{"ok":false,"description":"Bad Request: chat not found"}"#, Ok(Outcome::Gone)),
            (
                400,
                r#"{"ok":false,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001557912345}}"#,
                Ok(Outcome::Gone),
            ),
            (400, r#"{"ok":false,"description":"Bad Request: message text is empty"}"#, Ok(Outcome::Never)),
            (401, r#"{"ok":false,"description":"Unauthorized"}"#, Err(SenderRefused)),
            (404, r#"{"ok":false,"description":"Not Found"}"#, Err(SenderRefused)),
            (
                403,
                r#"{"ok":false,"description":"Forbidden: bot was blocked by the user"}"#,
                Ok(Outcome::Gone),
            ),
            (
                429,
                r#"{"ok":false,"description":"Too Many Requests: retry after 34","parameters":{"retry_after":34}}"#,
                Ok(later(34)),
            ),
            (429, "", Ok(none)),
            (502, "<html>", Ok(none)),
        ] {
            assert_eq!(super::outcome(&answer(status, &[], body), NOW), outcome, "{status} {body}");
        }
    }
}
