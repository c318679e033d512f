//! Mails by SES v2, in our own account and region.

use domain::delivery::Outcome;
use domain::endpoint::Endpoint;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::super::client::{Answer, Channels, Envelope};
use super::super::email::{Mail, MailService, Mailer};
use super::super::senders::SenderRefused;
use super::{Call, code, of_code, signed};

/// By <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>.
pub(crate) async fn request(
    channels: &Channels,
    mailer: &Mailer,
    endpoint: &Endpoint,
    envelope: Envelope<'_>,
    mail: &Mail,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let text = |data: &str| json!({"Data": data, "Charset": "UTF-8"});
    let headers = mail.headers.iter().map(|(name, value)| json!({"Name": name, "Value": value}));
    let mut body = json!({
        "FromEmailAddress": mailer.from.to_string(),
        "Destination": {"ToAddresses": [endpoint.address]},
        "Content": {"Simple": {
            "Subject": text(&mail.subject),
            "Body": {"Text": text(&mail.text)},
            "Headers": headers.collect::<Value>(),
        }},
        "EmailTags": [{"Name": "endpoint", "Value": endpoint.id}, {"Name": "event", "Value": envelope.id}],
    });
    if let MailService::Ses { configuration_set: Some(name) } = &mailer.service {
        body["ConfigurationSetName"] = name.as_str().into();
    }
    let call = Call {
        service: "ses",
        host: "email",
        region: None,
        path: "/v2/email/outbound-emails".to_owned(),
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_string(),
    };
    signed(channels, call, now).await
}

/// What is wrong with our account or our address is no fault of the reader's.
pub(crate) fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    match code(answer).as_str() {
        // `MessageRejected` is mostly a sender that is not verified; what we write is not refused for itself.
        "AccountSuspendedException"
        | "MailFromDomainNotVerifiedException"
        | "MessageRejected"
        | "SendingPausedException" => Err(SenderRefused),
        // Of a configuration set; a reader is never looked up.
        code if code.starts_with("NotFound") => Err(SenderRefused),
        code => of_code(answer.status.as_u16(), code, answer, now),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{NOW, answer};
    use super::*;

    #[test]
    fn each_answer_has_its_outcome() {
        for (status, code, outcome) in [
            (200, "", Ok(Outcome::Delivered)),
            (400, "MessageRejected", Err(SenderRefused)),
            (400, "BadRequestException", Ok(Outcome::Never)),
            (400, "MailFromDomainNotVerifiedException", Err(SenderRefused)),
            (400, "SendingPausedException", Err(SenderRefused)),
            (403, "AccessDeniedException", Err(SenderRefused)),
            (404, "NotFoundException", Err(SenderRefused)),
            (400, "LimitExceededException", Ok(Outcome::Later { wait: None })),
            (429, "TooManyRequestsException", Ok(Outcome::Later { wait: None })),
            (500, "InternalFailure", Ok(Outcome::Later { wait: None })),
        ] {
            let headers = if code.is_empty() { vec![] } else { vec![("x-amzn-errortype", code)] };
            assert_eq!(super::outcome(&answer(status, &headers, "{}"), NOW), outcome, "{status} {code}");
        }
    }
}
