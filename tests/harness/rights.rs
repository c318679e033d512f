//! Which right each call needs: what the platform would look for in the caller's policies.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use local::host::Grant;
use serde_json::Value;

/// Where the local stack is, by its ARNs.
const AT: &str = "us-east-1:000000000000";

/// The rights that a call of the SDK needs; none for one that is not known here.
pub fn rights(request: &HttpRequest) -> Vec<Grant> {
    let body = request.body().bytes().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let body = body.unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    match request.headers().get("x-amz-target").and_then(|target| target.split_once('.')) {
        Some(("DynamoDB_20120810", operation)) => table(operation, &body),
        Some(("AmazonSQS", operation)) => {
            let queue = text("QueueUrl").rsplit('/').next().unwrap_or_default();
            // A batch needs the right to what is in it.
            let operation = operation.strip_suffix("Batch").unwrap_or(operation);
            vec![grant("sqs", operation, format!("arn:aws:sqs:{AT}:{queue}"))]
        }
        Some(("secretsmanager", operation)) => {
            vec![grant("secretsmanager", operation, text("SecretId").to_owned())]
        }
        Some(_) => Vec::new(),
        None => vec![bucket(request.method(), request.uri())],
    }
}

/// A transaction needs the right to each of its writes, and none of its own.
fn table(operation: &str, body: &Value) -> Vec<Grant> {
    let on = |input: &Value, operation: &str| {
        let name = input.get("TableName").and_then(Value::as_str).unwrap_or_default();
        let index = input.get("IndexName").and_then(Value::as_str);
        let index = index.map(|index| format!("/index/{index}")).unwrap_or_default();
        grant("dynamodb", operation, format!("arn:aws:dynamodb:{AT}:table/{name}{index}"))
    };
    let parts = body.get("TransactItems").and_then(Value::as_array);
    if let Some(parts) = parts {
        let writes = parts.iter().filter_map(Value::as_object).flatten();
        return writes
            .map(|(kind, input)| match kind.as_str() {
                "ConditionCheck" => on(input, "ConditionCheckItem"),
                kind => on(input, &format!("{kind}Item")),
            })
            .collect();
    }
    match body.get("RequestItems").and_then(Value::as_object) {
        Some(tables) => {
            let arn = |name| format!("arn:aws:dynamodb:{AT}:table/{name}");
            tables.keys().map(|name| grant("dynamodb", operation, arn(name))).collect()
        }
        None => vec![on(body, operation)],
    }
}

fn bucket(method: &str, uri: &str) -> Grant {
    let path = uri.split_once("://").map_or(uri, |(_, rest)| rest.split_once('/').unwrap_or_default().1);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let action = match method {
        "PUT" | "POST" => "PutObject",
        "DELETE" if query.contains("uploadId=") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        _ => "GetObject",
    };
    grant("s3", action, format!("arn:aws:s3:::{path}"))
}

fn grant(service: &str, operation: &str, resource: String) -> Grant {
    Grant { action: format!("{service}:{operation}"), resource }
}
