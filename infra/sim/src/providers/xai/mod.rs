//! xAI's video generations and its endpoints on keys and models, by its OpenAPI document, its guides and
//! its own clients. There is nothing to cancel, list or register.

mod models;
#[cfg(test)]
pub(crate) mod tests;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::models::{FIELDS, LENGTHS, MODELS, Model, Order};
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Refusal};
use crate::frame::schema::{self, ratio};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, NoObject, Wire};
use crate::frame::{media, poll};

const MODERATION: &str = "Generated video rejected by content moderation.";

#[derive(Debug)]
pub(super) struct Xai;

impl Wire for Xai {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::Key => CallKind::Ping,
            Target::Models | Target::WrongMethod | Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    /// What moderation blocks was made first.
    fn bills(&self, job: &RemoteJob, at: Timestamp) -> bool {
        job.bills(at, true) || job.phase(at) == Phase::Failed(Failure::ContentPolicy)
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        refused(refusal)
    }

    /// `bare`: what is not over is answered without a body. `done`, `error`: what moderation blocked is
    /// answered as done, or as an error of the call. `expired`: what is over has expired.
    fn has_directive(&self, key: &str, value: &str) -> bool {
        key == "xai" && ["bare", "done", "error", "expired"].contains(&value)
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Create,
    Look(&'a str),
    Key,
    Models,
    WrongMethod,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let path = call.path();
    let (get, post) = (call.is(&Method::GET), call.is(&Method::POST));
    match (path, path.strip_prefix("/v1/videos/")) {
        ("/v1/videos/generations", _) if post => Target::Create,
        ("/v1/api-key", _) if get => Target::Key,
        ("/v1/video-generation-models", _) if get => Target::Models,
        ("/v1/videos/generations" | "/v1/api-key" | "/v1/video-generation-models", _) => Target::WrongMethod,
        (_, Some(id)) if get && !id.contains('/') => Target::Look(id),
        (_, Some(id)) if !id.contains('/') => Target::WrongMethod,
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if call.header("authorization").is_none() {
        let text = "No API key provided. Specify your API key in the Authorization header.";
        return Ok(error(StatusCode::UNAUTHORIZED, "unauthenticated", text).into());
    }
    if !simulator.is_authorized(call) {
        return Ok(refused(Refusal::WrongKey).into());
    }
    match target(call) {
        Target::Create => create(simulator, call).await,
        Target::Look(id) => look(simulator, id, simulator.clock.now()),
        Target::Key => Ok(Json(key()).into()),
        Target::Models => Ok(Json(json!({"models": MODELS.iter().map(model).collect::<Vec<_>>()})).into()),
        Target::WrongMethod => Ok(StatusCode::METHOD_NOT_ALLOWED.into()),
        Target::Nothing => Ok(StatusCode::NOT_FOUND.into()),
    }
}

async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let mut body = match call.object() {
        Ok(body) => body,
        Err(NoObject::OtherJson) => return Ok(rejected("invalid type, expected a map").into()),
        Err(NoObject::NoJson) => {
            let text = "Failed to parse the request body as JSON: EOF while parsing a value";
            return Ok((StatusCode::BAD_REQUEST, text).into());
        }
    };
    body.retain(|_, value| !value.is_null());
    if let Some(flaw) = flaw(&body) {
        return Ok(rejected(&flaw).into());
    }
    let asked = body.get("model").and_then(Value::as_str).unwrap_or(MODELS[0].id);
    let Some(model) = MODELS.iter().find(|model| model.id == asked || model.aliases.contains(&asked)) else {
        return Ok(no_such_model(asked).into());
    };
    let order = match order(model, &body) {
        Ok(order) => order,
        Err(text) => return Ok(invalid(&text).into()),
    };
    let prompt = body.get("prompt").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(&message).into()),
    };
    let late = late_flaw(model, &order, &body);
    if late.is_some() {
        play.fail = Some(Failure::Invalid);
    }
    let new_job = NewJob {
        id: create::uuid()?,
        endpoint: model.id.to_owned(),
        medium: Medium::Video { seconds: order.seconds },
        aspect: ratio(body.get("aspect_ratio")),
        extra: json!({"ticks": model.ticks(&order), "seconds": order.seconds, "error": late}),
        prompt,
        callback: None,
        play,
    };
    let accept = async |job: RemoteJob| Ok(Json(json!({"request_id": job.id})).into_response());
    create::play(simulator, new_job, accept).await
}

/// What its server cannot read.
fn flaw(body: &Map<String, Value>) -> Option<String> {
    let mut rest = body.clone();
    for name in LENGTHS {
        match rest.remove(name) {
            None | Some(Value::String(_)) => {}
            Some(Value::Number(number)) if number.is_u64() => {}
            Some(other) => return Some(format!("{name}: invalid type: {other}, expected an integer")),
        }
    }
    schema::flaw_texts(FIELDS, &rest).into_iter().next()
}

/// What it says at once of a body that it can read.
fn order(model: &Model, body: &Map<String, Value>) -> Result<Order, String> {
    if let Some(name) = model.rejects.iter().find(|name| body.contains_key(**name)) {
        return Err(format!("`{name}` is not supported for this model."));
    }
    for name in ["image", "input_reference", "last_frame"] {
        let Some(image) = body.get(name) else { continue };
        let given = ["url", "image_url", "file_id"].iter().filter(|part| image[**part].is_string()).count();
        if given != 1 {
            return Err(format!("Exactly one of `url` and `file_id` must be set in `{name}`."));
        }
    }
    Order::of(body).ok_or_else(|| "Duration must be between 1 and 15 seconds".to_owned())
}

/// What it says when the job has failed for it.
fn late_flaw(model: &Model, order: &Order, body: &Map<String, Value>) -> Option<Value> {
    let frames = ["image", "input_reference", "last_frame", "keyframes", "reference_images"];
    let has_prompt = body.get("prompt").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if !has_prompt && !frames.iter().any(|name| body.contains_key(*name)) {
        return Some(json!({"code": "invalid_argument",
                           "message": "Prompt cannot be empty. Please provide a prompt."}));
    }
    let is_too_fine = order.has_references && order.resolution == "1080p";
    (is_too_fine || !model.makes(&order.resolution)).then(|| {
        json!({"code": "failed_precondition",
               "message": format!("Resolution {} is not available for this request.", order.resolution)})
    })
}

fn look(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = simulator.find(id)? else { return Ok(not_found().into()) };
    let play = job.play.own.get("xai").map(String::as_str);
    let pending =
        |share: f64| (StatusCode::ACCEPTED, json!({"status": "pending", "progress": (share * 99.0) as i64}));
    let usage = json!({"cost_in_usd_ticks": job.extra["ticks"]});
    let (code, body) = match job.phase(now) {
        Phase::Throttled | Phase::Queued => pending(0.0),
        Phase::Running(share) => pending(share),
        _ if play == Some("expired") => (StatusCode::OK, json!({"status": "expired"})),
        Phase::Succeeded => {
            let url = media::url(simulator, &job, None);
            (StatusCode::OK, done(&job, &url, true, &usage))
        }
        Phase::Failed(Failure::ContentPolicy) => match play {
            Some("done") => (StatusCode::OK, done(&job, "", false, &usage)),
            Some("error") => {
                let code = "Client specified an invalid argument";
                (StatusCode::BAD_REQUEST, json!({"code": code, "error": MODERATION, "usage": usage}))
            }
            _ => (StatusCode::OK, failed(&job, Failure::ContentPolicy, &usage)),
        },
        Phase::Failed(failure) => {
            let free = json!({"cost_in_usd_ticks": 0});
            let usage = if job.play.fail_bills { usage } else { free };
            (StatusCode::OK, failed(&job, failure, &usage))
        }
        // There is no call for it.
        Phase::Canceled => (StatusCode::OK, json!({"status": "failed"})),
    };
    if play == Some("bare") && code == StatusCode::ACCEPTED && job.spoilt(now).is_none() {
        return Ok(code.into());
    }
    Ok(poll::answer(simulator, &job, now, code, body, "/status").into())
}

fn done(job: &RemoteJob, url: &str, is_given: bool, usage: &Value) -> Value {
    let video = json!({"url": url, "duration": job.extra["seconds"], "respect_moderation": is_given});
    json!({"status": "done", "video": video, "model": job.endpoint, "progress": 100, "usage": usage})
}

fn failed(job: &RemoteJob, failure: Failure, usage: &Value) -> Value {
    let (code, message) = match failure {
        Failure::ContentPolicy => ("invalid_argument", MODERATION),
        Failure::Internal => ("internal_error", "The generation failed. Please try again."),
        Failure::Invalid => ("invalid_argument", "The image could not be downloaded."),
        Failure::NoCode => return json!({"status": "failed", "usage": usage}),
    };
    let error = Some(&job.extra["error"]).filter(|late| !late.is_null()).cloned();
    let error = error.unwrap_or_else(|| json!({"code": code, "message": message}));
    json!({"status": "failed", "error": error, "usage": usage})
}

fn key() -> Value {
    json!({"redacted_api_key": "xai-...cret", "user_id": "59fbe5f2-040b-46d5-8325-868bb8f23eb2",
           "name": "simulated", "create_time": "2024-01-01T12:55:18.139305Z",
           "modify_time": "2024-08-28T17:20:12.343321Z",
           "modified_by": "59fbe5f2-040b-46d5-8325-868bb8f23eb2",
           "team_id": "5ea6f6bd-7815-4b8a-9135-28b2d7ba6722",
           "acls": ["api-key:model:*", "api-key:endpoint:*"],
           "api_key_id": "ae1e1841-4326-4b36-a8a9-8a1a7237db11",
           "team_blocked": false, "api_key_blocked": false, "api_key_disabled": false})
}

fn model(model: &Model) -> Value {
    json!({"id": model.id, "fingerprint": "fp_simulated", "created": 1_743_724_800, "object": "model",
           "owned_by": "xai", "version": "1.0.0", "input_modalities": model.inputs,
           "output_modalities": ["video"], "aliases": model.aliases})
}

/// Words that its servers were seen to use: the document has none. Three of them share a status, and
/// only their texts differ.
fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::WrongKey => error(
            StatusCode::BAD_REQUEST,
            "Client specified an invalid argument",
            "Incorrect API key provided: in***id. You can obtain an API key from https://console.x.ai.",
        ),
        Refusal::NoBalance => error(
            StatusCode::FORBIDDEN,
            "The caller does not have permission to execute the specified operation",
            "Your team 5ea6f6bd has either used all available credits or reached its monthly spending \
             limit. To continue making API requests, please purchase more credits or raise your spending \
             limit.",
        ),
        Refusal::BrokenInput => rejected("missing field `prompt` at line 1 column 31"),
        Refusal::RateLimit => error(
            StatusCode::TOO_MANY_REQUESTS,
            "resource-exhausted",
            "Too many requests for team 5ea6f6bd and model grok-imagine-video. Your team's rate limit is \
             — Requests per Second (actual/limit): 2/2.",
        ),
        Refusal::Internal => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Service temporarily unavailable.")
        }
        Refusal::Unavailable => {
            error(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The model is at capacity.")
        }
        Refusal::Policy => error(
            StatusCode::FORBIDDEN,
            "permission-denied",
            "Content violates usage guidelines. Team: 5ea6f6bd, API key ID: ae1e1841, Model: \
             grok-imagine-video, Failed check: SAFETY_CHECK_TYPE_CSAM",
        ),
    }
}

/// As its web server rejects a body, in plain text.
fn rejected(flaw: &str) -> Response {
    let text = format!("Failed to deserialize the JSON body into the target type: {flaw}");
    (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
}

fn invalid(text: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "invalid_argument", text)
}

fn no_such_model(name: &str) -> Response {
    let text = format!(
        "The model {name} does not exist or your team 5ea6f6bd does not have access to it. Please ensure \
         you're using the correct API key."
    );
    error(StatusCode::NOT_FOUND, "Some requested entity was not found", &text)
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "not-found", "No deferred video could be found with this request ID.")
}

fn error(status: StatusCode, code: &str, text: &str) -> Response {
    (status, Json(json!({"code": code, "error": text}))).into_response()
}
