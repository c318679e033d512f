//! Twilio's Messages: <https://www.twilio.com/docs/messaging/api/message-resource>, with its numbers for tests:
//! <https://www.twilio.com/docs/iam/test-credentials>.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};

use super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use crate::frame::wire::Inbound;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "simulated";
const FROM: &str = "+15005550006";
const TEXT_MAX: usize = 1_600;

#[derive(Debug)]
pub(super) struct Twilio;

impl Channel for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path().starts_with("/2010-04-01/Accounts/") && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        let key = BASE64.encode(format!("{ACCOUNT}:{TOKEN}").as_bytes());
        if call.authorization("Basic ") != Some(&key) {
            return Err(self.refusal(Refusal::Unauthorized).into());
        }
        if call.path() != format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json") {
            return Err(failed(404, 20_404, "The requested resource was not found").into());
        }
        let form: BTreeMap<_, _> = url::form_urlencoded::parse(&call.body).collect();
        let field = |name: &str| form.get(name).map(|value| value.to_string()).unwrap_or_default();
        let (to, text) = (field("To"), field("Body"));
        match (field("From").as_str(), to.as_str()) {
            (FROM, _) => {}
            ("", _) => return Err(failed(400, 21_603, "A 'From' phone number is required.").into()),
            _ => {
                return Err(
                    failed(400, 21_606, "The 'From' phone number provided is not a valid one.").into()
                );
            }
        }
        match to.as_str() {
            "" => return Err(failed(400, 21_604, "A 'To' phone number is required.").into()),
            "+15005550001" => return Err(failed(400, 21_211, "Invalid 'To' Phone Number").into()),
            "+15005550002" => return Err(failed(400, 21_612, "The number is not reachable.").into()),
            "+15005550004" => return Err(self.refusal(Refusal::Gone).into()),
            "+15005550009" => {
                return Err(failed(400, 21_614, "'To' number is not a valid mobile number").into());
            }
            _ => {}
        }
        match text.chars().count() {
            0 => return Err(failed(400, 21_602, "Message body is required.").into()),
            length if length > TEXT_MAX => {
                return Err(failed(
                    400,
                    21_617,
                    "The concatenated message body exceeds the 1600 character limit",
                )
                .into());
            }
            _ => {}
        }
        let callback = field("StatusCallback");
        if !callback.is_empty() && url::Url::parse(&callback).is_err() {
            return Err(failed(400, 21_609, "The 'StatusCallback' URL is not a valid URL.").into());
        }
        let sid = format!("SM{:032x}", channels.next_number());
        let body: Value =
            form.iter().map(|(name, value)| (name.to_string(), Value::from(value.to_string()))).collect();
        let message = json!({
            "sid": sid, "account_sid": ACCOUNT, "status": "queued", "to": to, "from": FROM, "body": text,
            "num_segments": "1", "direction": "outbound-api", "error_code": null, "error_message": null,
        });
        Ok((Some(Taken { channel: self.name(), to, text, body }), answer(201, &message)))
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Busy(seconds) => {
                let body = failed(429, 20_429, "Too Many Requests");
                ([("retry-after", seconds.to_string())], body).into_response()
            }
            Refusal::Gone => failed(400, 21_610, "Attempt to send to unsubscribed recipient"),
            Refusal::Unauthorized => failed(401, 20_003, "Authenticate"),
            Refusal::Down => failed(503, 20_503, "Service Unavailable"),
        }
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        let status = ("TWILIO_STATUS_URL", "https://api.genmux.example/v1/inbound/twilio/token");
        [("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_AUTH_TOKEN", TOKEN), ("TWILIO_FROM", FROM), status]
            .map(|(name, value)| (name, value.to_owned()))
            .into()
    }
}

fn failed(status: u16, code: u32, message: &str) -> Response {
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    answer(status, &json!({"code": code, "message": message, "more_info": more, "status": status}))
}
