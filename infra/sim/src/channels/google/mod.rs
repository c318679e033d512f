//! Google: where a service account gets its tokens, and what takes events for them.

mod cloud_run;
mod fcm;
mod pubsub;
mod tokens;

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub(super) use cloud_run::CloudRun;
pub(super) use fcm::Fcm;
pub(super) use pubsub::Pubsub;
pub(super) use tokens::Tokens;

use super::{Channels, Refusal, json as answer};
use crate::frame::wire::Inbound;

/// The service account, and its project.
const ACCOUNT: &str = "events@simulated-project.iam.gserviceaccount.com";
const PROJECT: &str = "simulated-project";

/// The scope of all APIs.
const EVERYTHING: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Checks that a call has an access token of this scope.
fn check(channels: &Channels, call: &Inbound, scope: &str) -> Result<(), Box<Response>> {
    let Some(claims) = tokens::claims(channels, call) else {
        return Err(refusal(Refusal::Unauthorized, "").into());
    };
    let mut scopes = claims["scope"].as_str().unwrap_or_default().split(' ');
    if scopes.any(|one| one == scope || one == EVERYTHING) {
        return Ok(());
    }
    let message = "Request had insufficient authentication scopes.";
    Err(failed(403, "PERMISSION_DENIED", message, &json!([])).into())
}

/// An error as all APIs have it: <https://cloud.google.com/apis/design/errors#http_mapping>.
fn failed(code: u16, status: &str, message: &str, details: &Value) -> Response {
    answer(code, &json!({"error": {"code": code, "message": message, "status": status, "details": details}}))
}

/// What all APIs refuse alike.
fn refusal(refusal: Refusal, gone: &str) -> Response {
    match refusal {
        Refusal::Busy(seconds) => {
            let body = failed(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", &json!([]));
            ([("retry-after", seconds.to_string())], body).into_response()
        }
        Refusal::Gone => failed(404, "NOT_FOUND", gone, &json!([])),
        Refusal::Unauthorized => {
            let message = "Request had invalid authentication credentials.";
            failed(401, "UNAUTHENTICATED", message, &json!([]))
        }
        Refusal::Down => failed(503, "UNAVAILABLE", "The service is currently unavailable.", &json!([])),
    }
}
