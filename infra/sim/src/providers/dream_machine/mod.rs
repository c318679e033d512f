//! Luma's older API: create, look-up, list, removal, balance, and unsigned callbacks.

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
use crate::frame::jobs::{Callback, Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Refusal};
use crate::frame::schema::Kind::{Flag, List, Object, OneOf, Text};
use crate::frame::schema::{self, Field, optional, ratio, required};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Payload, Wire};
use crate::frame::{media, poll};

const LISTED: usize = 100;

#[derive(Debug)]
pub(super) struct DreamMachine;

impl Wire for DreamMachine {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::Remove(_) => CallKind::Cancel,
            Target::List => CallKind::LookUp,
            Target::Credits | Target::Ping => CallKind::Ping,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::WrongKey => error(StatusCode::UNAUTHORIZED, "Invalid API key is provided"),
            Refusal::NoBalance => error(StatusCode::BAD_REQUEST, "Insufficient credits"),
            Refusal::BrokenInput => error(StatusCode::BAD_REQUEST, "Invalid request"),
            Refusal::RateLimit => error(StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Refusal::Internal => error(StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
            Refusal::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, "Unavailable"),
            Refusal::Policy => error(StatusCode::BAD_REQUEST, "The prompt did not pass moderation"),
        }
    }

    fn payload(
        &self,
        simulator: &Simulator,
        job: &RemoteJob,
        at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        Ok(Some(Payload::unsigned(&job_json(simulator, job, at))))
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Create,
    Look(&'a str),
    Remove(&'a str),
    List,
    Credits,
    Ping,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let get = call.is(&Method::GET);
    let path = call.path().strip_prefix("/dream-machine/v1").unwrap_or_default();
    match (path, path.strip_prefix("/generations/")) {
        ("/generations/video", _) if call.is(&Method::POST) => Target::Create,
        ("/generations", _) if get => Target::List,
        ("/credits", _) if get => Target::Credits,
        ("/ping", _) if get => Target::Ping,
        (_, Some(id)) if get => Target::Look(id),
        (_, Some(id)) if call.is(&Method::DELETE) => Target::Remove(id),
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let target = target(call);
    if !simulator.is_authorized(call) && !matches!(target, Target::Ping) {
        return Ok(DreamMachine.refusal(Refusal::WrongKey).into());
    }
    match target {
        Target::Create => create(simulator, call).await,
        Target::Look(id) => look(simulator, id, simulator.clock.now()),
        Target::Remove(id) => remove(simulator, id),
        Target::List => list(simulator, call),
        Target::Credits => Ok(Json(json!({"credit_balance": 50_000.0})).into()),
        Target::Ping => Ok(Json(json!({"message": "pong"})).into()),
        Target::Nothing => Ok(error(StatusCode::NOT_FOUND, "Not Found").into()),
    }
}

const BODY: &[Field] = &[
    required("model", OneOf(&["ray-2", "ray-flash-2"])),
    optional("generation_type", OneOf(&["video"])),
    optional("prompt", Text(3, 5_000)),
    optional("aspect_ratio", OneOf(&["1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"])),
    optional("resolution", OneOf(&["540p", "720p", "1080p", "4k"])),
    optional("duration", OneOf(&["5s", "9s"])),
    optional("loop", Flag),
    optional("keyframes", Object),
    optional("concepts", List),
    optional("callback_url", Text(1, 2_048)),
];

async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let Ok(body) = call.object() else {
        return Ok(error(StatusCode::BAD_REQUEST, "The body is not a JSON object").into());
    };
    let mut flaws = schema::flaw_texts(BODY, &body);
    flaws.extend(frame_flaws(body.get("keyframes")));
    if !flaws.is_empty() {
        return Ok(invalid(&flaws).into());
    }
    let word = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let prompt = word("prompt").unwrap_or_default();
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(&[message]).into()),
    };
    let new_job = NewJob {
        id: create::uuid()?,
        endpoint: word("model").unwrap_or_default(),
        medium: Medium::Video { seconds: if word("duration").as_deref() == Some("9s") { 9 } else { 5 } },
        aspect: ratio(body.get("aspect_ratio")),
        prompt,
        callback: word("callback_url").map(|url| Callback { url, start: true, cancel: false }),
        play,
        // Every answer repeats the request.
        extra: Value::Object(body),
    };
    let accept = async |job: RemoteJob| {
        Ok((StatusCode::CREATED, Json(job_json(simulator, &job, job.created_at))).into_response())
    };
    create::play(simulator, new_job, accept).await
}

fn frame_flaws(keyframes: Option<&Value>) -> Vec<String> {
    let none = Map::new();
    let frames = keyframes.and_then(Value::as_object).unwrap_or(&none);
    let is_frame = |frame: &Value| match frame["type"].as_str() {
        Some("image") => frame["url"].as_str().is_some_and(is_address),
        Some("generation") => frame["id"].is_string(),
        _ => false,
    };
    let wrong = frames
        .iter()
        .filter(|(name, frame)| !["frame0", "frame1"].contains(&name.as_str()) || !is_frame(frame));
    wrong.map(|(name, _)| format!("keyframes.{name}: not a frame")).collect()
}

fn look(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = simulator.find(id)?.filter(|job| !job.deleted) else { return Ok(not_found()) };
    let body = job_json(simulator, &job, now);
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, body, "/state").into())
}

/// The generation is gone with its video; the run goes on.
fn remove(simulator: &Simulator, id: &str) -> anyhow::Result<Answer> {
    if simulator.find(id)?.is_none_or(|job| job.deleted) {
        return Ok(not_found());
    }
    simulator.store.update(id, |job| job.deleted = true)?;
    Ok(StatusCode::NO_CONTENT.into())
}

/// Newest first.
fn list(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let number = |name: &str| call.query(name).and_then(|text| text.parse::<usize>().ok());
    let limit = number("limit").unwrap_or(LISTED).min(LISTED);
    let offset = number("offset").unwrap_or(0);
    let now = simulator.clock.now();
    let all: Vec<_> = simulator.store.all()?.into_iter().filter(|job| !job.deleted).collect();
    let page: Vec<_> =
        all.iter().rev().skip(offset).take(limit).map(|job| job_json(simulator, job, now)).collect();
    let has_more = offset + page.len() < all.len();
    let body = json!({"count": page.len(), "generations": page, "has_more": has_more,
                      "limit": limit, "offset": offset});
    Ok(Json(body).into())
}

/// The generation as it is at a time.
fn job_json(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let (state, video, reason) = match job.phase(at) {
        Phase::Throttled | Phase::Queued => ("queued", None, None),
        Phase::Running(_) => ("dreaming", None, None),
        Phase::Succeeded => ("completed", Some(media::url(simulator, job, None)), None),
        Phase::Failed(failure) => ("failed", None, Some(reason(failure))),
        // There is no cancel.
        Phase::Canceled => ("failed", None, None),
    };
    let assets = video.map(|video| json!({"video": video, "image": null, "progress_video": null}));
    let mut request = job.extra.clone();
    request["generation_type"] = json!("video");
    json!({"id": job.id, "generation_type": "video", "state": state, "failure_reason": reason,
           "created_at": job.created_at.to_string(), "assets": assets, "model": job.endpoint,
           "request": request})
}

fn reason(failure: Failure) -> &'static str {
    match failure {
        Failure::ContentPolicy => "The output did not pass moderation",
        Failure::Internal => "Job failed",
        Failure::Invalid => "The image could not be read",
        Failure::NoCode => "",
    }
}

fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "Generation not found").into()
}

fn invalid(flaws: &[String]) -> Response {
    error(StatusCode::BAD_REQUEST, &flaws.join("; "))
}

fn error(code: StatusCode, text: &str) -> Response {
    (code, Json(json!({"detail": text}))).into_response()
}

/// As the provider takes it; and, for the local stack, one of this machine.
fn is_address(url: &str) -> bool {
    url.starts_with("https://")
        || ["http://127.", "http://localhost", "http://[::1]"].iter().any(|it| url.starts_with(it))
}
