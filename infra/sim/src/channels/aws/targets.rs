//! SNS, SQS, EventBridge and Lambda. A resource whose name begins with `gone` does not exist.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use md5::{Digest, Md5};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::super::{Channel, Channels, Refusal, Taken, Took, json as answer};
use super::{check, failed, refusal};
use crate::frame::wire::Inbound;

/// Larger messages are refused, in bytes: what topics take. Queues take more.
const MESSAGE_MAX: usize = 256 * 1024;

fn is_root(call: &Inbound) -> bool {
    call.path() == "/" && call.is(&Method::POST)
}

fn target<'a>(call: &'a Inbound, service: &str) -> Option<&'a str> {
    call.header("x-amz-target")?.strip_prefix(service)?.strip_prefix('.')
}

/// Whether a resource, at the end of an ARN or a URL, is there.
fn is_gone(name: &str) -> bool {
    name.rsplit([':', '/']).next().is_some_and(|name| name.starts_with("gone"))
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>: a form, answered in XML.
#[derive(Debug)]
pub(crate) struct Sns;

impl Channel for Sns {
    fn name(&self) -> &'static str {
        "sns"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        is_root(call) && call.body.starts_with(b"Action=")
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        check(channels, call, "sns").map_err(|_json| xml_error(403, "SignatureDoesNotMatch"))?;
        let form: BTreeMap<_, _> = url::form_urlencoded::parse(&call.body).collect();
        let text = |name: &str| form.get(name).map(|value| value.clone().into_owned());
        if text("Action").as_deref() != Some("Publish") || text("Version").as_deref() != Some("2010-03-31") {
            return Err(xml_error(400, "InvalidAction").into());
        }
        let to = text("TopicArn").or_else(|| text("PhoneNumber")).or_else(|| text("TargetArn"));
        let (Some(to), Some(message)) = (to, text("Message").filter(|text| !text.is_empty())) else {
            return Err(xml_error(400, "InvalidParameter").into());
        };
        if is_gone(&to) {
            // A device's, whose token its platform refused, is not deleted.
            let is_device = text("TargetArn").is_some();
            let gone = || xml_error(400, "EndpointDisabled");
            return Err(if is_device { gone() } else { self.refusal(Refusal::Gone) }.into());
        }
        if text("MessageStructure").as_deref() == Some("json") && !is_structured(&message) {
            return Err(xml_error(400, "InvalidParameter").into());
        }
        let lacks_group = to.ends_with(".fifo") && text("MessageGroupId").is_none();
        if message.len() > MESSAGE_MAX || lacks_group {
            return Err(xml_error(400, "InvalidParameter").into());
        }
        let id = channels.next_number();
        let body = form.iter().map(|(name, value)| (name.to_string(), value.to_string().into())).collect();
        let taken = Taken { channel: self.name(), to, text: message, body: Value::Object(body) };
        let xml = format!(
            "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
             <MessageId>simulated-{id}</MessageId></PublishResult>\
             <ResponseMetadata><RequestId>simulated</RequestId></ResponseMetadata></PublishResponse>"
        );
        Ok((Some(taken), ([(CONTENT_TYPE, "text/xml")], xml).into_response()))
    }

    fn refusal(&self, why: Refusal) -> Response {
        match why {
            Refusal::Busy(_) => xml_error(429, "Throttled"),
            Refusal::Gone => xml_error(404, "NotFound"),
            Refusal::Unauthorized => xml_error(403, "AuthorizationError"),
            Refusal::Down => xml_error(500, "InternalError"),
        }
    }
}

/// Whether it has a text for each platform, and one for all others.
fn is_structured(message: &str) -> bool {
    let platforms: Value = serde_json::from_str(message).unwrap_or_default();
    let is_text = |(_, text): (&String, &Value)| text.is_string();
    platforms["default"].is_string() && platforms.as_object().is_some_and(|all| all.iter().all(is_text))
}

fn xml_error(status: u16, code: &str) -> Response {
    let xml = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>simulated</Message></Error><RequestId>simulated</RequestId></ErrorResponse>"
    );
    let status = StatusCode::from_u16(status).unwrap_or_default();
    (status, [(CONTENT_TYPE, "text/xml")], xml).into_response()
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
#[derive(Debug)]
pub(crate) struct Sqs;

impl Channel for Sqs {
    fn name(&self) -> &'static str {
        "sqs"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        is_root(call) && target(call, "AmazonSQS").is_some()
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        check(channels, call, "sqs")?;
        if target(call, "AmazonSQS") != Some("SendMessage") {
            return Err(failed(400, "com.amazonaws.sqs#InvalidAddress").into());
        }
        let body: Value = call.object().unwrap_or_default().into();
        let (url, message) = (body["QueueUrl"].as_str().unwrap_or_default(), &body["MessageBody"]);
        if is_gone(url) {
            return Err(self.refusal(Refusal::Gone).into());
        }
        let lacks_group = url.ends_with(".fifo") && body["MessageGroupId"].is_null();
        let message = message.as_str().filter(|text| !text.is_empty() && text.len() <= MESSAGE_MAX);
        let Some(message) = message.filter(|_| !lacks_group) else {
            return Err(failed(400, "com.amazonaws.sqs#InvalidMessageContents").into());
        };
        let (to, text) = (url.to_owned(), message.to_owned());
        let md5 = HEXLOWER.encode(&Md5::digest(&text));
        let id =
            json!({"MessageId": format!("simulated-{}", channels.next_number()), "MD5OfMessageBody": md5});
        Ok((Some(Taken { channel: self.name(), to, text, body }), answer(200, &id)))
    }

    fn refusal(&self, why: Refusal) -> Response {
        match why {
            Refusal::Busy(_) => failed(400, "com.amazonaws.sqs#RequestThrottled"),
            Refusal::Gone => failed(400, "com.amazonaws.sqs#QueueDoesNotExist"),
            _ => refusal(why, ""),
        }
    }
}

/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>.
#[derive(Debug)]
pub(crate) struct Eventbridge;

impl Channel for Eventbridge {
    fn name(&self) -> &'static str {
        "eventbridge"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        is_root(call) && target(call, "AWSEvents").is_some()
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        check(channels, call, "events")?;
        let body: Value = call.object().unwrap_or_default().into();
        let entry = &body["Entries"][0];
        let part = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let (to, detail) = (part("EventBusName"), part("Detail"));
        if is_gone(&to) {
            return Err(self.refusal(Refusal::Gone).into());
        }
        let is_object = serde_json::from_str::<serde_json::Map<_, _>>(&detail).is_ok();
        if !is_object || part("Source").is_empty() || part("DetailType").is_empty() {
            return Err(entry_error("MalformedDetail").into());
        }
        let id = json!({"EventId": format!("simulated-{}", channels.next_number())});
        let response = answer(200, &json!({"FailedEntryCount": 0, "Entries": [id]}));
        Ok((Some(Taken { channel: self.name(), to, text: detail, body }), response))
    }

    /// A limit is an error of the entry.
    fn refusal(&self, why: Refusal) -> Response {
        match why {
            Refusal::Busy(_) => entry_error("ThrottlingException"),
            _ => refusal(why, "ResourceNotFoundException"),
        }
    }
}

fn entry_error(code: &str) -> Response {
    let entry = json!({"ErrorCode": code, "ErrorMessage": "simulated"});
    answer(200, &json!({"FailedEntryCount": 1, "Entries": [entry]}))
}

/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>, without a wait for the result.
#[derive(Debug)]
pub(crate) struct Lambda;

impl Channel for Lambda {
    fn name(&self) -> &'static str {
        "lambda"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path().starts_with("/2015-03-31/functions/") && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        check(channels, call, "lambda")?;
        let name = call.path().trim_start_matches("/2015-03-31/functions/").trim_end_matches("/invocations");
        let to = percent_decode_str(name).decode_utf8_lossy().into_owned();
        if is_gone(&to) {
            return Err(self.refusal(Refusal::Gone).into());
        }
        let body: Value =
            call.object().map_err(|_none| failed(400, "InvalidRequestContentException"))?.into();
        if call.header("x-amz-invocation-type") != Some("Event") {
            return Err(failed(400, "InvalidParameterValueException").into());
        }
        let text = String::from_utf8_lossy(&call.body).into_owned();
        let taken = Taken { channel: self.name(), to, text, body };
        Ok((Some(taken), StatusCode::ACCEPTED.into_response()))
    }

    fn refusal(&self, why: Refusal) -> Response {
        refusal(why, "ResourceNotFoundException")
    }
}
