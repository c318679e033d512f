//! The events of API Gateway's WebSocket API, and the answers to them:
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is read of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub request_context: Context,
    /// With a `$connect` alone.
    #[serde(default)]
    pub query_string_parameters: Option<BTreeMap<String, String>>,
    /// The text of a message.
    #[serde(default)]
    pub body: Option<String>,
    /// A binary message comes so.
    #[serde(default)]
    pub is_base64_encoded: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    pub route_key: String,
    pub connection_id: String,
    #[serde(default)]
    pub request_id: String,
}

/// The answer to an event. A status that is not 200 refuses a connection; the body is sent to a client that sent
/// a message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

impl Answer {
    pub(crate) const fn status(status_code: u16) -> Self {
        Self { status_code, body: None }
    }

    pub(crate) fn message(body: &Value) -> Self {
        Self { status_code: 200, body: Some(body.to_string()) }
    }

    /// A message that could not be followed.
    pub(crate) fn refusal(code: &str, message: &str) -> Self {
        Self::message(&json!({"error": {"code": code, "message": message}}))
    }
}
