//! fal's error answers.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::frame::play::Refusal;
use crate::frame::schema::Flaw;

pub(super) const POLICY: &str =
    "The content could not be processed because it was flagged by a content checker";

pub(super) fn refusal(refusal: Refusal) -> Response {
    match refusal {
        Refusal::WrongKey => unauthorized(),
        Refusal::NoBalance => detail(
            StatusCode::FORBIDDEN,
            "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
        ),
        Refusal::BrokenInput => invalid(vec![issue(&["body", "prompt"], "Field required", "missing")]),
        Refusal::RateLimit => infrastructure(StatusCode::TOO_MANY_REQUESTS, "concurrent_requests_limit"),
        Refusal::Internal => infrastructure(StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        Refusal::Unavailable => infrastructure(StatusCode::SERVICE_UNAVAILABLE, "runner_scheduling_failure"),
        Refusal::Policy => invalid(vec![issue(&["body", "prompt"], POLICY, "content_policy_violation")]),
    }
}

pub(super) fn unauthorized() -> Response {
    detail(StatusCode::UNAUTHORIZED, "Authentication is required to access this application")
}

pub(super) fn not_found() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"status": "NOT_FOUND"}))).into_response()
}

pub(super) fn detail(code: StatusCode, text: &str) -> Response {
    (code, Json(json!({"detail": text}))).into_response()
}

pub(super) fn invalid(issues: Vec<Value>) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, [("X-Fal-Retryable", "false")], Json(json!({"detail": issues})))
        .into_response()
}

pub(super) fn infrastructure(code: StatusCode, kind: &str) -> Response {
    let body = json!({"detail": kind.replace('_', " "), "error_type": kind});
    (code, [("X-Fal-Error-Type", kind)], Json(body)).into_response()
}

pub(super) fn issue(place: &[&str], message: &str, kind: &str) -> Value {
    json!({"loc": place, "msg": message, "type": kind})
}

/// A flaw in the words of pydantic, which fal's endpoints validate with.
pub(super) fn flawed(field: &str, flaw: Flaw, input: &Map<String, Value>) -> Value {
    let (message, kind) = match flaw {
        Flaw::Missing => ("Field required".to_owned(), "missing"),
        Flaw::Type("string") => ("Input should be a valid string".to_owned(), "string_type"),
        Flaw::Type("integer") => ("Input should be a valid integer".to_owned(), "int_type"),
        Flaw::Type("number") => ("Input should be a valid number".to_owned(), "float_type"),
        Flaw::Type("boolean") => ("Input should be a valid boolean".to_owned(), "bool_type"),
        Flaw::Type("array") => ("Input should be a valid list".to_owned(), "list_type"),
        Flaw::Type(other) => (format!("Input should be a valid {other}"), "model_type"),
        Flaw::NotOneOf(choices) => (format!("Input should be {}", listed(choices)), "literal_error"),
        Flaw::NotOneOfIntegers(choices) => (format!("Input should be one of {choices:?}"), "literal_error"),
        Flaw::TooShort(min) => (format!("String should have at least {min} characters"), "string_too_short"),
        Flaw::TooLong(max) => (format!("String should have at most {max} characters"), "string_too_long"),
        Flaw::TooSmall(min) => {
            (format!("Input should be greater than or equal to {min}"), "greater_than_equal")
        }
        Flaw::TooBig(max) => (format!("Input should be less than or equal to {max}"), "less_than_equal"),
        Flaw::BadAddress => ("Failed to download the file: invalid URL".to_owned(), "file_download_error"),
    };
    let mut issue = issue(&["body", field], &message, kind);
    issue["input"] = input.get(field).cloned().unwrap_or(Value::Null);
    issue
}

fn listed(choices: &[&str]) -> String {
    let quoted: Vec<_> = choices.iter().map(|choice| format!("'{choice}'")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// An error of the platform's own API.
pub(super) fn platform_error(code: StatusCode, kind: &str, message: &str) -> Response {
    (code, Json(json!({"error": {"type": kind, "message": message}}))).into_response()
}
