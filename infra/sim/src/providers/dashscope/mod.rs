//! Alibaba Model Studio's asynchronous tasks of video models: create, look-up, list, cancel.

mod models;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::words::{error, refused};
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Medium, Phase, RemoteJob};
use crate::frame::play::Refusal;
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Wire};
use crate::frame::{poll, schema};

const CREATE: &str = "/api/v1/services/aigc/video-generation/video-synthesis";
const TASKS: &str = "/api/v1/tasks";

#[derive(Debug)]
pub(super) struct Dashscope;

impl Wire for Dashscope {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::Cancel(_) => CallKind::Cancel,
            Target::List => CallKind::Ping,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    /// The seconds of videos that were made are billed, and failures only where a play orders it.
    fn bills(&self, job: &RemoteJob, at: Timestamp) -> bool {
        words::is_billed(job, at)
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        refused(refusal)
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Create,
    Look(&'a str),
    Cancel(&'a str),
    List,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let (get, post) = (call.is(&Method::GET), call.is(&Method::POST));
    let Some(rest) = call.path().strip_prefix(TASKS) else {
        return if post && call.path() == CREATE { Target::Create } else { Target::Nothing };
    };
    match (rest, rest.strip_prefix('/')) {
        // The documents have a slash at the end, and their own client has none.
        ("" | "/", _) if get => Target::List,
        (_, Some(id)) if get => Target::Look(id),
        (_, Some(rest)) if post => rest.strip_suffix("/cancel").map_or(Target::Nothing, Target::Cancel),
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
        Target::Cancel(id) => cancel(simulator, id, now),
        Target::List => list(simulator, call, now),
        Target::Nothing => {
            let text = "Required URL is missing or invalid, please check the request URL.";
            Ok(error(StatusCode::BAD_REQUEST, "InvalidURL", text).into())
        }
    }
}

async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if call.header("x-dashscope-async") != Some("enable") {
        let text = "current user api does not support synchronous calls.";
        return Ok(error(StatusCode::FORBIDDEN, "AccessDenied", text).into());
    }
    let invalid = |text: &str| Ok(error(StatusCode::BAD_REQUEST, "InvalidParameter", text).into());
    let Ok(body) = call.object() else {
        return invalid("Required body invalid, please check the request body format.");
    };
    let Some(model) = models::model(&body) else { return invalid("Model not exist.") };
    if let Some(flaw) = models::flaw(model, &body) {
        return invalid(&flaw);
    }
    let (input, parameters) = (models::part(&body, "input"), models::part(&body, "parameters"));
    let prompt = input.get("prompt").and_then(Value::as_str).unwrap_or_default().to_owned();
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return invalid(&message),
    };
    let request_id = create::uuid()?;
    let new_job = NewJob {
        id: create::uuid()?,
        endpoint: model.id.to_owned(),
        medium: Medium::Video { seconds: seconds(&parameters) },
        aspect: schema::ratio(parameters.get("ratio")),
        extra: words::remembered(&request_id, &parameters),
        prompt,
        callback: None,
        play,
    };
    let accept = async |job: RemoteJob| {
        let output = json!({"task_status": "PENDING", "task_id": job.id});
        Ok(Json(json!({"output": output, "request_id": request_id})).into_response())
    };
    create::play(simulator, new_job, accept).await
}

fn seconds(parameters: &Map<String, Value>) -> u32 {
    let length = parameters.get("duration").and_then(Value::as_u64).unwrap_or(5);
    length.try_into().unwrap_or(5)
}

fn look(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    // What they do not know is a task as well.
    let Some(job) = simulator.find(id)? else { return Ok(Json(words::unknown(id)).into()) };
    let body = words::task(simulator, &job, now);
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, body, "/output/task_status").into())
}

/// Takes back what waits.
fn cancel(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let waits = |job: RemoteJob| matches!(job.phase(now), Phase::Throttled | Phase::Queued);
    if !simulator.find(id)?.is_some_and(waits) {
        let text = "Failed to cancel the task, please confirm if the task is in PENDING status.";
        return Ok(error(StatusCode::BAD_REQUEST, "UnsupportedOperation", text).into());
    }
    simulator.store.update(id, |job| job.cancel(now))?;
    Ok(Json(json!({"request_id": words::REQUEST})).into())
}

/// Newest first; the times that a caller may name are not read.
fn list(simulator: &Simulator, call: &Inbound, now: Timestamp) -> anyhow::Result<Answer> {
    let number = |name: &str| call.query(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("page_size").unwrap_or(10).clamp(1, 100);
    let page = number("page_no").unwrap_or(1).max(1);
    let is = |name: &str, is: &str| call.query(name).is_none_or(|asked| asked == is);
    let all = simulator.store.all()?.into_iter().rev();
    let all: Vec<Value> = all
        .filter(|job| is("task_id", &job.id) && is("model_name", &job.endpoint))
        .map(|job| words::item(&job, now))
        .filter(|item| is("status", item["status"].as_str().unwrap_or_default()))
        .collect();
    let shown: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
    let pages = all.len().div_ceil(size);
    let body = json!({"total": all.len(), "data": shown, "total_page": pages, "page_no": page,
                      "page_size": size, "request_id": words::REQUEST});
    Ok(Json(body).into())
}
