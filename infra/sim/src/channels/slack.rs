//! Slack's incoming webhooks: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
//!
//! A webhook that ends in `/gone` is revoked.

use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Channel, Channels, Refusal, Taken, Took, text};
use crate::frame::wire::Inbound;

const PATH: &str = "/services/";

#[derive(Debug)]
pub(super) struct Slack;

impl Channel for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path().starts_with(PATH) && call.is(&Method::POST)
    }

    fn take(&self, _: &Channels, call: &Inbound) -> Took {
        let to = call.path().trim_start_matches(PATH).to_owned();
        if to.split('/').count() != 3 || to.ends_with("/gone") {
            return Err(self.refusal(Refusal::Gone).into());
        }
        let message = call.object().map_err(|_no_object| text(400, "invalid_payload"))?;
        let said = message.get("text").and_then(Value::as_str).filter(|text| !text.is_empty());
        let said = said.ok_or_else(|| text(400, "no_text"))?.to_owned();
        let taken = Taken { channel: self.name(), to, text: said, body: message.into() };
        Ok((Some(taken), text(200, "ok")))
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Busy(seconds) => {
                let header = [(RETRY_AFTER, seconds.to_string())];
                (StatusCode::TOO_MANY_REQUESTS, header, "rate_limited").into_response()
            }
            Refusal::Gone => text(404, "no_service"),
            Refusal::Unauthorized => text(403, "action_prohibited"),
            Refusal::Down => text(500, "rollup_error"),
        }
    }
}
