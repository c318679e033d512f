//! Telegram's Bot API: <https://core.telegram.org/bots/api>, for one bot.
//!
//! The chat 404 does not exist, the chat 403 has blocked the bot, and the group -400 is a supergroup now.

use axum::response::Response;
use http::Method;
use serde_json::{Map, Value, json};

use super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use crate::frame::wire::Inbound;

const TOKEN: &str = "7000000001:simulated-bot";
const TEXT_MAX: usize = 4_096;

#[derive(Debug)]
pub(super) struct Telegram;

impl Channel for Telegram {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path().starts_with("/bot")
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        let (token, method) = call.path()[4..].split_once('/').unwrap_or_default();
        if token != TOKEN {
            return Err(self.refusal(Refusal::Unauthorized).into());
        }
        match method {
            "getMe" => {
                let me = json!({"id": 7_000_000_001_i64, "is_bot": true, "first_name": "Genmux", "username": "genmux_bot"});
                Ok((None, answer(200, &json!({"ok": true, "result": me}))))
            }
            "sendMessage" if call.is(&Method::POST) => self.send(channels, call),
            _ => Err(failed(404, "Not Found", None).into()),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Busy(seconds) => {
                let words = format!("Too Many Requests: retry after {seconds}");
                failed(429, &words, Some(json!({"retry_after": seconds})))
            }
            Refusal::Gone => failed(403, "Forbidden: bot was blocked by the user", None),
            Refusal::Unauthorized => failed(401, "Unauthorized", None),
            Refusal::Down => failed(502, "Bad Gateway", None),
        }
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("TELEGRAM_BOT_TOKEN", TOKEN.to_owned())]
    }
}

impl Telegram {
    fn send(&self, channels: &Channels, call: &Inbound) -> Took {
        let body = fields(call);
        let chat = match &body["chat_id"] {
            Value::String(chat) => chat.clone(),
            Value::Number(chat) => chat.to_string(),
            _ => return Err(failed(400, "Bad Request: chat_id is empty", None).into()),
        };
        let text = body["text"].as_str().unwrap_or_default().to_owned();
        match (chat.as_str(), text.chars().count()) {
            ("404", _) => return Err(failed(400, "Bad Request: chat not found", None).into()),
            ("403", _) => return Err(self.refusal(Refusal::Gone).into()),
            ("-400", _) => {
                let words = "Bad Request: group chat was upgraded to a supergroup chat";
                return Err(
                    failed(400, words, Some(json!({"migrate_to_chat_id": -1_001_557_912_345_i64}))).into()
                );
            }
            (_, 0) => return Err(failed(400, "Bad Request: message text is empty", None).into()),
            (_, length) if length > TEXT_MAX => {
                return Err(failed(400, "Bad Request: message is too long", None).into());
            }
            _ => {}
        }
        let id: i64 = chat.parse().unwrap_or(-1_001_000_000_001);
        let kind = if id < 0 { "supergroup" } else { "private" };
        let message = json!({
            "message_id": channels.next_number(),
            "date": channels.0.clock.now().as_secs(),
            "chat": {"id": id, "type": kind},
            "text": text,
        });
        let taken = Taken { channel: self.name(), to: chat, text, body };
        Ok((Some(taken), answer(200, &json!({"ok": true, "result": message}))))
    }
}

/// The parameters, in JSON or as a form.
fn fields(call: &Inbound) -> Value {
    match call.object() {
        Ok(object) => object.into(),
        Err(_) => {
            let pairs = url::form_urlencoded::parse(&call.body);
            let fields: Map<String, Value> =
                pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
            fields.into()
        }
    }
}

fn failed(code: u16, description: &str, parameters: Option<Value>) -> Response {
    let mut body = json!({"ok": false, "error_code": code, "description": description});
    if let Some(parameters) = parameters {
        body["parameters"] = parameters;
    }
    answer(code, &body)
}
