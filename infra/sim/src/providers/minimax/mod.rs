//! MiniMax's v2 calls for H3 and v1 calls for Hailuo, the challenge to every callback URL, and
//! unsigned callbacks.

mod models;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use self::words::{INVALID, Version, WRONG_KEY, error, refused, success};
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Callback, Medium, Phase, RemoteJob};
use crate::frame::play::{Refusal, ResultPlay};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Payload, Wire};
use crate::frame::{media, poll, schema, webhook};

/// How long a receiver may take to repeat the challenge.
const CHALLENGE_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Minimax;

impl Wire for Minimax {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call).1 {
            Target::Create => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::File(_) => CallKind::Result,
            Target::Delete(_) => CallKind::Cancel,
            Target::List => CallKind::Ping,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    /// In v2's words; `create` puts it in v1's where that was asked.
    fn bills(&self, job: &RemoteJob, at: Timestamp) -> bool {
        job.bills(at, false)
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        let mut response = refused(Version::Two, refusal);
        response.extensions_mut().insert(refusal);
        response
    }

    fn payload(
        &self,
        simulator: &Simulator,
        job: &RemoteJob,
        at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        let body = match version(job) {
            Version::One => words::event(job, at),
            Version::Two => words::json_v2(simulator, job, at),
        };
        Ok(Some(Payload::unsigned(&body)))
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target {
    Create,
    Look(String),
    File(String),
    Delete(String),
    List,
    Nothing,
}

fn target(call: &Inbound) -> (Version, Target) {
    let (get, post) = (call.is(&Method::GET), call.is(&Method::POST));
    let query = |name: &str| call.query(name).unwrap_or_default();
    let path = call.path();
    let under = |folder: &str| path.strip_prefix(folder).map(str::to_owned);
    match path {
        "/v1/video_generation" if post => (Version::One, Target::Create),
        "/v1/query/video_generation" if get => (Version::One, Target::Look(query("task_id"))),
        "/v1/files/retrieve" if get => (Version::One, Target::File(query("file_id"))),
        "/v2/video_generation" if post => (Version::Two, Target::Create),
        "/v2/query/video_generation" if get => (Version::Two, Target::List),
        _ => {
            let look = under("/v2/query/video_generation/").filter(|_| get).map(Target::Look);
            let delete = || under("/v2/video_generation/").filter(|_| call.is(&Method::DELETE));
            (Version::Two, look.or_else(|| delete().map(Target::Delete)).unwrap_or(Target::Nothing))
        }
    }
}

/// Which of its two APIs a job belongs to; neither shows the other's.
fn version(job: &RemoteJob) -> Version {
    if job.endpoint.contains("Hailuo") { Version::One } else { Version::Two }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let (version, target) = target(call);
    if !simulator.is_authorized(call) {
        return Ok(error(version, WRONG_KEY, "login fail").into());
    }
    let now = simulator.clock.now();
    match target {
        Target::Create => create(simulator, call, version).await,
        Target::Look(id) => look(simulator, version, &id, now),
        Target::File(id) => file(simulator, &id, now),
        Target::Delete(id) => delete(simulator, &id, now),
        Target::List => list(simulator, call, now),
        Target::Nothing => Ok((StatusCode::NOT_FOUND, Json(json!({"message": "404 page not found"}))).into()),
    }
}

async fn create(simulator: &Simulator, call: &Inbound, version: Version) -> anyhow::Result<Answer> {
    let invalid = |text: &str| Ok(error(version, INVALID, &format!("invalid params, {text}")).into());
    let Ok(body) = call.object() else { return invalid("no JSON object") };
    let flaws = match version {
        Version::One => models::flaws_1(&body),
        Version::Two => models::flaws_2(&body),
    };
    if !flaws.is_empty() {
        return invalid(&flaws.join("; "));
    }
    let prompt = models::prompt(&body).to_owned();
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return invalid(&message),
    };
    let word = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let url = word("callback_url");
    if let Some(url) = &url
        && !is_met(simulator, url).await?
    {
        return invalid("callback_url did not repeat the challenge");
    }
    let new_job = NewJob {
        id: task_id()?,
        endpoint: word("model").unwrap_or_default(),
        medium: Medium::Video { seconds: models::seconds(&body) },
        aspect: schema::ratio(body.get("ratio")),
        extra: remembered(&body),
        prompt,
        callback: url.map(|url| Callback { url, start: true, cancel: true }),
        play,
    };
    let accept = async |job: RemoteJob| {
        let body = json!({"task_id": job.id});
        Ok(Json(if version == Version::One { success(body) } else { body }).into_response())
    };
    Ok(match create::play(simulator, new_job, accept).await? {
        Answer::Reply(response) if version == Version::One => Answer::Reply(in_words_of_1(response)),
        answer => answer,
    })
}

/// Puts a refusal in v1's words, with its headers.
fn in_words_of_1(response: Response) -> Response {
    let Some(refusal) = response.extensions().get::<Refusal>().copied() else { return response };
    let mut other = refused(Version::One, refusal);
    if let Some(wait) = response.headers().get("retry-after") {
        other.headers_mut().insert("retry-after", wait.clone());
    }
    other
}

/// Whether the receiver repeats a challenge in time.
async fn is_met(simulator: &Simulator, url: &str) -> anyhow::Result<bool> {
    let challenge = json!({"challenge": create::uuid()?});
    let payload = Payload::unsigned(&challenge);
    let echo = timeout(CHALLENGE_WITHIN, webhook::post(simulator, url, payload)).await;
    let Ok(Ok((code, body))) = echo else { return Ok(false) };
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(code.is_success() && said["challenge"] == challenge["challenge"])
}

/// Fifteen digits.
fn task_id() -> anyhow::Result<String> {
    let digits = u64::from_str_radix(&create::uuid()?[24..], 16)?;
    Ok(format!("4{:014}", digits % 100_000_000_000_000))
}

fn remembered(body: &Map<String, Value>) -> Value {
    let names = ["resolution", "duration", "ratio"];
    names.iter().filter_map(|name| Some(((*name).to_owned(), body.get(*name)?.clone()))).collect()
}

fn find(simulator: &Simulator, wanted: Version, id: &str) -> anyhow::Result<Option<RemoteJob>> {
    Ok(simulator.find(id)?.filter(|job| !job.deleted && version(job) == wanted))
}

/// What they answer for a job that they do not know, in both versions.
fn no_record(version: Version) -> Answer {
    let mut response = error(version, words::UNKNOWN, "record not found");
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.into()
}

fn look(simulator: &Simulator, version: Version, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = find(simulator, version, id)? else { return Ok(no_record(version)) };
    let (body, word) = match version {
        Version::One => (words::json_v1(&job, now), "/status"),
        Version::Two => (words::json_v2(simulator, &job, now), "/task/status"),
    };
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, body, word).into())
}

fn file(simulator: &Simulator, file_id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let id = file_id.strip_prefix(words::FILE).unwrap_or_default();
    let job = find(simulator, Version::One, id)?.filter(|job| job.phase(now) == Phase::Succeeded);
    let Some(job) = job else { return Ok(no_record(Version::One)) };
    let broken = match poll::result_play(simulator, &job)? {
        Some(ResultPlay::Gone) => return Ok(no_record(Version::One)),
        Some(ResultPlay::NoMedia) => Some((INVALID, "invalid file_id")),
        Some(ResultPlay::Broken(_)) => Some((words::UNKNOWN, "unknown error")),
        None => None,
    };
    if let Some((code, text)) = broken {
        return Ok(error(Version::One, code, text).into());
    }
    let file = json!({"file": {
        "file_id": file_id, "bytes": 0, "created_at": job.ends_at().as_secs(), "filename": "output.mp4",
        "purpose": "video_generation", "download_url": media::url(simulator, &job, Some(now)),
    }});
    Ok(Json(success(file)).into())
}

/// Takes back what waits, forgets what has ended, and leaves alone what runs.
fn delete(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = find(simulator, Version::Two, id)? else { return Ok(no_record(Version::Two)) };
    let status = match job.phase(now) {
        Phase::Throttled | Phase::Queued => "cancelled",
        Phase::Succeeded | Phase::Failed(_) => "deleted",
        Phase::Running(_) | Phase::Canceled => {
            return Ok(error(Version::Two, INVALID, "the task cannot be cancelled").into());
        }
    };
    simulator.store.update(id, |job| match status {
        "cancelled" => job.cancel(now),
        _ => job.deleted = true,
    })?;
    Ok(Json(json!({"task_id": id, "status": status})).into())
}

/// Newest first.
fn list(simulator: &Simulator, call: &Inbound, now: Timestamp) -> anyhow::Result<Answer> {
    let number = |name: &str| call.query(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("page_size").unwrap_or(10).clamp(1, 100);
    let skipped = number("page_num").unwrap_or(1).saturating_sub(1) * size;
    let all = simulator.store.all()?;
    let all: Vec<_> = all.iter().filter(|job| !job.deleted && version(job) == Version::Two).collect();
    let page = all.iter().rev().skip(skipped).take(size);
    let items: Vec<_> = page.map(|job| words::json_v2(simulator, job, now)["task"].clone()).collect();
    Ok(Json(json!({"items": items, "total": all.len()})).into())
}
