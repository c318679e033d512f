//! The operations that Genmux and its operators use, over HTTP.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use dynoxide::{Database, DynoxideError, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// As the service.
const BODY_BYTES_MAX: usize = 16 << 20;

pub(super) fn router(database: Database) -> Router {
    Router::new().route("/", post(serve)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(database)
}

async fn serve(State(database): State<Database>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let Some(operation) = target.strip_prefix("DynamoDB_20120810.") else {
        return refused("UnknownOperationException");
    };
    if !headers.contains_key(AUTHORIZATION) {
        return refused("MissingAuthenticationTokenException");
    }
    match answer(&database, operation, &body) {
        Some(Ok(text)) => reply(StatusCode::OK, text),
        Some(Err(error)) => {
            let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
            reply(status, error.to_json())
        }
        None => refused("UnknownOperationException"),
    }
}

/// `None` for an operation that is not served here.
fn answer(db: &Database, operation: &str, body: &[u8]) -> Option<Result<String>> {
    Some(match operation {
        "BatchGetItem" => run(body, |input| db.batch_get_item(input)),
        "BatchWriteItem" => run(body, |input| db.batch_write_item(input)),
        "DeleteItem" => run(body, |input| db.delete_item(input)),
        "DescribeTable" => run(body, |input| db.describe_table(input)),
        "DescribeTimeToLive" => run(body, |input| db.describe_time_to_live(input)),
        "GetItem" => run(body, |input| db.get_item(input)),
        "ListTables" => run(body, |input| db.list_tables(input)),
        "PutItem" => run(body, |input| db.put_item(input)),
        "Query" => run(body, |input| db.query(input)),
        "Scan" => run(body, |input| db.scan(input)),
        "TransactGetItems" => run(body, |input| db.transact_get_items(input)),
        "TransactWriteItems" => run(body, |input| db.transact_write_items(input)),
        "UpdateItem" => run(body, |input| db.update_item(input)),
        _ => return None,
    })
}

fn run<I: DeserializeOwned, O: Serialize>(
    body: &[u8],
    operation: impl FnOnce(I) -> Result<O>,
) -> Result<String> {
    let broken = |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
    let output = operation(serde_json::from_slice(body).map_err(broken)?)?;
    serde_json::to_string(&output).map_err(broken)
}

fn refused(kind: &str) -> Response {
    reply(StatusCode::BAD_REQUEST, json!({"__type": format!("com.amazon.coral.service#{kind}")}).to_string())
}

fn reply(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/x-amz-json-1.0")], body).into_response()
}
