//! What MiniMax's answers look like: v1 returns errors in a 200, v2 by status and envelope.

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use http::StatusCode;
use serde_json::{Value, json};

use crate::frame::jobs::{Phase, RemoteJob};
use crate::frame::media;
use crate::frame::play::{Failure, Refusal};
use crate::frame::simulator::Simulator;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

pub(super) const UNKNOWN: u16 = 1000;
pub(super) const WRONG_KEY: u16 = 1004;
pub(super) const INVALID: u16 = 2013;
const RATE_LIMIT: u16 = 1002;
const NO_BALANCE: u16 = 1008;
const POLICY_INPUT: u16 = 1026;
const POLICY_OUTPUT: u16 = 1027;
const SYSTEM: u16 = 1033;

/// What the id of a job's file has before the job's.
pub(super) const FILE: &str = "20";

pub(super) fn error(version: Version, code: u16, text: &str) -> Response {
    let body = || json!({"base_resp": {"status_code": code, "status_msg": text}});
    let (status, word) = match code {
        _ if version == Version::One => return Json(body()).into_response(),
        INVALID => (StatusCode::BAD_REQUEST, "bad_request_error"),
        WRONG_KEY => (StatusCode::UNAUTHORIZED, "authorized_error"),
        NO_BALANCE => (StatusCode::PAYMENT_REQUIRED, "insufficient_balance_error"),
        POLICY_INPUT => (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable_entity_error"),
        RATE_LIMIT => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
        SYSTEM => (StatusCode::SERVICE_UNAVAILABLE, "overloaded_error"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
    };
    let error = json!({"type": word, "message": format!("{text} ({code})"),
                       "http_code": status.as_u16().to_string()});
    (status, Json(json!({"type": "error", "error": error, "request_id": "021785229015510a"}))).into_response()
}

pub(super) fn refused(version: Version, refusal: Refusal) -> Response {
    let (code, text) = match refusal {
        Refusal::WrongKey => (WRONG_KEY, "login fail"),
        Refusal::NoBalance => (NO_BALANCE, "insufficient balance"),
        Refusal::BrokenInput => (INVALID, "invalid params"),
        Refusal::RateLimit => (RATE_LIMIT, "rate limit, please retry later"),
        Refusal::Internal => (UNKNOWN, "unknown error"),
        Refusal::Unavailable => (SYSTEM, "system error"),
        Refusal::Policy => (POLICY_INPUT, "video description contains sensitive content"),
    };
    error(version, code, text)
}

/// v1's body with the code and message of a success.
pub(super) fn success(mut body: Value) -> Value {
    body["base_resp"] = json!({"status_code": 0, "status_msg": "success"});
    body
}

fn failure(failure: Failure) -> u16 {
    match failure {
        Failure::ContentPolicy => POLICY_OUTPUT,
        Failure::Internal => UNKNOWN,
        Failure::Invalid => INVALID,
        Failure::NoCode => 0,
    }
}

/// The JSON of a job in v1.
pub(super) fn json_v1(job: &RemoteJob, at: Timestamp) -> Value {
    let mut body = success(json!({"task_id": job.id, "file_id": "", "video_width": 0, "video_height": 0}));
    let status = match job.phase(at) {
        Phase::Throttled => "Preparing",
        Phase::Queued => "Queueing",
        Phase::Running(_) => "Processing",
        Phase::Succeeded => {
            body["file_id"] = json!(format!("{FILE}{}", job.id));
            "Success"
        }
        Phase::Failed(how) => {
            body["base_resp"] = json!({"status_code": failure(how), "status_msg": "A text for people."});
            "Fail"
        }
        // v1 has no way to cancel.
        Phase::Canceled => "Fail",
    };
    body["status"] = json!(status);
    body
}

/// The JSON of a job in v1's callback: its status words differ from the poll's.
pub(super) fn event(job: &RemoteJob, at: Timestamp) -> Value {
    let mut body = json_v1(job, at);
    body["status"] = json!(match job.phase(at) {
        Phase::Throttled | Phase::Queued | Phase::Running(_) => "processing",
        Phase::Succeeded => "success",
        Phase::Failed(_) | Phase::Canceled => "failed",
    });
    body
}

/// The JSON of a job in v2, in polls and callbacks.
pub(super) fn json_v2(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let mut task = job.extra.clone();
    task["id"] = json!(job.id);
    task["model"] = json!(job.endpoint);
    task["created_at"] = json!(job.created_at.as_secs());
    let status = match job.phase(at) {
        Phase::Throttled | Phase::Queued => "queued",
        Phase::Running(_) => "running",
        Phase::Succeeded => {
            task["content"] = json!({"url": media::url(simulator, job, Some(at))});
            task["usage"] = json!({"output_seconds": job.extra["duration"]});
            "succeeded"
        }
        Phase::Failed(how) => {
            let code = failure(how);
            task["error"] = match code {
                0 => json!({"message": "A text for people."}),
                code => json!({"code": code.to_string(), "message": "A text for people."}),
            };
            "failed"
        }
        Phase::Canceled => "cancelled",
    };
    task["status"] = json!(status);
    json!({"task": task})
}
