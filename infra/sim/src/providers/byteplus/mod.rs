//! `BytePlus` `ModelArk`'s video tasks: create, look-up, list, one call that cancels or deletes, and
//! unsigned callbacks.

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

use self::words::{State, error, refused};
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Callback, Medium, RemoteJob};
use crate::frame::play::{Failure, Refusal};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Payload, Wire};
use crate::frame::{poll, schema};

const TASKS: &str = "/api/v3/contents/generations/tasks";

#[derive(Debug)]
pub(super) struct Byteplus;

impl Wire for Byteplus {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::Delete(_) => CallKind::Cancel,
            Target::List if call.query("filter.model").is_some() => CallKind::LookUp,
            Target::List => CallKind::Ping,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    /// Videos that were made are billed, and failures only where a play orders it.
    fn bills(&self, job: &RemoteJob, at: Timestamp) -> bool {
        words::is_billed(job, at)
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        refused(refusal)
    }

    fn payload(
        &self,
        simulator: &Simulator,
        job: &RemoteJob,
        at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        Ok(Some(Payload::unsigned(&words::task(simulator, job, at))))
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Create,
    Look(&'a str),
    Delete(&'a str),
    List,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let (get, rest) = (call.is(&Method::GET), call.path().strip_prefix(TASKS));
    match (rest, rest.and_then(|rest| rest.strip_prefix('/'))) {
        (Some(""), _) if call.is(&Method::POST) => Target::Create,
        (Some(""), _) if get => Target::List,
        (_, Some(id)) if get => Target::Look(id),
        (_, Some(id)) if call.is(&Method::DELETE) => Target::Delete(id),
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
        Target::Delete(id) => delete(simulator, id, now),
        Target::List => list(simulator, call, now),
        Target::Nothing => Ok((StatusCode::NOT_FOUND, "404 page not found").into()),
    }
}

async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let invalid = |(field, text): (String, String)| {
        let code = format!("InvalidParameter.{field}");
        Ok(error(StatusCode::BAD_REQUEST, code.trim_end_matches('.'), &text).into())
    };
    let Ok(body) = call.object() else {
        return invalid((String::new(), "the request body is not a JSON object".to_owned()));
    };
    // Their own client sends what was left open as null.
    let body: Map<String, Value> = body.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let Some(model) = models::model(&body) else {
        let text = "The model or endpoint does not exist or you do not have access to it.";
        return Ok(error(StatusCode::NOT_FOUND, "InvalidEndpointOrModel.NotFound", text).into());
    };
    if let Some(flaw) = models::flaw(model, &body) {
        return invalid(flaw);
    }
    let prompt = models::prompt(&body).to_owned();
    let mut play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return invalid(("content".to_owned(), message)),
    };
    // This is found out only when the run begins.
    if models::breaks_type(model, &body) {
        play.fail = Some(Failure::Invalid);
    }
    let settings = models::settings(model, &body);
    let new_job = NewJob {
        id: task_id(simulator.clock.now())?,
        endpoint: model.id.to_owned(),
        medium: Medium::Video { seconds: settings.seconds },
        aspect: schema::ratio(Some(&json!(settings.ratio))),
        extra: words::remembered(&settings, &body),
        prompt,
        callback: body.get("callback_url").and_then(Value::as_str).map(|url| Callback {
            url: url.to_owned(),
            start: true,
            cancel: false,
        }),
        play,
    };
    let accept = async |job: RemoteJob| Ok(Json(json!({"id": job.id})).into_response());
    create::play(simulator, new_job, accept).await
}

/// The time to the second, and a part of its own.
fn task_id(now: Timestamp) -> anyhow::Result<String> {
    let digits = now.to_string().chars().filter(char::is_ascii_digit).take(14).collect::<String>();
    Ok(format!("cgt-{digits}-{}", &create::uuid()?[24..]))
}

fn find(simulator: &Simulator, id: &str) -> anyhow::Result<Option<RemoteJob>> {
    Ok(simulator.find(id)?.filter(|job| !job.deleted))
}

fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "NotFound.task", "The specified task is not found.").into()
}

fn look(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = find(simulator, id)? else { return Ok(not_found()) };
    let body = words::task(simulator, &job, now);
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, body, "/status").into())
}

/// Takes back what waits, deletes what has ended, and answers both alike.
fn delete(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = find(simulator, id)? else { return Ok(not_found()) };
    match words::state(&job, now) {
        State::Queued => drop(simulator.store.update(id, |job| job.cancel(now))?),
        State::Succeeded | State::Failed(_) | State::Expired => {
            simulator.store.update(id, |job| job.deleted = true)?;
        }
        state @ (State::Running | State::Cancelled) => {
            let code =
                if state == State::Running { "InvalidAction.RunningTaskDeletion" } else { "InvalidAction" };
            let text = format!("Cannot delete task `{id}` because it is currently {}.", state.word());
            return Ok(error(StatusCode::CONFLICT, code, &text).into());
        }
    }
    Ok(Json(json!({})).into())
}

/// Newest first.
fn list(simulator: &Simulator, call: &Inbound, now: Timestamp) -> anyhow::Result<Answer> {
    let number = |name: &str| call.query(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("page_size").unwrap_or(20).clamp(1, 500);
    let skipped = number("page_num").unwrap_or(1).saturating_sub(1) * size;
    let is = |name: &str, is: &str| call.query(name).is_none_or(|asked| asked == is);
    let all =
        simulator.store.all()?.into_iter().rev().filter(|job| {
            !job.deleted && is("filter.model", &job.endpoint) && is("filter.task_ids", &job.id)
        });
    let all: Vec<Value> = all.map(|job| words::task(simulator, &job, now)).collect();
    let all: Vec<Value> = all
        .into_iter()
        .filter(|task| is("filter.status", task["status"].as_str().unwrap_or_default()))
        .collect();
    let page: Vec<&Value> = all.iter().skip(skipped).take(size).collect();
    Ok(Json(json!({"total": all.len(), "items": page})).into())
}
