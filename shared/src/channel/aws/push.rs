//! Devices, by an endpoint of an SNS platform application in our own account.

use domain::delivery::Outcome;
use domain::endpoint::Arn;
use domain::time::Timestamp;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::client::{Answer, Channels, Envelope};
use super::super::senders::SenderRefused;
use super::super::text::{TITLE, line};
use super::{Call, code, outcome as of_answer, signed};

/// By <https://docs.aws.amazon.com/sns/latest/dg/sns-send-custom-platform-specific-payloads-mobile-devices.html>.
pub(crate) async fn request(
    channels: &Channels,
    endpoint: &str,
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    signed(channels, call(endpoint, envelope)?, now).await
}

fn call<'a>(endpoint: &'a str, envelope: Envelope<'_>) -> Result<Call<'a>, &'static str> {
    let arn = Arn::parse(endpoint).ok_or("not_an_arn")?;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([("Action", "Publish"), ("Version", "2010-03-31"), ("TargetArn", endpoint)]);
    form.extend_pairs([("MessageStructure", "json"), ("Message", &message(envelope).to_string())]);
    Ok(Call {
        service: "sns",
        host: "sns",
        region: Some(arn.region),
        path: "/".to_owned(),
        headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
        body: form.finish(),
    })
}

/// A text for each platform; SNS takes that of the endpoint's own.
fn message(envelope: Envelope<'_>) -> Value {
    let body: Value = serde_json::from_str(envelope.body).unwrap_or_default();
    let (line, id, kind) = (line(envelope.body), envelope.id, &body["type"]);
    let apple = json!({"aps": {"alert": {"title": TITLE, "body": line}}, "id": id, "type": kind}).to_string();
    let google = json!({"fcmV1Message": {"message": {
        "notification": {"title": TITLE, "body": line},
        "data": {"id": id, "type": kind},
        "android": {"notification": {"tag": id}},
    }}});
    json!({"default": line, "APNS": apple, "APNS_SANDBOX": apple, "GCM": google.to_string()})
}

/// A device that is gone disables its endpoint at SNS; the application is the owner's.
pub(crate) fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    match code(answer).as_str() {
        "EndpointDisabled" | "EndpointDisabledException" => Ok(Outcome::Gone),
        "PlatformApplicationDisabled" | "PlatformApplicationDisabledException" => Err(SenderRefused),
        // One that was deleted is an invalid parameter.
        "InvalidParameter" if String::from_utf8_lossy(&answer.body).contains("No endpoint found") => {
            Ok(Outcome::Gone)
        }
        _ => of_answer(answer, now),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{NOW, answer};
    use super::*;

    #[test]
    fn each_platform_has_its_own_text_of_the_same() {
        let body = r#"{"type": "job.failed", "data": {"id": "job_a", "model": "m"}}"#;
        let message = message(Envelope { id: "evt_a", body });
        assert_eq!(message["default"], "Job job_a (m) has failed.");
        let inner = |name: &str| serde_json::from_str::<Value>(message[name].as_str().unwrap()).unwrap();
        assert_eq!(inner("APNS")["aps"]["alert"]["body"], "Job job_a (m) has failed.");
        let google = &inner("GCM")["fcmV1Message"]["message"];
        assert_eq!(
            (&google["data"]["id"], &google["android"]["notification"]["tag"]),
            (&json!("evt_a"), &json!("evt_a"))
        );
    }

    #[test]
    fn each_answer_has_its_outcome() {
        let of = |status, code: &str, says: &str| {
            let xml = format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>{says}</Message></Error></ErrorResponse>"
            );
            outcome(&answer(status, &[], &xml), NOW)
        };
        let gone = "Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified";
        for (status, code, says, expected) in [
            (400, "EndpointDisabled", "", Ok(Outcome::Gone)),
            (404, "NotFound", "", Ok(Outcome::Gone)),
            (400, "InvalidParameter", gone, Ok(Outcome::Gone)),
            (400, "InvalidParameter", "Message too long", Ok(Outcome::Never)),
            (400, "PlatformApplicationDisabled", "", Err(SenderRefused)),
            (403, "AuthorizationError", "", Err(SenderRefused)),
            (429, "Throttled", "", Ok(Outcome::Later { wait: None })),
        ] {
            assert_eq!(of(status, code, says), expected, "{status} {code} {says}");
        }
        assert_eq!(outcome(&answer(200, &[], "<PublishResponse/>"), NOW), Ok(Outcome::Delivered));
    }
}
