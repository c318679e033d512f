//! A stand-in for Secrets Manager: it returns the secrets that it was started with.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

/// Secrets by ARN: each an object of variables. Clones share them.
#[derive(Clone)]
pub struct Secrets(Arc<BTreeMap<String, Members>>);

/// The variables in one secret.
pub type Members = BTreeMap<String, String>;

impl std::fmt::Debug for Secrets {
    /// The names, never the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    pub fn new(secrets: BTreeMap<String, Members>) -> Self {
        Self(Arc::new(secrets))
    }

    pub fn get(&self, arn: &str) -> Option<&Members> {
        self.0.get(arn)
    }

    /// `GetSecretValue`, and no other operation.
    pub fn router(&self) -> Router {
        Router::new().route("/", post(serve)).with_state(self.clone())
    }
}

async fn serve(State(secrets): State<Secrets>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    if target != Some("secretsmanager.GetSecretValue") {
        return refused("UnknownOperationException", "This operation is not served here.");
    }
    let input: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = input.get("SecretId").and_then(Value::as_str).unwrap_or_default();
    let Some(members) = secrets.get(id) else {
        return refused(
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
        );
    };
    let name = id.rsplit(':').next();
    let found = json!({"ARN": id, "Name": name, "SecretString": json!(members).to_string()});
    answer(StatusCode::OK, &found)
}

fn refused(kind: &str, message: &str) -> Response {
    answer(StatusCode::BAD_REQUEST, &json!({"__type": kind, "Message": message}))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string()).into_response()
}
