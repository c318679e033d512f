//! What `ModelArk`'s answers look like.

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::models::Settings;
use crate::frame::jobs::{Phase, RemoteJob};
use crate::frame::media;
use crate::frame::play::{Failure, Refusal};
use crate::frame::simulator::Simulator;

/// Frames of a second.
const RATE: u32 = 24;
/// After how many seconds a job is given up, if it does not say.
const EXPIRES_AFTER: u64 = 172_800;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Queued,
    Running,
    Succeeded,
    Failed(Failure),
    Expired,
    Cancelled,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The state of a job; one that takes too long has expired.
pub(super) fn state(job: &RemoteJob, at: Timestamp) -> State {
    let after = job.extra["execution_expires_after"].as_u64().unwrap_or(EXPIRES_AFTER);
    let expires_at = job.created_at + std::time::Duration::from_secs(after);
    match job.phase(at) {
        Phase::Canceled => State::Cancelled,
        _ if job.ends_at() > expires_at && at >= expires_at => State::Expired,
        Phase::Throttled | Phase::Queued => State::Queued,
        Phase::Running(_) => State::Running,
        Phase::Succeeded => State::Succeeded,
        Phase::Failed(how) => State::Failed(how),
    }
}

/// The documents say of failures that they are free.
pub(super) fn is_billed(job: &RemoteJob, at: Timestamp) -> bool {
    match state(job, at) {
        State::Succeeded => true,
        State::Failed(_) => job.play.fail_bills,
        State::Queued | State::Running | State::Expired | State::Cancelled => false,
    }
}

/// What the answers about a job repeat of its create.
pub(super) fn remembered(settings: &Settings, body: &Map<String, Value>) -> Value {
    let given = |name: &str, default: Value| body.get(name).cloned().unwrap_or(default);
    let mut extra = json!({
        "resolution": settings.resolution,
        "ratio": settings.ratio,
        "duration": settings.seconds,
        "framespersecond": RATE,
        "seed": 10,
        "service_tier": "default",
        "execution_expires_after": given("execution_expires_after", json!(EXPIRES_AFTER)),
        "generate_audio": given("generate_audio", json!(true)),
        "draft": false,
        "priority": given("priority", json!(0)),
    });
    if let Some(name) = body.get("safety_identifier") {
        extra["safety_identifier"] = name.clone();
    }
    extra
}

/// The JSON of a task, in answers and callbacks.
pub(super) fn task(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let state = state(job, at);
    let mut task = job.extra.clone();
    let changed_at = if job.is_over(at) { job.ends_at() } else { job.created_at };
    task["id"] = json!(job.id);
    task["model"] = json!(job.endpoint);
    task["status"] = json!(state.word());
    task["created_at"] = json!(job.created_at.as_secs());
    task["updated_at"] = json!(changed_at.as_secs());
    match state {
        State::Succeeded => {
            task["content"] = json!({"video_url": media::url(simulator, job, None)});
        }
        State::Failed(how) => task["error"] = failure(how),
        State::Queued | State::Running | State::Expired | State::Cancelled => {}
    }
    if is_billed(job, at) {
        let tokens = tokens(job);
        task["usage"] = json!({"completion_tokens": tokens, "total_tokens": tokens});
    }
    task
}

/// By the documented formula; a video of five seconds has 121 frames.
fn tokens(job: &RemoteJob) -> u64 {
    let (width, height) = match (job.extra["resolution"].as_str(), job.aspect.0 < job.aspect.1) {
        (Some("480p"), false) => (864, 496),
        (Some("480p"), true) => (496, 864),
        (Some("1080p"), _) => (1_920, 1_080),
        (Some("4k"), _) => (3_840, 2_160),
        _ => (1_280, 720),
    };
    let frames = job.extra["duration"].as_u64().unwrap_or(5) * u64::from(RATE) + 1;
    width * height * frames / 1_024
}

fn failure(failure: Failure) -> Value {
    let (code, text) = match failure {
        Failure::ContentPolicy => (
            "OutputVideoSensitiveContentDetected",
            "The request failed because the output video may contain sensitive information.",
        ),
        Failure::Internal => {
            ("InternalServiceError", "The service encountered an unexpected internal error.")
        }
        Failure::Invalid => (
            "InvalidParameter.TaskTypeConstraint",
            "The parameters are not compatible with the task type that the model identified.",
        ),
        Failure::NoCode => return json!({"code": "", "message": "A text for people."}),
    };
    json!({"code": code, "message": said(text)})
}

fn said(text: &str) -> String {
    format!("{text} Request id: 0217847800000000000000000000000000000ffff")
}

pub(super) fn error(status: StatusCode, code: &str, text: &str) -> Response {
    let kind = match status {
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::BAD_REQUEST => "BadRequest",
        _ => "InternalServerError",
    };
    let error = json!({"code": code, "message": said(text), "param": "", "type": kind});
    (status, Json(json!({"error": error}))).into_response()
}

pub(super) fn refused(refusal: Refusal) -> Response {
    let (status, code, text) = match refusal {
        Refusal::WrongKey => (
            StatusCode::UNAUTHORIZED,
            "AuthenticationError",
            "the API key or AK/SK in the request is missing or invalid.",
        ),
        Refusal::NoBalance => (
            StatusCode::FORBIDDEN,
            "AccountOverdueError",
            "The request failed because your account has an overdue balance.",
        ),
        Refusal::BrokenInput => (
            StatusCode::BAD_REQUEST,
            "InvalidParameter",
            "One or more parameters specified in the request are not valid.",
        ),
        Refusal::RateLimit => (
            StatusCode::TOO_MANY_REQUESTS,
            "ModelAccountRpmRateLimitExceeded",
            "RPM of the model has been exceeded.",
        ),
        Refusal::Policy => (
            StatusCode::BAD_REQUEST,
            "InputTextSensitiveContentDetected",
            "The request failed because the input text may contain sensitive information.",
        ),
        Refusal::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServiceError",
            "The service encountered an unexpected internal error.",
        ),
        Refusal::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ServerOverloaded",
            "The service is currently unable to handle additional requests.",
        ),
    };
    error(status, code, text)
}
