//! The shapes of the AWS JSON 1.0 protocol, as far as the operations here use them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::digest;
use super::error::{Code, Error, invalid};
use super::message::{Attributes, Received};
use super::queue::arn;

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// The input of every operation that only names a queue.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct OfQueue {
    pub(super) queue_url: String,
}

/// `GetQueueUrl` has the same shape without attributes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct CreateQueue {
    pub(super) queue_name: String,
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ListQueues {
    pub(super) queue_name_prefix: String,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct GetQueueAttributes {
    pub(super) queue_url: String,
    pub(super) attribute_names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct SendMessage {
    pub(super) queue_url: String,
    #[serde(flatten)]
    pub(super) entry: SendEntry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct SendEntry {
    pub(super) id: String,
    pub(super) message_body: String,
    pub(super) delay_seconds: Option<i64>,
    pub(super) message_attributes: Attributes,
    pub(super) message_system_attributes: Attributes,
    pub(super) message_deduplication_id: Option<String>,
    pub(super) message_group_id: Option<String>,
}

/// A batch operation's input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<E> {
    #[serde(default)]
    pub(super) queue_url: String,
    #[serde(default = "Vec::new")]
    pub(super) entries: Vec<E>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ReceiveMessage {
    pub(super) queue_url: String,
    /// The older name of `MessageSystemAttributeNames`; still sent by many clients.
    pub(super) attribute_names: Vec<String>,
    pub(super) message_system_attribute_names: Vec<String>,
    pub(super) message_attribute_names: Vec<String>,
    pub(super) max_number_of_messages: Option<i64>,
    pub(super) visibility_timeout: Option<i64>,
    pub(super) wait_time_seconds: Option<i64>,
}

/// A receipt handle: in a batch entry, or of one message.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct OfReceipt {
    pub(super) queue_url: String,
    pub(super) id: String,
    pub(super) receipt_handle: String,
    pub(super) visibility_timeout: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct StartMessageMoveTask {
    pub(super) source_arn: String,
    pub(super) destination_arn: Option<String>,
}

/// What a sender learns of its message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sent {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    pub(super) message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    pub(super) md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    pub(super) md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    pub(super) md5_of_system_attributes: Option<String>,
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|e| Code::MalformedInput.because(e.to_string()))
}

/// The number if it was given; an error that names it if the service would not take it.
pub(super) fn within(
    parameter: &str,
    value: Option<i64>,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, Error> {
    let Some(value) = value else { return Ok(None) };
    match u32::try_from(value) {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let reason = format!("{parameter} must be >= {} and <= {}.", range.start(), range.end());
            Err(invalid(parameter, value, &reason))
        }
    }
}

/// One message of `ReceiveMessage`'s answer, with the attributes that were asked for.
pub(super) fn message(received: &Received, asked: &ReceiveMessage) -> Value {
    let attributes: Attributes = received
        .attributes
        .iter()
        .filter(|(name, _)| asked.message_attribute_names.iter().any(|pattern| names(pattern, name)))
        .map(|(name, attribute)| (name.clone(), attribute.clone()))
        .collect();
    let mut message = json!({
        "MessageId": received.message_id,
        "ReceiptHandle": received.receipt_handle,
        "Body": received.body,
        "MD5OfBody": received.md5_of_body,
    });
    let system = system_attributes(received, asked);
    if !system.is_empty() {
        message["Attributes"] = Value::Object(system);
    }
    if let Some(md5) = digest::of_attributes(&attributes) {
        message["MD5OfMessageAttributes"] = Value::String(md5);
        message["MessageAttributes"] = json!(attributes);
    }
    message
}

fn system_attributes(received: &Received, asked: &ReceiveMessage) -> Map<String, Value> {
    [
        ("SenderId", Some("000000000000".to_owned())),
        ("ApproximateReceiveCount", Some(received.receive_count.to_string())),
        ("SentTimestamp", Some(received.sent_at.as_millis().to_string())),
        ("ApproximateFirstReceiveTimestamp", Some(received.first_received_at.as_millis().to_string())),
        ("AWSTraceHeader", received.trace_header.clone()),
        ("MessageGroupId", received.group_id.clone()),
        ("DeadLetterQueueSourceArn", received.dead_letter_source.as_deref().map(arn)),
    ]
    .into_iter()
    .filter(|(name, _)| {
        let asked = asked.attribute_names.iter().chain(&asked.message_system_attribute_names);
        asked.into_iter().any(|pattern| pattern == "All" || pattern == name)
    })
    .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
    .collect()
}

/// Whether a pattern (`All`, `.*`, `prefix.*` or a name) names a message attribute.
fn names(pattern: &str, attribute: &str) -> bool {
    pattern == "All"
        || pattern == attribute
        || pattern.strip_suffix(".*").is_some_and(|prefix| attribute.starts_with(prefix))
}

/// One failed entry of a batch.
pub(super) fn failed(id: &str, error: Error) -> Result<Value, Error> {
    match error {
        Error::Refused { code, message } => {
            Ok(json!({ "Id": id, "SenderFault": true, "Code": code.names().1, "Message": message }))
        }
        Error::Storage(_) => Err(error),
    }
}

pub(super) fn answer(result: Result<Value, Error>) -> Response {
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    result.map_or_else(IntoResponse::into_response, |body| (headers, body.to_string()).into_response())
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, json_type, query) = match &self {
            Self::Refused { code, .. } => {
                let (json_type, query) = code.names();
                (StatusCode::BAD_REQUEST, json_type, query.map(|query| format!("{query};Sender")))
            }
            Self::Storage(source) => {
                tracing::error!(error = source as &dyn std::error::Error, "a queue operation failed");
                let query = Some("InternalFailure;Receiver".to_owned());
                (StatusCode::INTERNAL_SERVER_ERROR, "com.amazon.coral.service#InternalFailure", query)
            }
        };
        let body = json!({ "__type": json_type, "message": self.to_string() }).to_string();
        let query = query.map(|query| [(HeaderName::from_static("x-amzn-query-error"), query)]);
        (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], query, body).into_response()
    }
}
