//! Topics, queues, event buses and functions: each has the body of a webhook, with the event's id in it. Only
//! those that the owner lists, which alone the role may call.

use domain::delivery::Outcome;
use domain::endpoint::{Arn, Endpoint, Kind};
use domain::time::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::client::{Answer, Channels, Envelope};
use super::super::senders::SenderRefused;
use super::super::text::with_id;
use super::{Call, code, of_code, outcome as of_answer, signed};

/// The source of our events on a bus.
const SOURCE: &str = "genmux";

pub(crate) async fn request(
    channels: &Channels,
    endpoint: &Endpoint,
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    let arn = Arn::parse(&endpoint.address).ok_or("not_an_arn")?;
    let body: Value = serde_json::from_str(envelope.body).unwrap_or_default();
    let kind = body["type"].as_str().unwrap_or_default();
    let with_id = with_id(envelope);
    let envelope = Envelope { body: &with_id, ..envelope };
    let call = match endpoint.kind {
        Kind::Sns => sns(arn, &endpoint.address, kind, envelope),
        Kind::Sqs => sqs(arn, kind, envelope),
        Kind::Eventbridge => eventbridge(arn, &endpoint.address, kind, envelope),
        Kind::Lambda => lambda(arn, &endpoint.address, envelope),
        _ => return Err("not_a_target"),
    };
    signed(channels, call, now).await
}

/// What a topic or a queue in order needs more: it takes an event once in five minutes.
fn order(arn: Arn<'_>, envelope: Envelope<'_>) -> Option<[(&'static str, String); 2]> {
    let is_fifo = arn.resource.ends_with(".fifo");
    let once = ("MessageDeduplicationId", envelope.id.to_owned());
    is_fifo.then(|| [("MessageGroupId", SOURCE.to_owned()), once])
}

/// By <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>.
fn sns<'a>(arn: Arn<'a>, address: &str, kind: &str, envelope: Envelope<'_>) -> Call<'a> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([("Action", "Publish"), ("Version", "2010-03-31"), ("TopicArn", address)]);
    form.append_pair("Message", envelope.body);
    for (number, (name, value)) in [("type", kind), ("id", envelope.id)].into_iter().enumerate() {
        let entry = format!("MessageAttributes.entry.{}", number + 1);
        form.append_pair(&format!("{entry}.Name"), name);
        form.append_pair(&format!("{entry}.Value.DataType"), "String");
        form.append_pair(&format!("{entry}.Value.StringValue"), value);
    }
    form.extend_pairs(order(arn, envelope).into_iter().flatten());
    Call {
        service: "sns",
        host: "sns",
        region: Some(arn.region),
        path: "/".to_owned(),
        headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
        body: form.finish(),
    }
}

/// A text to a phone, from our own account and region.
pub(crate) async fn text(
    channels: &Channels,
    number: &str,
    text: &str,
    now: Timestamp,
) -> Result<RequestBuilder, &'static str> {
    signed(channels, sns_text(number, text), now).await
}

fn sns_text(number: &str, text: &str) -> Call<'static> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([("Action", "Publish"), ("Version", "2010-03-31")]);
    form.extend_pairs([("PhoneNumber", number), ("Message", text)]);
    let attribute = "MessageAttributes.entry.1";
    form.append_pair(&format!("{attribute}.Name"), "AWS.SNS.SMS.SMSType");
    form.append_pair(&format!("{attribute}.Value.DataType"), "String");
    form.append_pair(&format!("{attribute}.Value.StringValue"), "Transactional");
    Call {
        service: "sns",
        host: "sns",
        region: None,
        path: "/".to_owned(),
        headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
        body: form.finish(),
    }
}

/// A reader who answered STOP is opted out.
pub(crate) fn text_outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    if code(answer).starts_with("OptedOut") { Ok(Outcome::Gone) } else { of_answer(answer, now) }
}

fn json_call<'a>(arn: Arn<'a>, host: &'a str, version: &str, target: &str, body: &Value) -> Call<'a> {
    Call {
        service: host,
        host,
        region: Some(arn.region),
        path: "/".to_owned(),
        headers: vec![
            ("content-type", format!("application/x-amz-json-{version}")),
            ("x-amz-target", target.to_owned()),
        ],
        body: body.to_string(),
    }
}

/// By <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
fn sqs<'a>(arn: Arn<'a>, kind: &str, envelope: Envelope<'_>) -> Call<'a> {
    let Arn { region, account, resource, .. } = arn;
    let text = |text: &str| json!({"DataType": "String", "StringValue": text});
    let mut body = json!({
        "QueueUrl": format!("https://sqs.{region}.amazonaws.com/{account}/{resource}"),
        "MessageBody": envelope.body,
        "MessageAttributes": {"type": text(kind), "id": text(envelope.id)},
    });
    for (name, value) in order(arn, envelope).into_iter().flatten() {
        body[name] = value.into();
    }
    json_call(arn, "sqs", "1.0", "AmazonSQS.SendMessage", &body)
}

/// By <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>.
fn eventbridge<'a>(arn: Arn<'a>, address: &str, kind: &str, envelope: Envelope<'_>) -> Call<'a> {
    let entry = json!({
        "Source": SOURCE,
        "DetailType": kind,
        "Detail": envelope.body,
        "EventBusName": address,
    });
    json_call(arn, "events", "1.1", "AWSEvents.PutEvents", &json!({"Entries": [entry]}))
}

/// What stays as it is in a part of a path, by RFC 3986.
pub(super) const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// By <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>: it is queued, and its result is not
/// waited for.
fn lambda<'a>(arn: Arn<'a>, address: &str, envelope: Envelope<'_>) -> Call<'a> {
    let name = utf8_percent_encode(address, PATH);
    Call {
        service: "lambda",
        host: "lambda",
        region: Some(arn.region),
        path: format!("/2015-03-31/functions/{name}/invocations"),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("x-amz-invocation-type", "Event".to_owned()),
        ],
        body: envelope.body.to_owned(),
    }
}

/// An event bus tells of each entry by itself, under 200.
pub(crate) fn outcome(answer: &Answer, now: Timestamp) -> Result<Outcome, SenderRefused> {
    let body = answer.json();
    let failed = body["FailedEntryCount"].as_u64().unwrap_or(0) > 0;
    match body["Entries"][0]["ErrorCode"].as_str().filter(|_| failed) {
        Some(code) => of_code(400, code, answer, now),
        None => of_answer(answer, now),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{NOW, answer};
    use super::*;

    #[test]
    fn a_reader_who_opted_out_is_the_end_of_a_phone() {
        let xml = |code: &str| format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
        let outcome = |status, code| text_outcome(&answer(status, &[], &xml(code)), NOW);
        assert_eq!(outcome(403, "OptedOut"), Ok(Outcome::Gone));
        assert_eq!(outcome(403, "AuthorizationError"), Err(SenderRefused));
        assert_eq!(outcome(400, "InvalidParameter"), Ok(Outcome::Never));
    }

    #[test]
    fn each_answer_has_its_outcome() {
        let later = Outcome::Later { wait: None };
        let xml = |code: &str| {
            format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>")
        };
        let json = |code: &str| format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":""}}"#);
        let entry = |code: &str| format!(r#"{{"FailedEntryCount":1,"Entries":[{{"ErrorCode":"{code}"}}]}}"#);
        for (status, body, outcome) in [
            (200, "<PublishResponse/>".to_owned(), Ok(Outcome::Delivered)),
            (200, r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#.to_owned(), Ok(Outcome::Delivered)),
            (202, String::new(), Ok(Outcome::Delivered)),
            (404, xml("NotFound"), Ok(Outcome::Gone)),
            (400, json("QueueDoesNotExist"), Ok(Outcome::Gone)),
            (403, xml("AuthorizationError"), Err(SenderRefused)),
            (400, json("AccessDeniedException"), Err(SenderRefused)),
            (400, json("UnrecognizedClientException"), Err(SenderRefused)),
            (400, xml("KMSAccessDenied"), Err(SenderRefused)),
            (400, json("KmsThrottled"), Ok(later)),
            (400, xml("Throttling"), Ok(later)),
            (400, json("RequestThrottled"), Ok(later)),
            (400, json("InvalidMessageContents"), Ok(Outcome::Never)),
            (413, String::new(), Ok(Outcome::Never)),
            (200, entry("ThrottlingException"), Ok(later)),
            (200, entry("InternalFailure"), Ok(later)),
            (200, entry("ResourceNotFoundException"), Ok(Outcome::Gone)),
            (200, entry("NotAuthorizedForSourceException"), Err(SenderRefused)),
            (503, String::new(), Ok(later)),
        ] {
            assert_eq!(super::outcome(&answer(status, &[], &body), NOW), outcome, "{status} {body}");
        }
    }
}
