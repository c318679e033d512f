//! Functions that are not public: Google looks at the ID token before they run.
//! <https://cloud.google.com/run/docs/authenticating/service-to-service>. One whose path ends in `/gone` says so itself.

use axum::response::Response;
use http::Method;
use serde_json::Value;

use super::super::{Channel, Channels, Refusal, Taken, Took, text};
use super::tokens;
use crate::frame::wire::Inbound;

const FOLDER: &str = "/cloud-run/";

#[derive(Debug)]
pub(crate) struct CloudRun;

impl Channel for CloudRun {
    fn name(&self) -> &'static str {
        "cloud_run"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path().starts_with(FOLDER) && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        let url = format!("http://{}{}", call.header("host").unwrap_or_default(), call.path());
        if tokens::claims(channels, call).is_none_or(|claims| claims["aud"] != url.as_str()) {
            return Err(self.refusal(Refusal::Unauthorized).into());
        }
        if call.path().ends_with("/gone") {
            return Err(self.refusal(Refusal::Gone).into());
        }
        let body: Value = call.object().map_err(|_none| text(400, "Bad Request"))?.into();
        let sent = String::from_utf8_lossy(&call.body).into_owned();
        Ok((Some(Taken { channel: self.name(), to: url, text: sent, body }), text(200, "ok")))
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Busy(_) => text(429, "Rate exceeded."),
            Refusal::Gone => text(410, "gone"),
            Refusal::Unauthorized => text(401, "The access token could not be verified"),
            Refusal::Down => text(503, "Service Unavailable"),
        }
    }
}
