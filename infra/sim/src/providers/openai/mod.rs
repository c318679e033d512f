//! The shape of `OpenAI`'s Videos API as its heirs serve it: videos, their content, models.

mod form;
#[cfg(test)]
pub(crate) mod tests;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Refusal};
use crate::frame::poll;
use crate::frame::schema::Kind::{Object, OneOf, Text};
use crate::frame::schema::{self, Field, Flaw, optional, required};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Wire};

/// What the server has loaded.
const MODELS: [&str; 2] = ["Wan-AI/Wan2.2-T2V-A14B-Diffusers", "Wan-AI/Wan2.2-I2V-A14B-Diffusers"];

const FIELDS: &[Field] = &[
    required("prompt", Text(1, 32_000)),
    optional("model", OneOf(&MODELS)),
    optional("seconds", OneOf(&["4", "8", "12"])),
    optional("size", OneOf(&["720x1280", "1280x720", "1024x1792", "1792x1024"])),
    optional("input_reference", Object),
];

#[derive(Debug)]
pub(super) struct Openai;

impl Wire for Openai {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::Delete(_) => CallKind::Other,
            Target::Models => CallKind::Ping,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        refused(refusal)
    }

    fn media<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix("/v1/videos/")?.strip_suffix("/content")
    }

    fn media_need_key(&self) -> bool {
        true
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Create,
    Look(&'a str),
    Delete(&'a str),
    Models,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let path = call.path();
    match path.strip_prefix("/v1/videos/") {
        Some(id) if call.is(&Method::GET) => Target::Look(id),
        Some(id) if call.is(&Method::DELETE) => Target::Delete(id),
        None if path == "/v1/videos" && call.is(&Method::POST) => Target::Create,
        None if path == "/v1/models" && call.is(&Method::GET) => Target::Models,
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if !simulator.is_authorized(call) {
        return Ok(refused(Refusal::WrongKey).into());
    }
    let now = simulator.clock.now();
    match target(call) {
        Target::Create => create(simulator, call).await,
        Target::Look(id) => look(simulator, id, now),
        Target::Delete(id) => delete(simulator, id),
        Target::Models => Ok(Json(models()).into()),
        Target::Nothing => Ok(not_found("Unknown request URL").into()),
    }
}

async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let Some(body) = call.object().ok().or_else(|| form::object(call)) else {
        return Ok(invalid(None, "The body is neither a JSON object nor a form.").into());
    };
    if let Some((field, message)) = flaw(&body) {
        return Ok(invalid(Some(field), &message).into());
    }
    let text =
        |name: &str, default: &str| body.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
    let (prompt, size) = (text("prompt", ""), text("size", "720x1280"));
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(Some("prompt"), &message).into()),
    };
    let sides = size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let seconds = text("seconds", "4");
    let new_job = NewJob {
        id: format!("video_{}", create::uuid()?.replace('-', "")),
        endpoint: text("model", MODELS[0]),
        prompt,
        medium: Medium::Video { seconds: seconds.parse().unwrap_or(4) },
        aspect: sides.unwrap_or((9, 16)),
        callback: None,
        extra: json!({"size": size, "seconds": seconds}),
        play,
    };
    let accept = async |job: RemoteJob| Ok(Json(video(&job, job.created_at)).into_response());
    create::play(simulator, new_job, accept).await
}

/// What is wrong with a body first, unknown fields included.
fn flaw(body: &Map<String, Value>) -> Option<(&str, String)> {
    let unknown = body.keys().find(|key| !FIELDS.iter().any(|field| field.name == **key));
    if let Some(name) = unknown {
        return Some((name, format!("Unknown parameter: '{name}'.")));
    }
    if let Some((name, flaw)) = schema::flaws(FIELDS, body).into_iter().next() {
        let message = match flaw {
            Flaw::Missing => format!("Missing required parameter: '{name}'."),
            Flaw::NotOneOf(choices) => format!("Invalid value: '{name}' must be one of {choices:?}."),
            _ => format!("Invalid type or length for '{name}'."),
        };
        return Some((name, message));
    }
    let reference = body.get("input_reference")?.as_object()?;
    let one = |name: &str| reference.get(name).is_some_and(Value::is_string);
    let good = reference.len() == 1 && (one("image_url") || one("file_id"));
    let message = "Exactly one of 'image_url' and 'file_id' must be given.";
    (!good).then(|| ("input_reference", message.to_owned()))
}

fn look(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = simulator.find(id)?.filter(|job| !job.deleted) else {
        return Ok(not_found("Video not found").into());
    };
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, video(&job, now), "/status").into())
}

fn delete(simulator: &Simulator, id: &str) -> anyhow::Result<Answer> {
    let Some(job) = simulator.find(id)?.filter(|job| !job.deleted) else {
        return Ok(not_found("Video not found").into());
    };
    simulator.store.update(&job.id, |job| job.deleted = true)?;
    Ok(Json(json!({"id": job.id, "object": "video.deleted", "deleted": true})).into())
}

/// The JSON of a video; it has no URL of its content.
fn video(job: &RemoteJob, at: Timestamp) -> Value {
    let (status, progress) = match job.phase(at) {
        Phase::Throttled | Phase::Queued => ("queued", 0.0),
        Phase::Running(share) => ("in_progress", share * 100.0),
        Phase::Succeeded => ("completed", 100.0),
        // The second is not visible to a caller.
        Phase::Failed(_) | Phase::Canceled => ("failed", 100.0),
    };
    let error = match job.phase(at) {
        Phase::Failed(failure) => failed(failure),
        _ => Value::Null,
    };
    let completed_at = job.is_over(at).then(|| job.ends_at().as_secs());
    json!({
        "id": job.id, "object": "video", "model": job.endpoint, "status": status,
        "progress": progress as i64, "created_at": job.created_at.as_secs(),
        "completed_at": completed_at, "expires_at": completed_at.map(|end| end + 86_400),
        "size": job.extra["size"], "seconds": job.extra["seconds"], "prompt": job.prompt,
        "remixed_from_video_id": null, "error": error,
    })
}

fn failed(failure: Failure) -> Value {
    let (code, message) = match failure {
        Failure::ContentPolicy => ("moderation_blocked", "The video was blocked by our moderation system."),
        Failure::Internal => ("internal_error", "The server had an error."),
        Failure::Invalid => ("invalid_input_reference", "The image could not be read."),
        Failure::NoCode => return json!({"message": "Something went wrong."}),
    };
    json!({"code": code, "message": message})
}

fn models() -> Value {
    let model =
        |id: &&str| json!({"id": id, "object": "model", "created": 1_750_000_000, "owned_by": "simulated"});
    json!({"object": "list", "data": MODELS.iter().map(model).collect::<Vec<_>>()})
}

fn refused(refusal: Refusal) -> Response {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match refusal {
        Refusal::WrongKey => {
            error(StatusCode::UNAUTHORIZED, "invalid_request_error", "invalid_api_key", "Incorrect API key.")
        }
        // Not a rate limit, whatever its status says.
        Refusal::NoBalance => error(
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota.",
        ),
        Refusal::BrokenInput => invalid(Some("prompt"), "Missing required parameter: 'prompt'."),
        Refusal::RateLimit => {
            error(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", "Rate limit reached.")
        }
        Refusal::Internal => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "server_error",
            "The server had an error.",
        ),
        Refusal::Unavailable => error(unavailable, "server_error", "overloaded", "The engine is overloaded."),
        Refusal::Policy => error(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "moderation_blocked",
            "Your request was blocked by our moderation system.",
        ),
    }
}

fn invalid(field: Option<&str>, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "invalid_request_error", "param": field,
                                "code": "invalid_value"}});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

fn not_found(message: &str) -> Response {
    error(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", message)
}

fn error(status: StatusCode, kind: &str, code: &str, message: &str) -> Response {
    (status, Json(json!({"error": {"message": message, "type": kind, "param": null, "code": code}})))
        .into_response()
}
