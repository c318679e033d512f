//! Kling's newer API: create calls by model, one list of remote jobs, account costs, callbacks.
//!
//! A callback is signed, as at an account that has created a webhook secret.

pub(crate) mod errors;
pub(crate) mod models;
#[cfg(test)]
pub(crate) mod tests;

use anyhow::Context;
use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::errors::{NO_KEY, NO_METHOD, NOTHING, error, flaw, invalid, reason, success};
use self::models::Model;
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Callback, Medium, Phase, RemoteJob};
use crate::frame::play::Refusal;
use crate::frame::schema::Kind::{Flag, List, Media, Object, OneOf, Text};
use crate::frame::schema::{Field, optional, required};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Payload, Wire};
use crate::frame::{media, poll};

#[derive(Debug)]
pub(super) struct Kling;

impl Wire for Kling {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::FromText(_) | Target::FromImage(_) => CallKind::Create,
            Target::Tasks if call.query("external_task_ids").is_some() => CallKind::LookUp,
            Target::Tasks => CallKind::Poll,
            Target::Costs => CallKind::Ping,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        errors::refusal(refusal)
    }

    fn payload(
        &self,
        simulator: &Simulator,
        job: &RemoteJob,
        at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        let id = format!("{}{}", job.id, at.as_secs());
        Ok(Some(Payload::signed(simulator, &id, &job_json(simulator, job, at))))
    }
}

/// What a call asks for; of a create, the model.
#[derive(Debug)]
enum Target<'a> {
    FromText(&'a str),
    FromImage(&'a str),
    Tasks,
    Costs,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let path = call.path();
    match (path.strip_prefix("/text-to-video/"), path.strip_prefix("/image-to-video/")) {
        (Some(model), _) if call.is(&Method::POST) => Target::FromText(model),
        (_, Some(model)) if call.is(&Method::POST) => Target::FromImage(model),
        _ if path == "/tasks" && call.is(&Method::GET) => Target::Tasks,
        _ if path == "/account/costs" && call.is(&Method::GET) => Target::Costs,
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if call.header("authorization").is_none() {
        return Ok(error(NO_KEY).into());
    }
    if !simulator.is_authorized(call) {
        return Ok(errors::refusal(Refusal::WrongKey).into());
    }
    match target(call) {
        Target::FromText(model) => create(simulator, call, model, false).await,
        Target::FromImage(model) => create(simulator, call, model, true).await,
        Target::Tasks => tasks(simulator, call),
        Target::Costs => Ok(costs(call).into()),
        Target::Nothing => Ok(error(NO_METHOD).into()),
    }
}

const SETTINGS: Field = optional("settings", Object);
const OPTIONS: Field = optional("options", Object);
const WATERMARK: &[Field] = &[required("enabled", Flag)];
const FURTHER: &[Field] = &[
    optional("callback_url", Text(1, 2_048)),
    optional("external_task_id", Text(1, 256)),
    optional("watermark_info", Object),
];

/// A valid create, parsed.
struct Parsed {
    prompt: String,
    video: models::Video,
    callback_url: Option<String>,
    reference: Option<String>,
}

async fn create(simulator: &Simulator, call: &Inbound, id: &str, from_image: bool) -> anyhow::Result<Answer> {
    let Some(model) = models::find(id) else { return Ok(error(NOTHING).into()) };
    let Ok(body) = call.object() else { return Ok(invalid("the body is not a JSON object").into()) };
    let parsed = match parsed(model, &body, from_image) {
        Ok(parsed) => parsed,
        Err(message) => return Ok(invalid(&message).into()),
    };
    let play = match simulator.play(&parsed.prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(&message).into()),
    };
    // The documentation requires unique references, but not the error for a repeated one.
    if let Some(reference) = &parsed.reference
        && by_reference(simulator, reference)?.is_some()
    {
        return Ok(invalid("external_task_id must be unique").into());
    }
    let new_job = NewJob {
        id: number()?,
        endpoint: call.path().trim_start_matches('/').to_owned(),
        prompt: parsed.prompt,
        medium: Medium::Video { seconds: parsed.video.seconds },
        aspect: parsed.video.aspect,
        callback: parsed.callback_url.map(|url| Callback { url, start: true, cancel: false }),
        extra: json!({"external_id": parsed.reference, "micro_usd": parsed.video.micro_usd}),
        play,
    };
    let accept = async |job: RemoteJob| {
        let mut data = job_json(simulator, &job, job.created_at);
        if let Some(data) = data.as_object_mut() {
            data.remove("message");
        }
        Ok(Json(success(&data)).into_response())
    };
    create::play(simulator, new_job, accept).await
}

/// Parses a create, or returns its first error.
fn parsed(model: &Model, body: &Map<String, Value>, from_image: bool) -> Result<Parsed, String> {
    let refuse = |flaw: Option<String>| flaw.map_or(Ok(()), Err);
    let part = |name: &str| body.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (fields, settings_fields) = match from_image {
        true => ([required("contents", List), SETTINGS, OPTIONS], model.image_settings),
        false => ([required("prompt", Text(1, model.prompt_max)), SETTINGS, OPTIONS], model.text_settings),
    };
    refuse(flaw(&fields, body))?;
    let (settings, options) = (part("settings"), part("options"));
    refuse(flaw(settings_fields, &settings))?;
    refuse(flaw(FURTHER, &options))?;
    if let Some(watermark) = options.get("watermark_info").and_then(Value::as_object) {
        refuse(flaw(WATERMARK, watermark))?;
    }
    let mut prompt = body.get("prompt").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut last_frame = false;
    if from_image {
        (prompt, last_frame) = contents(model, body)?;
    }
    let video = model.video(&settings, last_frame)?;
    let text = |name: &str| options.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Parsed { prompt, video, callback_url: text("callback_url"), reference: text("external_task_id") })
}

/// The prompt in the content list, and whether it has a last frame.
fn contents(model: &Model, body: &Map<String, Value>) -> Result<(String, bool), String> {
    let (mut prompt, mut first, mut last) = (None, false, false);
    for part in body.get("contents").and_then(Value::as_array).into_iter().flatten() {
        let part = part.as_object().ok_or("contents must be objects")?;
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
        let kinds = required("type", OneOf(&["prompt", "first_frame", "last_frame"]));
        let fields = match kind {
            "prompt" => [kinds, required("text", Text(1, model.prompt_max))],
            _ => [kinds, required("url", Media)],
        };
        flaw(&fields, part).map_or(Ok(()), Err)?;
        match kind {
            "prompt" => prompt = part.get("text").and_then(Value::as_str).map(str::to_owned),
            "first_frame" => first = true,
            _ => last = true,
        }
    }
    match prompt {
        Some(prompt) if first => Ok((prompt, last)),
        _ => Err("contents must have a prompt and a first_frame".to_owned()),
    }
}

/// Remote jobs by their ids or by their owner's references, as many as are known.
fn tasks(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let now = simulator.clock.now();
    let (list, by_id) = match (call.query("task_ids"), call.query("external_task_ids")) {
        (Some(ids), None) => (ids, true),
        (None, Some(references)) => (references, false),
        _ => return Ok(invalid("either task_ids or external_task_ids must be given").into()),
    };
    let mut jobs = Vec::new();
    for name in list.split(',') {
        jobs.extend(if by_id { simulator.find(name)? } else { by_reference(simulator, name)? });
    }
    let all: Vec<_> = jobs.iter().map(|job| job_json(simulator, job, now)).collect();
    let truth = success(&json!(all));
    Ok(match jobs.first() {
        Some(job) => poll::answer(simulator, job, now, StatusCode::OK, truth, "/data/0/status").into(),
        None => Json(truth).into(),
    })
}

fn by_reference(simulator: &Simulator, reference: &str) -> anyhow::Result<Option<RemoteJob>> {
    let all = simulator.store.all()?;
    Ok(all.into_iter().find(|job| job.extra["external_id"] == reference))
}

/// The JSON of a remote job in polls and callbacks.
fn job_json(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let (status, message) = match job.phase(at) {
        Phase::Throttled | Phase::Queued => ("submitted", ""),
        Phase::Running(_) => ("processing", ""),
        Phase::Succeeded => ("succeeded", ""),
        Phase::Failed(failure) => ("failed", reason(failure)),
        // Not visible to a caller.
        Phase::Canceled => ("failed", "canceled"),
    };
    let mut body = json!({
        "id": job.id, "status": status, "message": message, "create_time": job.created_at.as_millis(),
        "update_time": at.as_millis(),
    });
    if job.extra["external_id"].is_string() {
        body["external_id"] = job.extra["external_id"].clone();
    }
    if job.phase(at) == Phase::Succeeded {
        let (url, Medium::Video { seconds }) = (media::url(simulator, job, Some(at)), job.medium) else {
            return body;
        };
        body["outputs"] =
            json!([{"type": "video", "id": job.id, "url": url, "duration": seconds.to_string()}]);
    }
    if job.bills(at, true) {
        let dollars = job.extra["micro_usd"].as_f64().unwrap_or_default() / 1_000_000.0;
        let dollars = dollars.to_string();
        body["billing"] = json!([{"charge_type": "cash", "cash_type": "balance", "amount": dollars,
                                  "currency": "USD", "list_price": dollars}]);
    }
    body
}

pub(crate) fn costs(call: &Inbound) -> Response {
    let time = |name: &str| call.query(name).and_then(|millis| millis.parse::<i64>().ok());
    let (Some(start), Some(end)) = (time("start_time"), time("end_time")) else {
        return invalid("start_time and end_time are required");
    };
    let pack = json!({
        "resource_pack_name": "Video Generation - 1,000 entries", "resource_pack_id": "simulated",
        "resource_pack_type": "decreasing_total", "total_quantity": 1000.0, "remaining_quantity": 900.0,
        "purchase_time": start, "effective_time": start, "invalid_time": end, "status": "online",
    });
    let data = json!({"code": 0, "msg": "success", "resource_pack_subscribe_infos": [pack]});
    Json(success(&data)).into_response()
}

/// A remote job's id: eighteen digits.
pub(crate) fn number() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("no randomness")?;
    Ok(format!("8{:017}", u64::from_be_bytes(bytes) % 100_000_000_000_000_000))
}
