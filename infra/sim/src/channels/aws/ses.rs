//! SES v2, for one verified address: <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>.

use axum::response::Response;
use http::Method;
use serde_json::{Value, json};

use super::super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use super::{check, failed, refusal};
use crate::frame::wire::Inbound;

const FROM: &str = "events@genmux.example";
const CONFIGURATION_SET: &str = "genmux";

#[derive(Debug)]
pub(crate) struct Ses;

impl Channel for Ses {
    fn name(&self) -> &'static str {
        "ses"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path() == "/v2/email/outbound-emails" && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        check(channels, call, "ses")?;
        let body: Value = call.object().map_err(|_none| failed(400, "BadRequestException"))?.into();
        let from = body["FromEmailAddress"].as_str().unwrap_or_default();
        if !(from == FROM || from.ends_with(&format!("<{FROM}>"))) {
            return Err(failed(400, "MailFromDomainNotVerifiedException").into());
        }
        if !body["ConfigurationSetName"].is_null() && body["ConfigurationSetName"] != CONFIGURATION_SET {
            return Err(failed(404, "NotFoundException").into());
        }
        let simple = &body["Content"]["Simple"];
        let (subject, text) = (&simple["Subject"]["Data"], &simple["Body"]["Text"]["Data"]);
        let to = body["Destination"]["ToAddresses"][0].as_str();
        let (Some(subject), Some(text), Some(to)) = (subject.as_str(), text.as_str(), to) else {
            return Err(failed(400, "BadRequestException").into());
        };
        let (text, to) = (format!("{subject}\n{text}"), to.to_owned());
        let id = format!("simulated-{}", channels.next_number());
        Ok((Some(Taken { channel: self.name(), to, text, body }), answer(200, &json!({"MessageId": id}))))
    }

    fn refusal(&self, why: Refusal) -> Response {
        match why {
            // A mail has no such answer.
            Refusal::Gone => failed(400, "MessageRejected"),
            _ => refusal(why, ""),
        }
    }
}
