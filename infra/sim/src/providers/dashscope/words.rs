//! What Model Studio's answers look like.

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::frame::jobs::{Phase, RemoteJob};
use crate::frame::media;
use crate::frame::play::{Failure, Refusal};
use crate::frame::simulator::Simulator;

/// The id of a request about a task; a real one has its own.
pub(super) const REQUEST: &str = "45ac7f13-0000-9000-8000-e03c35068d83";

const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Throttled | Phase::Queued => "PENDING",
        Phase::Running(_) => "RUNNING",
        Phase::Succeeded => "SUCCEEDED",
        Phase::Failed(_) => "FAILED",
        Phase::Canceled => "CANCELED",
    }
}

/// The documents say of failures that they are free.
pub(super) fn is_billed(job: &RemoteJob, at: Timestamp) -> bool {
    match job.phase(at) {
        Phase::Succeeded => true,
        Phase::Failed(_) => job.play.fail_bills,
        Phase::Throttled | Phase::Queued | Phase::Running(_) | Phase::Canceled => false,
    }
}

/// What the answers about a task need of its create.
pub(super) fn remembered(request_id: &str, parameters: &Map<String, Value>) -> Value {
    let given = |name: &str| parameters.get(name).cloned();
    json!({
        "request_id": request_id,
        "resolution": given("resolution").unwrap_or(json!("1080P")),
        "duration": given("duration").unwrap_or(json!(5)),
        "ratio": given("ratio"),
    })
}

/// The answer about a task that does not exist, or did so more than a day ago.
pub(super) fn unknown(id: &str) -> Value {
    json!({"request_id": REQUEST, "output": {"task_id": id, "task_status": "UNKNOWN"}})
}

/// The JSON of a task.
pub(super) fn task(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let phase = job.phase(at);
    let mut output = json!({
        "task_id": job.id, "task_status": word(phase), "submit_time": clock_time(job.created_at),
    });
    if !matches!(phase, Phase::Throttled | Phase::Queued | Phase::Canceled) {
        output["scheduled_time"] = json!(clock_time(job.created_at));
    }
    if job.is_over(at) {
        output["end_time"] = json!(clock_time(job.ends_at()));
    }
    match phase {
        Phase::Succeeded => {
            output["orig_prompt"] = json!(job.prompt);
            output["video_url"] = json!(media::url(simulator, job, None));
        }
        Phase::Failed(how) => {
            if let Some((code, text)) = failure(how) {
                output["code"] = json!(code);
                output["message"] = json!(text);
            }
        }
        Phase::Throttled | Phase::Queued | Phase::Running(_) | Phase::Canceled => {}
    }
    let mut body = json!({"request_id": REQUEST, "output": output});
    if is_billed(job, at) {
        body["usage"] = usage(job);
    }
    body
}

fn usage(job: &RemoteJob) -> Value {
    let (length, ratio) = (&job.extra["duration"], &job.extra["ratio"]);
    let lines = if job.extra["resolution"] == "720P" { 720 } else { 1_080 };
    let mut usage = json!({
        "duration": length, "input_video_duration": 0, "output_video_duration": length, "video_count": 1,
        "SR": lines,
    });
    if ratio.is_string() {
        usage["ratio"] = ratio.clone();
    }
    usage
}

/// A task in the list: neither its input nor anything that the caller named.
pub(super) fn item(job: &RemoteJob, at: Timestamp) -> Value {
    let model = &job.endpoint;
    let mut item = json!({
        "api_key_id": "235", "caller_parent_id": "1808342417264262", "caller_uid": "1808342417264262",
        "gmt_create": job.created_at.as_millis(), "model_name": model, "region": "ap-southeast-1",
        "request_id": job.extra["request_id"], "start_time": job.created_at.as_millis(),
        "status": word(job.phase(at)), "task_id": job.id,
        "user_api_unique_key": format!("apikey:v1:aigc:video-generation:video-synthesis:{model}"),
    });
    if job.is_over(at) {
        item["end_time"] = json!(job.ends_at().as_millis());
    }
    item
}

/// As `2026-11-22 18:26:32.082`. The documents do not name the time zone.
fn clock_time(at: Timestamp) -> String {
    let text = at.to_string();
    let (day, time) = text.trim_end_matches('Z').split_once('T').unwrap_or((&text, "00:00:00"));
    let (time, part) = time.split_once('.').unwrap_or((time, "0"));
    format!("{day} {time}.{part:0<3.3}")
}

fn failure(failure: Failure) -> Option<(&'static str, &'static str)> {
    match failure {
        Failure::ContentPolicy => {
            Some(("DataInspectionFailed", "Output data may contain inappropriate content."))
        }
        Failure::Internal => Some(("InternalError.Algo", "An internal error has occured during execution.")),
        Failure::Invalid => {
            Some(("InvalidParameter.DataInspection", "Unable to download the media resource."))
        }
        Failure::NoCode => None,
    }
}

pub(super) fn error(status: StatusCode, code: &str, text: &str) -> Response {
    (status, Json(json!({"code": code, "message": text, "request_id": REQUEST}))).into_response()
}

pub(super) fn refused(refusal: Refusal) -> Response {
    let (status, code, text) = match refusal {
        Refusal::WrongKey => (StatusCode::UNAUTHORIZED, "InvalidApiKey", "Invalid API-key provided."),
        Refusal::NoBalance => (
            StatusCode::BAD_REQUEST,
            "Arrearage",
            "Access denied, please make sure your account is in good standing.",
        ),
        Refusal::BrokenInput => {
            (StatusCode::BAD_REQUEST, "InvalidParameter", "The request parameters are invalid.")
        }
        Refusal::RateLimit => (
            StatusCode::TOO_MANY_REQUESTS,
            "Throttling.RateQuota",
            "Requests rate limit exceeded, please try again later.",
        ),
        Refusal::Policy => {
            (StatusCode::BAD_REQUEST, "DataInspectionFailed", "Input data may contain inappropriate content.")
        }
        Refusal::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "An internal error has occured, please try again later or contact service support.",
        ),
        Refusal::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ModelUnavailable",
            "Model is unavailable, please try again later.",
        ),
    };
    error(status, code, text)
}
