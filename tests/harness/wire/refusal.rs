//! How the real table refuses a call where the embedded one never does.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

/// A refusal of the table.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// A transaction, for these reasons: one for each of its writes.
    Transaction(Vec<&'static str>),
    /// Any call: there are more than the table takes.
    Throughput,
}

impl Refusal {
    pub(super) fn response(&self) -> HttpResponse {
        let (kind, reasons) = match self {
            Self::Transaction(codes) => {
                let reasons = codes.iter().map(|code| json!({ "Code": code, "Message": code }));
                ("TransactionCanceledException", reasons.collect())
            }
            Self::Throughput => ("ProvisionedThroughputExceededException", Value::Null),
        };
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"),
            "Message": "refused by the test",
            "CancellationReasons": reasons,
        });
        let status = 400_u16.try_into().expect("a status");
        HttpResponse::new(status, SdkBody::from(body.to_string()))
    }
}
