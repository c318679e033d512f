//! Replicate's predictions: create, look, list, cancel, with webhooks of the Standard Webhooks
//! kind; the account, and the secret of its webhooks.
//!
//! Directives of its own: `output=string|list|object` is the shape of the output, and
//! `ended=aborted|deadline` ends the run as a deadline does: before it began, or in the middle.
//! A deadline that the create sets does so by itself. `result=404` is an output that was deleted
//! already, `result=422` a success without one.
//!
//! In one file, because it is one wire format, whose models are apart.

mod models;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE32_NOPAD;
use domain::catalog::Kind;
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::models::Model;
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Callback, Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Play, Refusal, ResultPlay};
use crate::frame::schema::{self, Flaw};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Payload, Wire};
use crate::frame::{media, poll};

/// What is kept of a prediction after its end, is kept so long.
const RETENTION: Duration = Duration::from_secs(3_600);
const DEADLINE_MIN: u64 = 5;
const PAGE: usize = 100;
const EVENTS: [&str; 4] = ["start", "output", "logs", "completed"];

#[derive(Debug)]
pub(super) struct Replicate;

impl Wire for Replicate {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create(_) => CallKind::Create,
            Target::List => CallKind::LookUp,
            Target::Look(_) => CallKind::Poll,
            Target::Cancel(_) => CallKind::Cancel,
            Target::Account => CallKind::Ping,
            Target::Models | Target::Model(_) => CallKind::Other,
            Target::Secret => CallKind::Keys,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    /// What was stopped before it ran costs nothing.
    fn bills(&self, job: &RemoteJob, at: Timestamp) -> bool {
        job.bills(at, true) && job.play.own.get("ended").is_none_or(|ended| ended != "aborted")
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        let (code, title, detail) = match refusal {
            Refusal::WrongKey => (401, "Unauthenticated", "You did not pass a valid authentication token"),
            Refusal::NoBalance => {
                (402, "Insufficient credit", "You have insufficient credit to run this model.")
            }
            Refusal::BrokenInput => (422, "Input validation failed", "- input.prompt: is required\n"),
            Refusal::RateLimit => {
                (429, "Too many requests", "Request was throttled. Your rate limit resets in ~30s.")
            }
            Refusal::Internal => (500, "Internal server error", "Something went wrong."),
            Refusal::Unavailable => (503, "Service unavailable", "Try again later."),
            Refusal::Policy => (422, "Input validation failed", "- input.prompt: was flagged as sensitive\n"),
        };
        problem(code, title, detail)
    }

    fn payload(
        &self,
        simulator: &Simulator,
        job: &RemoteJob,
        at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        let id = format!("msg_{}{}", job.id, at.as_millis());
        Ok(Some(Payload::signed(simulator, &id, &prediction(simulator, job, at))))
    }

    fn has_directive(&self, key: &str, value: &str) -> bool {
        matches!((key, value), ("output", "string" | "list" | "object") | ("ended", "aborted" | "deadline"))
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    /// With the model, where the path names it.
    Create(Option<&'a str>),
    List,
    Look(&'a str),
    Cancel(&'a str),
    Account,
    Secret,
    Models,
    Model(&'a str),
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let Some(path) = call.path().strip_prefix("/v1/") else { return Target::Nothing };
    let (get, post) = (call.is(&Method::GET), call.is(&Method::POST));
    match path {
        "predictions" if post => Target::Create(None),
        "predictions" if get => Target::List,
        "account" if get => Target::Account,
        "models" if get => Target::Models,
        "webhooks/default/secret" if get => Target::Secret,
        _ => {
            let model = path.strip_prefix("models/").and_then(|rest| rest.strip_suffix("/predictions"));
            match (model, path.strip_prefix("predictions/").map(|id| (id, id.strip_suffix("/cancel")))) {
                (Some(model), _) if post => Target::Create(Some(model)),
                (_, Some((_, Some(id)))) if post => Target::Cancel(id),
                (_, Some((id, None))) if get => Target::Look(id),
                (None, None) if get => path.strip_prefix("models/").map_or(Target::Nothing, Target::Model),
                _ => Target::Nothing,
            }
        }
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if !simulator.is_authorized(call) {
        return Ok(simulator.wire.refusal(Refusal::WrongKey).into());
    }
    let now = simulator.clock.now();
    match target(call) {
        Target::Create(model) => create(simulator, call, model).await,
        Target::List => list(simulator, call, now),
        Target::Look(id) => Ok(match simulator.find(id)? {
            Some(job) => poll::answer(
                simulator,
                &job,
                now,
                StatusCode::OK,
                prediction(simulator, &job, now),
                "/status",
            )
            .into(),
            None => not_found().into(),
        }),
        Target::Cancel(id) => cancel(simulator, id, now),
        Target::Account => {
            Ok(Json(json!({"type": "organization", "username": "simulated", "name": "Simulated"})).into())
        }
        Target::Secret => Ok(Json(json!({"key": simulator.webhook_secret().expose()})).into()),
        Target::Models => Ok(offered(simulator, call).into()),
        Target::Model(id) => Ok(match models::find(id) {
            None if !simulator.options.further.contains_key(id) => not_found().into(),
            _ => Json(model_json(id)).into(),
        }),
        Target::Nothing => Ok(not_found().into()),
    }
}

/// The list of public models, in pages of four.
fn offered(simulator: &Simulator, call: &Inbound) -> Response {
    const PAGE: usize = 4;
    let skipped: usize = call.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let ids: Vec<_> = models::offered().skip(skipped).collect();
    let page: Vec<_> = ids.iter().take(PAGE).map(|id| model_json(id)).collect();
    let next =
        (ids.len() > PAGE).then(|| format!("{}/v1/models?cursor={}", simulator.base(), skipped + PAGE));
    Json(json!({"next": next, "previous": null, "results": page})).into_response()
}

fn model_json(id: &str) -> Value {
    let (owner, name) = id.split_once('/').unwrap_or((id, ""));
    json!({"url": format!("https://replicate.com/{id}"), "owner": owner, "name": name,
           "visibility": "public", "latest_version": null})
}

async fn create(simulator: &Simulator, call: &Inbound, named: Option<&str>) -> anyhow::Result<Answer> {
    let invalid = |flaws: &[String]| Ok(invalid(flaws).into());
    let Ok(body) = call.object() else { return invalid(&["body: must be a JSON object".to_owned()]) };
    let Some(version) = named.or_else(|| body.get("version")?.as_str()) else {
        return invalid(&["version: is required".to_owned()]);
    };
    let (model, further) = (models::find(version), simulator.options.further.get(version));
    if model.is_none() && further.is_none() {
        return Ok(match named {
            Some(_) => not_found(),
            None => problem(
                422,
                "Invalid version or not permitted",
                "The specified version does not exist (or perhaps you don't have permission to use it?)",
            ),
        }
        .into());
    }
    let input = body.get("input").and_then(Value::as_object).cloned().unwrap_or_default();
    let deadline = match deadline(call) {
        Ok(deadline) => deadline,
        Err(flaw) => return invalid(&[flaw]),
    };
    let flaws = flaws(&body, &input, model);
    if !flaws.is_empty() {
        return invalid(&flaws);
    }
    let prompt = create::prompt(&input);
    let mut play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return invalid(&[format!("input.prompt: {message}")]),
    };
    end_at_deadline(&mut play, deadline, simulator.options.latency);
    let now = simulator.clock.now();
    let new_job = NewJob {
        id: id()?,
        endpoint: version.to_owned(),
        medium: match (model, further) {
            (Some(model), _) => model.medium(&input),
            (None, Some(Kind::Image)) => Medium::Image,
            (None, _) => Medium::Video { seconds: 5 },
        },
        aspect: model.map_or((16, 9), |model| model.aspect(&input)),
        callback: callback(&body),
        extra: json!({"input": input, "deadline": deadline.map(|span| (now + span).to_string())}),
        prompt,
        play,
    };
    let accept = async |job: RemoteJob| {
        let shown = prediction(simulator, &job, job.created_at);
        Ok((StatusCode::CREATED, Json(shown)).into_response())
    };
    create::play(simulator, new_job, accept).await
}

/// How long a prediction may take in all: `30s`, `5m`, `1h30m`, or seconds without a unit.
fn deadline(call: &Inbound) -> Result<Option<Duration>, String> {
    let Some(text) = call.header("cancel-after") else { return Ok(None) };
    let (mut seconds, mut number) = (Some(0_u64), String::new());
    for c in text.chars() {
        let unit = match c {
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => {
                number.push(c);
                continue;
            }
        };
        let part = std::mem::take(&mut number).parse::<u64>().ok();
        seconds = seconds.zip(part).and_then(|(sum, part)| sum.checked_add(part.checked_mul(unit)?));
    }
    if !number.is_empty() {
        seconds = number.parse().ok().filter(|_| seconds == Some(0));
    }
    match seconds.filter(|seconds| *seconds >= DEADLINE_MIN) {
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => Err(format!("Cancel-After: must be a duration of at least {DEADLINE_MIN} seconds")),
    }
}

/// Shortens a run that its deadline would stop.
fn end_at_deadline(play: &mut Play, deadline: Option<Duration>, usual: Duration) {
    let latency = play.latency.unwrap_or(usual);
    let Some(deadline) = deadline.filter(|deadline| play.throttled + latency > *deadline) else { return };
    let ended = if play.throttled >= deadline { "aborted" } else { "deadline" };
    play.throttled = play.throttled.min(deadline);
    play.latency = Some(deadline - play.throttled);
    play.own.insert("ended".to_owned(), ended.to_owned());
}

fn callback(body: &Map<String, Value>) -> Option<Callback> {
    let url = body.get("webhook")?.as_str()?.to_owned();
    let start = match body.get("webhook_events_filter").and_then(Value::as_array) {
        Some(events) => events.iter().any(|event| event == "start"),
        None => true,
    };
    Some(Callback { url, start, cancel: true })
}

fn flaws(body: &Map<String, Value>, input: &Map<String, Value>, model: Option<&Model>) -> Vec<String> {
    let mut flaws = Vec::new();
    if !body.get("input").is_some_and(Value::is_object) {
        flaws.push("input: is required and must be an object".to_owned());
    }
    let url = body.get("webhook").map(|url| url.as_str().and_then(|url| url::Url::parse(url).ok()));
    if url.is_some_and(|url| url.is_none_or(|url| !["https", "http"].contains(&url.scheme()))) {
        flaws.push("webhook: Does not match format 'uri'".to_owned());
    }
    let events = body.get("webhook_events_filter").map(Value::as_array);
    let known = |event: &Value| event.as_str().is_some_and(|event| EVENTS.contains(&event));
    if events.is_some_and(|events| events.is_none_or(|events| !events.iter().all(known))) {
        flaws.push(format!("webhook_events_filter: must hold only {}", EVENTS.join(", ")));
    }
    let fields = model.map(|model| schema::flaws(model.fields, input)).unwrap_or_default();
    flaws.extend(fields.into_iter().map(|(field, flaw)| {
        let flaw = match flaw {
            Flaw::Missing => "is required".to_owned(),
            Flaw::Type(kind) => format!("Invalid type. Expected: {kind}"),
            Flaw::NotOneOf(choices) => format!("must be one of the following: {choices:?}"),
            Flaw::NotOneOfIntegers(choices) => format!("must be one of the following: {choices:?}"),
            Flaw::TooShort(min) => format!("must have at least {min} characters"),
            Flaw::TooLong(max) => format!("must have at most {max} characters"),
            Flaw::TooSmall(min) => format!("Must be greater than or equal to {min}"),
            Flaw::TooBig(max) => format!("Must be less than or equal to {max}"),
            Flaw::BadAddress => "Does not match format 'uri'".to_owned(),
        };
        format!("input.{field}: {flaw}")
    }));
    flaws
}

fn list(simulator: &Simulator, call: &Inbound, now: Timestamp) -> anyhow::Result<Answer> {
    let bound = |name: &str| match call.query(name) {
        Some(text) => text.parse::<jiff::Timestamp>().map(|time| Some(time.as_millisecond())),
        None => Ok(None),
    };
    let (Ok(after), Ok(before)) = (bound("created_after"), bound("created_before")) else {
        return Ok(
            problem(422, "Invalid query", "created_after and created_before must be date-times").into()
        );
    };
    let mut jobs = simulator.store.all()?;
    jobs.retain(|job| {
        let at = job.created_at.as_millis();
        after.is_none_or(|after| at >= after) && before.is_none_or(|before| at < before)
    });
    let skipped = call.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let more = jobs.len() > skipped + PAGE;
    let page = jobs.iter().rev().skip(skipped).take(PAGE);
    let results: Vec<_> = page.map(|job| prediction(simulator, job, now)).collect();
    let next = more.then(|| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, text) in ["created_after", "created_before"].map(|name| (name, call.query(name))) {
            query.extend_pairs(text.map(|text| (name, text)));
        }
        query.append_pair("cursor", &(skipped + PAGE).to_string());
        format!("{}/v1/predictions?{}", simulator.base(), query.finish())
    });
    Ok(Json(json!({"next": next, "previous": null, "results": results})).into())
}

fn cancel(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = simulator.find(id)? else { return Ok(not_found().into()) };
    let changed = simulator.store.update(id, |job| {
        if !job.is_over(now) {
            job.cancel(now);
        }
    })?;
    Ok(Json(prediction(simulator, &changed.unwrap_or(job), now)).into())
}

/// The JSON of a prediction in calls and webhooks.
fn prediction(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let is_over = job.is_over(at);
    let removed = (is_over && at >= job.ends_at() + RETENTION) || job.play.result == Some(ResultPlay::Gone);
    let ended = job.play.own.get("ended").map(String::as_str);
    let (status, output, error) = match job.phase(at) {
        Phase::Throttled | Phase::Queued => ("starting", None, None),
        Phase::Running(_) => ("processing", None, None),
        Phase::Canceled => ("canceled", None, None),
        _ if ended == Some("aborted") => ("aborted", None, None),
        _ if ended == Some("deadline") => ("canceled", None, None),
        Phase::Failed(failure) => ("failed", None, Some(error(failure))),
        Phase::Succeeded => ("succeeded", output(simulator, job), None),
    };
    let removed = removed && is_over;
    let started = matches!(status, "processing" | "succeeded" | "failed" | "canceled");
    let deadline = match ended {
        Some(_) => json!(job.ends_at().to_string()),
        None => job.extra["deadline"].clone(),
    };
    let url = format!("{}/v1/predictions/{}", simulator.base(), job.id);
    // Official models show no version.
    let (model, version) = job.endpoint.split_once(':').unwrap_or((&job.endpoint, "hidden"));
    json!({
        "id": job.id,
        "model": model,
        "version": version,
        "status": status,
        "input": if removed { json!({}) } else { job.extra["input"].clone() },
        "output": output.filter(|_| !removed),
        "error": error,
        "logs": "",
        "metrics": if is_over { json!({"total_time": job.latency.as_secs_f64()}) } else { json!({}) },
        "created_at": job.created_at.to_string(),
        "started_at": started.then(|| job.created_at.to_string()),
        "completed_at": is_over.then(|| job.ends_at().to_string()),
        "deadline": deadline,
        "data_removed": removed,
        "source": "api",
        "urls": {"get": url, "cancel": format!("{url}/cancel"), "stream": format!("{url}/stream"),
                 "web": format!("{}/p/{}", simulator.base(), job.id)},
    })
}

fn output(simulator: &Simulator, job: &RemoteJob) -> Option<Value> {
    if job.play.result == Some(ResultPlay::NoMedia) {
        return None;
    }
    let url = media::url(simulator, job, None);
    let lists = models::find(&job.endpoint).is_some_and(|model| model.lists);
    Some(match job.play.own.get("output").map(String::as_str) {
        Some("object") => match job.medium {
            Medium::Video { seconds } => json!({"duration": seconds, "video": {"url": url}}),
            Medium::Image => json!({"image": {"url": url}}),
        },
        Some("list") => json!([url]),
        None if lists => json!([url]),
        _ => json!(url),
    })
}

fn error(failure: Failure) -> &'static str {
    match failure {
        Failure::ContentPolicy => {
            "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
        }
        Failure::Internal => "Director: unexpected error handling prediction (E9828)",
        Failure::Invalid => "Failed to load the image",
        Failure::NoCode => "Something went wrong",
    }
}

fn invalid(flaws: &[String]) -> Response {
    let lines: String = flaws.iter().map(|flaw| format!("- {flaw}\n")).collect();
    problem(422, "Input validation failed", &lines)
}

fn not_found() -> Response {
    problem(404, "Not found", "The requested resource could not be found.")
}

fn problem(code: u16, title: &str, detail: &str) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({"title": title, "detail": detail, "status": code}))).into_response()
}

/// 26 characters, as theirs are.
fn id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no randomness")?;
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}
