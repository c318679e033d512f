//! An index that lags behind its table: a query is answered as it was a moment ago.

use std::collections::HashMap;

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use serde_json::Value;

use super::Wire;

/// The first answers of the due index, by shard and page.
#[derive(Debug, Default)]
pub(super) struct Lag(HashMap<String, Bytes>);

impl Lag {
    /// What a call asks of the due index, if it asks anything: the time apart.
    pub(super) fn question(request: &HttpRequest) -> Option<String> {
        let body: Value = serde_json::from_slice(request.body().bytes()?).ok()?;
        let of_index = body.get("IndexName")?.as_str() == Some("due");
        let shard = body.pointer("/ExpressionAttributeValues/:shard/S")?;
        of_index.then(|| format!("{shard}{}", body["ExclusiveStartKey"]))
    }

    pub(super) fn answer(&self, question: &str) -> Option<HttpResponse> {
        let body = self.0.get(question)?.clone();
        Some(HttpResponse::new(200_u16.try_into().expect("a status"), SdkBody::from(body)))
    }
}

/// Keeps an answer of the due index while it lags, and gives it on.
pub(super) async fn remember(
    wire: &Wire,
    question: String,
    mut answer: HttpResponse,
) -> Result<HttpResponse, ConnectorError> {
    let body = std::mem::replace(answer.body_mut(), SdkBody::empty());
    let bytes = ByteStream::new(body).collect().await.map_err(|error| ConnectorError::io(error.into()))?;
    let bytes = bytes.into_bytes();
    if let Some(lag) = &mut wire.plan().lag {
        lag.0.entry(question).or_insert_with(|| bytes.clone());
    }
    *answer.body_mut() = SdkBody::from(bytes);
    Ok(answer)
}
