//! Runway's create, look-up, delete and organisation endpoints.

mod models;
#[cfg(test)]
pub(crate) mod tests;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::models::{MODELS, Model};
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Refusal};
use crate::frame::schema::{self, Field, Flaw};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Wire};
use crate::frame::{media, poll};

const VERSION: &str = "2024-11-06";

#[derive(Debug)]
pub(super) struct Runway;

impl Wire for Runway {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::FromText | Target::FromImage => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::Delete(_) => CallKind::Cancel,
            Target::Organization => CallKind::Ping,
            Target::WrongMethod | Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    fn bills(&self, job: &RemoteJob, at: Timestamp) -> bool {
        job.bills(at, false)
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        refused(refusal)
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    FromText,
    FromImage,
    Look(&'a str),
    Delete(&'a str),
    Organization,
    WrongMethod,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let path = call.path();
    let (get, post) = (call.is(&Method::GET), call.is(&Method::POST));
    match (path, path.strip_prefix("/v1/tasks/")) {
        ("/v1/text_to_video", _) if post => Target::FromText,
        ("/v1/image_to_video", _) if post => Target::FromImage,
        ("/v1/organization", _) if get => Target::Organization,
        (_, Some(id)) if get => Target::Look(id),
        (_, Some(id)) if call.is(&Method::DELETE) => Target::Delete(id),
        ("/v1/text_to_video" | "/v1/image_to_video" | "/v1/organization", _) | (_, Some(_)) => {
            Target::WrongMethod
        }
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if !simulator.is_authorized(call) {
        return Ok(refused(Refusal::WrongKey).into());
    }
    if call.header("x-runway-version") != Some(VERSION) {
        let message = format!("The X-Runway-Version header must be {VERSION}.");
        return Ok(error(StatusCode::BAD_REQUEST, &message).into());
    }
    let now = simulator.clock.now();
    match target(call) {
        Target::FromText => create(simulator, call, |model| model.text).await,
        Target::FromImage => create(simulator, call, |model| Some(model.image)).await,
        Target::Look(id) => look(simulator, id, now),
        Target::Delete(id) => delete(simulator, id, now),
        Target::Organization => Ok(Json(organization()).into()),
        Target::WrongMethod => Ok(error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed").into()),
        Target::Nothing => Ok(not_found().into()),
    }
}

async fn create(
    simulator: &Simulator,
    call: &Inbound,
    fields: impl Fn(&'static Model) -> Option<&'static [Field]>,
) -> anyhow::Result<Answer> {
    let Ok(body) = call.object() else {
        return Ok(error(StatusCode::BAD_REQUEST, "The body is not a JSON object.").into());
    };
    let asked = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let known = MODELS.iter().filter_map(|model| Some((model, fields(model)?)));
    let Some((model, fields)) = known.clone().find(|(model, _)| model.id == asked) else {
        let names: Vec<_> = known.map(|(model, _)| model.id).collect();
        let message = format!("Invalid discriminator value. Expected one of {}", names.join(", "));
        return Ok(invalid(vec![issue("invalid_union_discriminator", &["model"], &message)]).into());
    };
    let issues = issues(fields, &body);
    if !issues.is_empty() {
        return Ok(invalid(issues).into());
    }
    let prompt = body.get("promptText").and_then(Value::as_str).unwrap_or_default().to_owned();
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(vec![issue("custom", &["promptText"], &message)]).into()),
    };
    let new_job = NewJob {
        id: create::uuid()?,
        endpoint: model.id.to_owned(),
        medium: Medium::Video { seconds: model.seconds(&body) },
        aspect: models::aspect(&body),
        // The price as the answers contain it.
        extra: json!({"credits": model.credits(&body)}),
        prompt,
        callback: None,
        play,
    };
    let accept =
        async |job: RemoteJob| Ok(Json(json!({"id": job.id, "estimatedCost": job.extra})).into_response());
    create::play(simulator, new_job, accept).await
}

fn issues(fields: &[Field], body: &Map<String, Value>) -> Vec<Value> {
    let flaws = schema::flaws(fields, body);
    let mut issues: Vec<_> = flaws.iter().map(|(field, flaw)| flawed(field, *flaw)).collect();
    let known = |key: &&String| fields.iter().any(|field| field.name == **key);
    let unknown: Vec<_> = body.keys().filter(|key| !known(key)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let message = format!("Unrecognized key(s) in object: {}", unknown.join(", "));
        let mut issue = issue("unrecognized_keys", &[], &message);
        issue["keys"] = json!(unknown);
        issues.push(issue);
    }
    issues
}

fn flawed(field: &str, flaw: Flaw) -> Value {
    let (code, message) = match flaw {
        Flaw::Missing => ("invalid_type", "Required".to_owned()),
        Flaw::Type(kind) => ("invalid_type", format!("Expected {kind}")),
        Flaw::NotOneOf(choices) => ("invalid_value", format!("Expected one of {}", choices.join(", "))),
        Flaw::NotOneOfIntegers(choices) => ("invalid_value", format!("Expected one of {choices:?}")),
        Flaw::TooShort(min) => ("too_small", format!("String must contain at least {min} character(s)")),
        Flaw::TooLong(max) => ("too_big", format!("String must contain at most {max} character(s)")),
        Flaw::TooSmall(min) => ("too_small", format!("Number must be greater than or equal to {min}")),
        Flaw::TooBig(max) => ("too_big", format!("Number must be less than or equal to {max}")),
        Flaw::BadAddress => ("invalid_string", "Expected an HTTPS URL, Runway URI or data URI".to_owned()),
    };
    issue(code, &[field], &message)
}

fn look(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = simulator.find(id)?.filter(|job| !job.deleted) else {
        return Ok(not_found().into());
    };
    let mut body = json!({"id": job.id, "createdAt": job.created_at.to_string()});
    let estimate = &job.extra;
    match job.phase(now) {
        Phase::Throttled => merge(&mut body, json!({"status": "THROTTLED", "estimatedCost": estimate})),
        Phase::Queued => merge(&mut body, json!({"status": "PENDING", "estimatedCost": estimate})),
        Phase::Running(share) => {
            merge(&mut body, json!({"status": "RUNNING", "progress": share, "estimatedCost": estimate}));
        }
        Phase::Succeeded => {
            let output = [media::url(simulator, &job, Some(now))];
            merge(&mut body, json!({"status": "SUCCEEDED", "output": output, "cost": estimate}));
        }
        Phase::Failed(failure) => {
            merge(&mut body, failed(failure));
            if job.play.fail_bills {
                body["cost"] = estimate.clone();
            }
        }
        Phase::Canceled => merge(&mut body, json!({"status": "CANCELLED", "cost": {"credits": 0}})),
    }
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, body, "/status").into())
}

fn failed(failure: Failure) -> Value {
    let (text, code) = match failure {
        Failure::ContentPolicy => ("Your prompt did not pass our content moderation.", "SAFETY.INPUT.TEXT"),
        Failure::Internal => ("An unexpected error occurred.", "INTERNAL.BAD_OUTPUT.CODE01"),
        Failure::Invalid => ("The input asset could not be read.", "ASSET.INVALID"),
        Failure::NoCode => {
            return json!({"status": "FAILED", "failure": "An unexpected error occurred.", "cost": {"credits": 0}});
        }
    };
    json!({"status": "FAILED", "failure": text, "failureCode": code, "cost": {"credits": 0}})
}

fn merge(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}

/// A running job is canceled; one that has ended is removed with its output.
fn delete(simulator: &Simulator, id: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let Some(job) = simulator.find(id)?.filter(|job| !job.deleted) else {
        return Ok(not_found().into());
    };
    simulator.store.update(&job.id, |job| match job.is_over(now) {
        true => job.deleted = true,
        false => job.cancel(now),
    })?;
    Ok(StatusCode::NO_CONTENT.into())
}

fn organization() -> Value {
    let limits = json!({"maxConcurrentGenerations": 20, "maxDailyGenerations": 10_000});
    let models: Map<_, _> = MODELS.iter().map(|model| (model.id.to_owned(), limits.clone())).collect();
    let used: Map<_, _> =
        MODELS.iter().map(|model| (model.id.to_owned(), json!({"dailyGenerations": 0}))).collect();
    json!({"tier": {"maxMonthlyCreditSpend": 100_000, "models": models}, "creditBalance": 50_000,
           "usage": {"models": used}})
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::WrongKey => error(StatusCode::UNAUTHORIZED, "You did not provide a valid API key."),
        Refusal::NoBalance => {
            error(StatusCode::BAD_REQUEST, "You do not have enough credits to run this task.")
        }
        Refusal::BrokenInput => invalid(vec![issue("invalid_type", &["promptText"], "Required")]),
        Refusal::RateLimit => {
            error(StatusCode::TOO_MANY_REQUESTS, "You have reached your daily limit for this model.")
        }
        Refusal::Internal => error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
        Refusal::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable"),
        Refusal::Policy => error(StatusCode::BAD_REQUEST, "Your prompt did not pass our content moderation."),
    }
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "Not found")
}

fn error(code: StatusCode, text: &str) -> Response {
    (code, Json(json!({"error": text}))).into_response()
}

fn invalid(issues: Vec<Value>) -> Response {
    let body = json!({"error": "Validation of body failed", "issues": issues,
                      "docUrl": "https://docs.dev.runwayml.com/api"});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

fn issue(code: &str, path: &[&str], message: &str) -> Value {
    json!({"code": code, "path": path, "message": message})
}
