//! Luma's newer API: create, look-up and the list of files. What its errors look like is not
//! published; here they are `{"detail": …}`.

#[cfg(test)]
pub(crate) mod tests;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Refusal};
use crate::frame::schema::Kind::{Flag, List, Object, OneOf, Text};
use crate::frame::schema::{self, Field, optional, ratio, required};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Wire};
use crate::frame::{media, poll};

const FRAMES_PER_S: u64 = 24;

#[derive(Debug)]
pub(super) struct Luma;

impl Wire for Luma {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::Files => CallKind::Ping,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        let dated = |answer| match answer {
            Answer::Reply(mut response) => {
                response.headers_mut().insert("x-api-version", HeaderValue::from_static("2026-04-01"));
                Answer::Reply(response)
            }
            Answer::Hangup => Answer::Hangup,
        };
        answer(simulator, call).map(move |answer| answer.map(dated)).boxed()
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::WrongKey => error(StatusCode::UNAUTHORIZED, "Invalid API key"),
            Refusal::NoBalance => error(StatusCode::PAYMENT_REQUIRED, "The budget is exhausted"),
            Refusal::BrokenInput => invalid(&["prompt: Missing".to_owned()]),
            Refusal::RateLimit => error(StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Refusal::Internal => error(StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
            Refusal::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, "Unavailable"),
            Refusal::Policy => {
                let body =
                    json!({"detail": {"code": "content_moderated", "message": "The prompt is refused."}});
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
        }
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Create,
    Look(&'a str),
    Files,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let get = call.is(&Method::GET);
    match (call.path(), call.path().strip_prefix("/v1/generations/")) {
        ("/v1/generations", _) if call.is(&Method::POST) => Target::Create,
        ("/v1/files", _) if get => Target::Files,
        (_, Some(id)) if get => Target::Look(id),
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if !simulator.is_authorized(call) {
        return Ok(Luma.refusal(Refusal::WrongKey).into());
    }
    match target(call) {
        Target::Create => create(simulator, call).await,
        Target::Look(id) => look(simulator, id, simulator.clock.now()),
        Target::Files => Ok(Json(json!({"data": [], "has_more": false, "next_cursor": null})).into()),
        Target::Nothing => Ok(error(StatusCode::NOT_FOUND, "Not found").into()),
    }
}

const RATIOS: &[&str] =
    &["3:1", "2:1", "21:9", "16:9", "4:3", "3:2", "1:1", "3:4", "2:3", "9:16", "1:2", "1:3"];
const VIDEO_RATIOS: &[&str] = &["9:16", "3:4", "1:1", "4:3", "16:9", "21:9"];
const PROMPT: Field = required("prompt", Text(1, 6_000));

const VIDEO_BODY: &[Field] = &[
    PROMPT,
    required("type", OneOf(&["video"])),
    required("model", OneOf(&["ray-3.2"])),
    optional("aspect_ratio", OneOf(VIDEO_RATIOS)),
    optional("user_id", Text(1, 256)),
    optional("video", Object),
];

const VIDEO: &[Field] = &[
    optional("duration", OneOf(&["5s", "10s"])),
    optional("resolution", OneOf(&["360p", "540p", "720p", "1080p"])),
    optional("loop", Flag),
    optional("hdr", Flag),
    optional("exr_export", Flag),
    optional("start_frame", Object),
    optional("end_frame", Object),
    optional("keyframes", List),
    optional("keyframe_indexes", List),
];

const IMAGE_BODY: &[Field] = &[
    PROMPT,
    required("type", OneOf(&["image"])),
    required("model", OneOf(&["uni-1", "uni-1-max"])),
    optional("aspect_ratio", OneOf(RATIOS)),
    optional("user_id", Text(1, 256)),
    optional("output_format", OneOf(&["png", "jpeg"])),
    optional("style", OneOf(&["auto", "manga"])),
    optional("image_ref", List),
    optional("web_search", Flag),
];

async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let Ok(body) = call.object() else {
        return Ok(error(StatusCode::BAD_REQUEST, "The body is not a JSON object").into());
    };
    let is_video = body.get("type").and_then(Value::as_str) == Some("video");
    let video = body.get("video").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut flaws = schema::flaw_texts(if is_video { VIDEO_BODY } else { IMAGE_BODY }, &body);
    flaws.extend(schema::flaw_texts(VIDEO, &video));
    flaws.extend(frame_flaws(&video));
    if !flaws.is_empty() {
        return Ok(invalid(&flaws).into());
    }
    let prompt = body.get("prompt").and_then(Value::as_str).unwrap_or_default().to_owned();
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(&[message]).into()),
    };
    let medium = if is_video { Medium::Video { seconds: seconds(&video) } } else { Medium::Image };
    let new_job = NewJob {
        id: create::uuid()?,
        endpoint: body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        medium,
        aspect: ratio(body.get("aspect_ratio")),
        extra: json!({"type": body.get("type")}),
        prompt,
        callback: None,
        play,
    };
    let accept = async |job: RemoteJob| Ok(Json(job_json(simulator, &job, job.created_at)).into_response());
    create::play(simulator, new_job, accept).await
}

fn seconds(video: &Map<String, Value>) -> u32 {
    if video.get("duration").and_then(Value::as_str) == Some("10s") { 10 } else { 5 }
}

/// What the frames of a video may not be together.
fn frame_flaws(video: &Map<String, Value>) -> Vec<String> {
    let mut flaws = Vec::new();
    let mut must = |ok: bool, text: &str| {
        if !ok {
            flaws.push(text.to_owned());
        }
    };
    let seconds = seconds(video);
    let anchors: Vec<_> = ["start_frame", "end_frame"].iter().filter_map(|name| video.get(*name)).collect();
    let list = |name: &str| video.get(name).and_then(Value::as_array).cloned();
    let (frames, places) = (list("keyframes"), list("keyframe_indexes").unwrap_or_default());
    let is_loop = video.get("loop").and_then(Value::as_bool) == Some(true);
    must(anchors.is_empty() || seconds == 5, "start_frame and end_frame need a duration of 5s");
    must(!is_loop || seconds == 5, "loop is not supported with a duration of 10s");
    let exclusive = frames.is_none() || (anchors.is_empty() && !is_loop);
    must(exclusive, "keyframes exclude start_frame, end_frame and loop");
    let frames = frames.unwrap_or_default();
    must(frames.len() == places.len() && frames.len() <= 64, "keyframe_indexes must match keyframes");
    let last = u64::from(seconds) * FRAMES_PER_S;
    let on_grid = places.iter().all(|place| place.as_u64().is_some_and(|place| place <= last));
    must(on_grid, "keyframe_indexes must lie within the video");
    let is_one = |frame: &Value| {
        let ways = ["url", "data", "generation_id", "file_id"];
        ways.iter().filter(|way| frame[**way].is_string()).count() == 1
    };
    let each = anchors.into_iter().chain(&frames).all(is_one);
    must(each, "a frame is exactly one of url, data, generation_id and file_id");
    flaws
}

fn look(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = simulator.find(id)? else {
        return Ok(error(StatusCode::NOT_FOUND, "Generation not found").into());
    };
    let body = job_json(simulator, &job, now);
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, body, "/state").into())
}

/// The generation as it is at a time.
fn job_json(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let kind = &job.extra["type"];
    let mut body = json!({"id": job.id, "type": kind, "model": job.endpoint,
                          "created_at": job.created_at.to_string(), "output": []});
    let state = match job.phase(at) {
        Phase::Throttled | Phase::Queued => "queued",
        Phase::Running(_) => "processing",
        Phase::Succeeded => {
            body["output"] = json!([{"type": kind, "url": media::url(simulator, job, Some(at))}]);
            "completed"
        }
        Phase::Failed(failure) => {
            body["failure_reason"] = json!("A text for people.");
            body["failure_code"] = json!(code(failure));
            "failed"
        }
        // There is no cancel.
        Phase::Canceled => "failed",
    };
    body["state"] = json!(state);
    body
}

fn code(failure: Failure) -> Option<&'static str> {
    match failure {
        Failure::ContentPolicy => Some("content_moderated"),
        Failure::Internal => Some("generation_failed"),
        Failure::Invalid => Some("invalid_request"),
        Failure::NoCode => None,
    }
}

fn invalid(flaws: &[String]) -> Response {
    let issues: Vec<_> = flaws.iter().map(|flaw| json!({"msg": flaw, "type": "value_error"})).collect();
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"detail": issues}))).into_response()
}

fn error(code: StatusCode, text: &str) -> Response {
    (code, Json(json!({"detail": text}))).into_response()
}
