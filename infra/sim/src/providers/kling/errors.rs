//! The errors of both of Kling's APIs: a code in every body.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::frame::play::{Failure, Refusal};
use crate::frame::schema::{self, Field, Flaw};

/// The account has no more than this many words for a wrong key.
pub(crate) const NO_KEY: (StatusCode, u16, &str) = (StatusCode::UNAUTHORIZED, 1001, "Authorization is empty");
pub(crate) const BAD_KEY: (StatusCode, u16, &str) =
    (StatusCode::UNAUTHORIZED, 1002, "Authorization is invalid");
pub(crate) const TOO_EARLY: (StatusCode, u16, &str) =
    (StatusCode::UNAUTHORIZED, 1003, "Authorization is not yet valid");
pub(crate) const TOO_LATE: (StatusCode, u16, &str) =
    (StatusCode::UNAUTHORIZED, 1004, "Authorization has expired");
pub(crate) const NO_METHOD: (StatusCode, u16, &str) =
    (StatusCode::NOT_FOUND, 1202, "The requested method is invalid");
pub(crate) const NOTHING: (StatusCode, u16, &str) =
    (StatusCode::NOT_FOUND, 1203, "The requested resource does not exist");

pub(crate) fn error((status, code, message): (StatusCode, u16, &str)) -> Response {
    (status, Json(json!({"code": code, "message": message, "request_id": "simulated"}))).into_response()
}

pub(crate) fn invalid(message: &str) -> Response {
    error((StatusCode::BAD_REQUEST, 1201, message))
}

pub(crate) fn success(data: &Value) -> Value {
    json!({"code": 0, "message": "SUCCEED", "request_id": "simulated", "data": data})
}

pub(crate) fn refusal(refusal: Refusal) -> Response {
    error(match refusal {
        Refusal::WrongKey => BAD_KEY,
        // Neither 402 nor a status that a retry can resolve.
        Refusal::NoBalance => (StatusCode::TOO_MANY_REQUESTS, 1102, "Account balance not enough"),
        Refusal::BrokenInput => (StatusCode::BAD_REQUEST, 1201, "prompt is required"),
        Refusal::RateLimit => (StatusCode::TOO_MANY_REQUESTS, 1302, "Too many requests"),
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 5000, "Server internal error"),
        Refusal::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 5001, "Server temporarily unavailable"),
        Refusal::Policy => (StatusCode::BAD_REQUEST, 1301, "Trigger the platform's content security policy"),
    })
}

/// The sentence that a failed run is explained by; there is no code.
pub(crate) fn reason(failure: Failure) -> &'static str {
    match failure {
        Failure::ContentPolicy => "Failure to pass the risk control system",
        Failure::Internal => "Server internal error",
        Failure::Invalid => "Image pixel is invalid",
        Failure::NoCode => "",
    }
}

/// What is wrong with a body or a part of it. Unknown fields are refused.
pub(crate) fn flaw(fields: &[Field], body: &Map<String, Value>) -> Option<String> {
    let unknown = body.keys().find(|key| !fields.iter().any(|field| field.name == **key));
    if let Some(name) = unknown {
        return Some(format!("{name} is not a known parameter"));
    }
    let (name, flaw) = schema::flaws(fields, body).into_iter().next()?;
    Some(match flaw {
        Flaw::Missing => format!("{name} is required"),
        Flaw::Type(kind) => format!("{name} must be a {kind}"),
        Flaw::NotOneOf(choices) => format!("{name} must be one of {}", choices.join(", ")),
        Flaw::NotOneOfIntegers(choices) => format!("{name} must be one of {choices:?}"),
        Flaw::TooShort(_) | Flaw::TooSmall(_) => format!("{name} is too short"),
        Flaw::TooLong(_) | Flaw::TooBig(_) => format!("{name} is too long"),
        Flaw::BadAddress => format!("{name} must be a URL"),
    })
}
