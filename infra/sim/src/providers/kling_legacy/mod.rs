//! Kling's older API: the model in the body, a path for each kind of video, self-signed tokens.
//!
//! Every access key but `invalid` is an account, and the secret key of each is `simulated`.

mod models;
#[cfg(test)]
pub(crate) mod tests;
mod token;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use self::models::Parsed;
use super::kling::errors::{self, NO_KEY, NO_METHOD, NOTHING, error, invalid, reason, success};
use super::kling::{costs, number};
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Callback, Medium, Phase, RemoteJob};
use crate::frame::play::Refusal;
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Payload, Wire};
use crate::frame::{media, poll};

const KINDS: [&str; 2] = ["text2video", "image2video"];

#[derive(Debug)]
pub(super) struct KlingLegacy;

impl Wire for KlingLegacy {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create(_) => CallKind::Create,
            // Their ids are digits; anything else in that place is a reference.
            Target::Look(_, name) if name.bytes().all(|b| b.is_ascii_digit()) => CallKind::Poll,
            Target::Look(..) => CallKind::LookUp,
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

/// What a call asks for: of a create its kind of video, of a look that and the job's name.
#[derive(Debug)]
enum Target<'a> {
    Create(&'a str),
    Look(&'a str, &'a str),
    Costs,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let path = call.path();
    if path == "/account/costs" && call.is(&Method::GET) {
        return Target::Costs;
    }
    let Some(rest) = path.strip_prefix("/v1/videos/") else { return Target::Nothing };
    match rest.split_once('/') {
        None if KINDS.contains(&rest) && call.is(&Method::POST) => Target::Create(rest),
        Some((kind, name)) if KINDS.contains(&kind) && call.is(&Method::GET) => Target::Look(kind, name),
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let now = simulator.clock.now();
    let Some(token) = call.authorization("Bearer ") else { return Ok(error(NO_KEY).into()) };
    if let Err(flaw) = token::check(token, now) {
        return Ok(error(flaw).into());
    }
    match target(call) {
        Target::Create(kind) => create(simulator, call, kind).await,
        Target::Look(kind, name) => look(simulator, kind, name, now),
        Target::Costs => Ok(costs(call).into()),
        Target::Nothing => Ok(error(NO_METHOD).into()),
    }
}

async fn create(simulator: &Simulator, call: &Inbound, kind: &str) -> anyhow::Result<Answer> {
    let Ok(body) = call.object() else { return Ok(invalid("the body is not a JSON object").into()) };
    let asked = body.get("model_name").and_then(Value::as_str).unwrap_or_default();
    let Some(model) = models::find(asked) else { return Ok(error(NOTHING).into()) };
    let Parsed { prompt, seconds, aspect, callback_url, reference } =
        match model.parsed(&body, kind == "image2video") {
            Ok(parsed) => parsed,
            Err(message) => return Ok(invalid(&message).into()),
        };
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(&message).into()),
    };
    if let Some(reference) = &reference
        && named(simulator, kind, reference)?.is_some()
    {
        return Ok(invalid("external_task_id must be unique").into());
    }
    let new_job = NewJob {
        id: number()?,
        endpoint: format!("{kind}/{}", model.id),
        prompt,
        medium: Medium::Video { seconds },
        aspect,
        callback: callback_url.map(|url| Callback { url, start: true, cancel: false }),
        extra: json!({"external_task_id": reference}),
        play,
    };
    let accept = async |job: RemoteJob| {
        let times = (job.created_at.as_millis(), job.created_at.as_millis());
        let data = json!({"task_id": job.id, "task_status": "submitted", "task_info": info(&job),
                          "created_at": times.0, "updated_at": times.1});
        Ok(Json(success(&data)).into_response())
    };
    create::play(simulator, new_job, accept).await
}

/// One remote job, by its id or its owner's reference, under the path that made it.
fn look(simulator: &Simulator, kind: &str, name: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let job = named(simulator, kind, name)?.filter(|job| job.id != name || !job.is_hidden(now));
    let Some(job) = job else { return Ok(error(NOTHING).into()) };
    let truth = success(&job_json(simulator, &job, now));
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, truth, "/data/task_status").into())
}

fn named(simulator: &Simulator, kind: &str, name: &str) -> anyhow::Result<Option<RemoteJob>> {
    let mut jobs = simulator.store.all()?.into_iter().filter(|job| job.endpoint.starts_with(kind));
    Ok(jobs.find(|job| job.id == name || job.extra["external_task_id"] == name))
}

fn info(job: &RemoteJob) -> Value {
    match &job.extra["external_task_id"] {
        Value::Null => json!({}),
        reference => json!({"external_task_id": reference}),
    }
}

/// A remote job as polls and callbacks report it. Their word for success differs from the newer API's.
fn job_json(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let (status, message) = match job.phase(at) {
        Phase::Throttled | Phase::Queued => ("submitted", ""),
        Phase::Running(_) => ("processing", ""),
        Phase::Succeeded => ("succeed", ""),
        Phase::Failed(failure) => ("failed", reason(failure)),
        // Not visible to a caller.
        Phase::Canceled => ("failed", "canceled"),
    };
    let mut body = json!({
        "task_id": job.id, "task_status": status, "task_status_msg": message, "task_info": info(job),
        "created_at": job.created_at.as_millis(), "updated_at": at.as_millis(), "task_result": {},
    });
    if let (Phase::Succeeded, Medium::Video { seconds }) = (job.phase(at), job.medium) {
        let url = media::url(simulator, job, Some(at));
        let video = json!({"id": job.id, "url": url, "duration": seconds.to_string()});
        body["task_result"] = json!({"videos": [video]});
    }
    if job.play.fail_bills && matches!(job.phase(at), Phase::Failed(_)) {
        body["final_unit_deduction"] = json!("1");
    }
    body
}
