//! What the table charges.

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::Value;

use super::mortal::RUN;
use super::{Wire, edit};

/// What the table charged for a span of calls, in capacity units.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Capacity {
    pub writes: f64,
    pub reads: f64,
}

impl Capacity {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { writes: self.writes + other.writes, reads: self.reads + other.reads }
    }
}

impl Wire {
    /// Makes a call and notes what the table charges for it.
    pub(super) async fn metered(
        &self,
        inner: SharedHttpConnector,
        mut request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let operation = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        if !operation.starts_with("DynamoDB") || self.plan().storm.is_some() {
            return inner.call(request).await;
        }
        edit(&mut request, |body| {
            body.insert("ReturnConsumedCapacity".to_owned(), "TOTAL".into());
        });
        let mut response = inner.call(request).await?;
        let body = std::mem::replace(response.body_mut(), SdkBody::empty());
        let bytes = ByteStream::new(body)
            .collect()
            .await
            .map_err(|error| ConnectorError::io(error.into()))?
            .into_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let reads = ["GetItem", "Query", "BatchGetItem", "Scan"].iter().any(|name| operation.ends_with(name));
        let mut plan = self.plan();
        let function = RUN.try_with(|run| run.function.clone()).unwrap_or_default();
        let charged = plan.capacity.entry(function).or_default();
        let units = if reads { &mut charged.reads } else { &mut charged.writes };
        *units += match answer.get("ConsumedCapacity") {
            Some(Value::Array(tables)) => {
                tables.iter().filter_map(|table| table.get("CapacityUnits")?.as_f64()).sum()
            }
            Some(table) => table.get("CapacityUnits").and_then(Value::as_f64).unwrap_or(0.0),
            None => 0.0,
        };
        drop(plan);
        *response.body_mut() = SdkBody::from(bytes);
        Ok(response)
    }
}
