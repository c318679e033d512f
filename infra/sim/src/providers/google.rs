//! Google's error answers.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::frame::play::Refusal;
use crate::frame::schema::{self, Field, Flaw};

pub(super) fn error(code: StatusCode, status: &str, message: &str) -> Response {
    (code, Json(json!({"error": {"code": code.as_u16(), "message": message, "status": status}})))
        .into_response()
}

pub(super) fn invalid(message: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
}

pub(super) fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "NOT_FOUND", "Requested entity was not found.")
}

/// Refusals with the status words that both APIs share.
pub(super) fn refusal(refusal: Refusal) -> Response {
    let unauthenticated = "Request had invalid authentication credentials.";
    let depleted = "Your prepayment credits are depleted.";
    let policy = "The prompt could not be submitted: it contains words that violate our usage guidelines.";
    match refusal {
        Refusal::WrongKey => error(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", unauthenticated),
        Refusal::NoBalance => error(StatusCode::PAYMENT_REQUIRED, "RESOURCE_EXHAUSTED", depleted),
        Refusal::BrokenInput => invalid("Request contains an invalid argument."),
        Refusal::RateLimit => {
            let delay = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"});
            let error = json!({"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": [delay]});
            (StatusCode::TOO_MANY_REQUESTS, Json(json!({"error": error}))).into_response()
        }
        Refusal::Internal => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error encountered.")
        }
        Refusal::Unavailable => {
            error(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "The service is overloaded.")
        }
        Refusal::Policy => invalid(policy),
    }
}

/// The first flaw of an object, by its path. Unknown members are flaws.
pub(super) fn flaw(path: &str, fields: &[Field], object: &Map<String, Value>) -> Option<String> {
    let unknown = object.keys().find(|key| !fields.iter().any(|field| field.name == **key));
    if let Some(key) = unknown {
        let at = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
        return Some(format!(
            "Invalid JSON payload received. Unknown name \"{key}\"{at}: Cannot find field."
        ));
    }
    let flaws = schema::flaws(fields, object);
    let (field, flaw) = flaws.first()?;
    let field = if path.is_empty() { (*field).to_owned() } else { format!("{path}.{field}") };
    let problem = match flaw {
        Flaw::Missing => "is required".to_owned(),
        Flaw::Type(kind) => format!("must be of type {kind}"),
        Flaw::NotOneOf(choices) => format!("must be one of {}", choices.join(", ")),
        Flaw::NotOneOfIntegers(choices) => format!("must be one of {choices:?}"),
        Flaw::TooShort(min) => format!("must have at least {min} characters"),
        Flaw::TooLong(max) => format!("must have at most {max} characters"),
        Flaw::TooSmall(min) => format!("must be at least {min}"),
        Flaw::TooBig(max) => format!("must be at most {max}"),
        Flaw::BadAddress => "must be an address".to_owned(),
    };
    Some(format!("{field} {problem}."))
}

/// The same for a member that is an object; one that is not there has no flaw.
pub(super) fn flaw_of(member: &str, fields: &[Field], object: &Map<String, Value>) -> Option<String> {
    match object.get(member)? {
        Value::Object(inner) => flaw(member, fields, inner),
        _ => Some(format!("{member} must be of type object.")),
    }
}
