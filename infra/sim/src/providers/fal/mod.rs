//! fal's queue, result, cancel, pricing, history and key endpoints, all on one host, and its
//! webhooks.
//!
//! Directives of its own: `history=unlisted` is a job that the history does not list; `bill=lost|twice|later|AMOUNT`
//! is one that is billed not at all, twice, a day later, or otherwise than its price says.

mod billing;
mod errors;
mod history;
mod inputs;
mod models;
mod outcome;
mod signature;
#[cfg(test)]
pub(crate) mod tests;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::catalog::Kind;
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::errors::{detail, flawed, infrastructure, invalid, issue, not_found, platform_error, unauthorized};
use self::models::Endpoint;
use self::outcome::outcome;
use self::signature::Signer;
use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Callback, Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Refusal, ResultPlay};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, NoObject, Payload, Wire};
use crate::frame::{poll, schema};

/// The account in the signed text of a webhook.
const USER_ID: &str = "github|simulated";
/// The most endpoints that the pricing call takes.
const PRICES_MAX: usize = 50;

#[derive(Debug)]
pub(super) struct Fal;

impl Wire for Fal {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create(_) => CallKind::Create,
            Target::Status(_) => CallKind::Poll,
            Target::Result(_) => CallKind::Result,
            Target::Cancel(_) => CallKind::Cancel,
            Target::Keys => CallKind::Keys,
            Target::Pricing if asked(call).len() > 1 => CallKind::Prices,
            Target::Pricing => CallKind::Ping,
            Target::History | Target::Billing => CallKind::LookUp,
            Target::Models => CallKind::Other,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        errors::refusal(refusal)
    }

    fn key<'a>(&self, call: &'a Inbound) -> Option<&'a str> {
        call.authorization("Key ")
    }

    fn has_directive(&self, key: &str, value: &str) -> bool {
        (key, value) == (history::UNLISTED.0, history::UNLISTED.1) || billing::is_directive(key, value)
    }

    fn payload(
        &self,
        simulator: &Simulator,
        job: &RemoteJob,
        at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        let body = webhook_body(simulator, job, at).to_string();
        let now = simulator.clock.now().as_secs();
        let signature = Signer::new(simulator.secret.bytes())?.sign(&job.id, USER_ID, now, body.as_bytes());
        let signature = vec![
            ("X-Fal-Webhook-Request-Id", job.id.clone()),
            ("X-Fal-Webhook-User-Id", USER_ID.to_owned()),
            ("X-Fal-Webhook-Timestamp", now.to_string()),
            ("X-Fal-Webhook-Signature", signature),
        ];
        Ok(Some(Payload { body, signature }))
    }
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Create(&'a str),
    Status(Address<'a>),
    Result(Address<'a>),
    Cancel(Address<'a>),
    Keys,
    Pricing,
    History,
    Billing,
    Models,
    Nothing,
}

/// A remote job, addressed below its endpoint id or below `owner/app`.
#[derive(Debug)]
struct Address<'a> {
    app: &'a str,
    id: &'a str,
}

fn target(call: &Inbound) -> Target<'_> {
    let path = call.path();
    let get = call.is(&Method::GET);
    match path {
        "/.well-known/jwks.json" if get => return Target::Keys,
        "/v1/models/pricing" if get => return Target::Pricing,
        "/v1/models/requests/by-endpoint" if get => return Target::History,
        "/v1/models/billing-events" if get => return Target::Billing,
        "/v1/models" if get => return Target::Models,
        _ => {}
    }
    let Some((app, job)) = path.trim_start_matches('/').split_once("/requests/") else {
        let endpoint = path.trim_start_matches('/');
        return if call.is(&Method::POST) { Target::Create(endpoint) } else { Target::Nothing };
    };
    let (id, verb) = job.split_once('/').unwrap_or((job, ""));
    let address = Address { app, id };
    match verb {
        "status" if get => Target::Status(address),
        "" | "response" if get => Target::Result(address),
        "cancel" if call.is(&Method::PUT) => Target::Cancel(address),
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let target = target(call);
    match &target {
        Target::Keys => return Ok(Json(Signer::new(simulator.secret.bytes())?.jwks()).into()),
        Target::Pricing => return Ok(pricing(simulator, call).into()),
        Target::History => return history::answer(simulator, call),
        Target::Billing => return billing::answer(simulator, call),
        Target::Models => return Ok(offered(call).into()),
        Target::Nothing => return Ok(detail(StatusCode::NOT_FOUND, "Not found").into()),
        Target::Create(_) | Target::Status(_) | Target::Result(_) | Target::Cancel(_) => {}
    }
    if !simulator.is_authorized(call) {
        return Ok(unauthorized().into());
    }
    let now = simulator.clock.now();
    match target {
        Target::Create(endpoint) => create(simulator, call, endpoint).await,
        Target::Status(address) => with_job(simulator, &address, |job| Ok(status(simulator, call, job, now))),
        Target::Result(address) => with_job(simulator, &address, |job| result(simulator, job, now)),
        Target::Cancel(address) => with_job(simulator, &address, |job| cancel(simulator, job, now)),
        Target::Keys
        | Target::Pricing
        | Target::History
        | Target::Billing
        | Target::Models
        | Target::Nothing => {
            unreachable!("answered above")
        }
    }
}

async fn create(simulator: &Simulator, call: &Inbound, id: &str) -> anyhow::Result<Answer> {
    let (endpoint, further) = (models::find(id), simulator.options.further.get(id));
    if endpoint.is_none() && further.is_none() {
        return Ok(detail(StatusCode::NOT_FOUND, &format!("Application '{id}' not found")).into());
    }
    let input = match call.object() {
        Ok(input) => input,
        Err(NoObject::OtherJson) => {
            return Ok(
                invalid(vec![issue(&["body"], "Input should be a valid dictionary", "dict_type")]).into()
            );
        }
        Err(NoObject::NoJson) => {
            return Ok(invalid(vec![issue(&["body"], "JSON decode error", "json_invalid")]).into());
        }
    };
    let issues = endpoint.map(|endpoint| issues(endpoint, &input)).unwrap_or_default();
    if !issues.is_empty() {
        return Ok(invalid(issues).into());
    }
    let webhook_url = call.query("fal_webhook");
    if webhook_url.as_ref().is_some_and(|address| url::Url::parse(address).is_err()) {
        return Ok(detail(StatusCode::BAD_REQUEST, "Invalid webhook URL").into());
    }
    let prompt = create::prompt(&input);
    let play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => {
            return Ok(invalid(vec![issue(&["body", "prompt"], &message, "simulator_directive")]).into());
        }
    };
    let new_job = NewJob {
        id: create::uuid()?,
        endpoint: id.to_owned(),
        medium: match (endpoint, further) {
            (Some(endpoint), _) => endpoint.medium(&input),
            (None, Some(Kind::Image)) => Medium::Image,
            (None, _) => Medium::Video { seconds: 5 },
        },
        aspect: models::aspect(&input),
        // The id of fal's last internal attempt; it differs from the job's, as it may at the real one.
        extra: json!({"gateway_request_id": create::uuid()?, "input": input}),
        prompt,
        callback: webhook_url.map(|url| Callback { url, start: false, cancel: false }),
        play,
    };
    let accept = async |job| Ok(named(&job, Json(accepted(simulator, &job))));
    create::play(simulator, new_job, accept).await
}

fn accepted(simulator: &Simulator, job: &RemoteJob) -> Value {
    let response_url = response_url(simulator, job);
    json!({
        "status": "IN_QUEUE",
        "request_id": job.id,
        "status_url": format!("{response_url}/status"),
        "cancel_url": format!("{response_url}/cancel"),
        "response_url": response_url,
        "queue_position": 0,
    })
}

fn response_url(simulator: &Simulator, job: &RemoteJob) -> String {
    format!("{}/{}/requests/{}", simulator.base(), models::app(&job.endpoint), job.id)
}

fn issues(endpoint: &Endpoint, input: &Map<String, Value>) -> Vec<Value> {
    let mut issues: Vec<_> = schema::flaws(endpoint.fields, input)
        .iter()
        .map(|(field, flaw)| flawed(field, *flaw, input))
        .collect();
    if endpoint.shots && input.contains_key("prompt") == input.contains_key("multi_prompt") {
        let message = "Value error, Either prompt or multi_prompt must be provided, but not both";
        issues.push(issue(&["body"], message, "value_error"));
    }
    issues
}

fn status(simulator: &Simulator, call: &Inbound, job: &RemoteJob, now: Timestamp) -> Response {
    let (code, mut status) = match job.phase(now) {
        Phase::Throttled | Phase::Queued => {
            (StatusCode::ACCEPTED, json!({"status": "IN_QUEUE", "queue_position": 0}))
        }
        Phase::Running(_) => (StatusCode::ACCEPTED, json!({"status": "IN_PROGRESS"})),
        Phase::Succeeded | Phase::Failed(_) | Phase::Canceled => {
            let seconds = job.ends_at().since(job.created_at).as_secs_f64();
            (StatusCode::OK, json!({"status": "COMPLETED", "metrics": {"inference_time": seconds}}))
        }
    };
    status["request_id"] = json!(job.id);
    status["response_url"] = json!(response_url(simulator, job));
    if code == StatusCode::OK
        && let Some((error, kind)) = status_error(job, now)
    {
        status["error"] = json!(error);
        if let Some(kind) = kind {
            status["error_type"] = json!(kind);
        }
    }
    if call.query("logs").as_deref() == Some("1") && status["status"] != "IN_QUEUE" {
        let line = json!({"message": "rendering", "level": "INFO", "source": "USER",
                          "timestamp": job.created_at.to_string()});
        status["logs"] = json!([line]);
    }
    poll::answer(simulator, job, now, code, status, "/status")
}

/// The error in a status answer; failures of the model itself are only in the result.
fn status_error(job: &RemoteJob, now: Timestamp) -> Option<(&'static str, Option<&'static str>)> {
    match job.phase(now) {
        Phase::Canceled => Some(("Request was cancelled", Some("client_cancelled"))),
        Phase::Failed(Failure::Internal) if !job.play.fail_bills => {
            Some(("Runner server error", Some("runner_server_error")))
        }
        Phase::Failed(Failure::NoCode) => Some(("Something went wrong", None)),
        _ => None,
    }
}

fn result(simulator: &Simulator, job: &RemoteJob, now: Timestamp) -> anyhow::Result<Response> {
    if !job.is_over(now) {
        return Ok(detail(StatusCode::BAD_REQUEST, "Request is still in progress"));
    }
    match poll::result_play(simulator, job)? {
        Some(ResultPlay::Gone) => return Ok(not_found()),
        Some(ResultPlay::Broken(_)) => {
            return Ok(infrastructure(StatusCode::INTERNAL_SERVER_ERROR, "internal_error"));
        }
        Some(ResultPlay::NoMedia) | None => {}
    }
    let (code, output) = outcome(simulator, job, now);
    let output = poll::played(job, now, output, "/video");
    Ok(match output["error_type"].as_str() {
        Some(kind) => (code, [("X-Fal-Error-Type", kind.to_owned())], Json(output)).into_response(),
        None => {
            (code, [("X-Fal-Retryable", code.is_server_error().to_string())], Json(output)).into_response()
        }
    })
}

/// What the webhook of a finished job carries.
fn webhook_body(simulator: &Simulator, job: &RemoteJob, at: Timestamp) -> Value {
    let (code, output) = outcome(simulator, job, at);
    let gateway_id = &job.extra["gateway_request_id"];
    let mut body = json!({"request_id": job.id, "gateway_request_id": gateway_id, "payload": output});
    if code.is_success() {
        body["status"] = json!("OK");
    } else {
        body["status"] = json!("ERROR");
        body["error"] = json!(format!("Invalid status code: {}", code.as_u16()));
    }
    body
}

fn cancel(simulator: &Simulator, job: &RemoteJob, now: Timestamp) -> anyhow::Result<Response> {
    if job.is_over(now) {
        return Ok((StatusCode::BAD_REQUEST, Json(json!({"status": "ALREADY_COMPLETED"}))).into_response());
    }
    simulator.store.update(&job.id, |job| job.cancel(now))?;
    Ok((StatusCode::ACCEPTED, Json(json!({"status": "CANCELLATION_REQUESTED"}))).into_response())
}

fn with_job(
    simulator: &Simulator,
    address: &Address<'_>,
    answer: impl FnOnce(&RemoteJob) -> anyhow::Result<Response>,
) -> anyhow::Result<Answer> {
    let job = simulator
        .find(address.id)?
        .filter(|job| address.app == job.endpoint || address.app == models::app(&job.endpoint));
    Ok(match job {
        Some(job) => named(&job, answer(&job)?).into(),
        None => not_found().into(),
    })
}

/// With the header by which fal's own clients learn the id.
fn named(job: &RemoteJob, response: impl IntoResponse) -> Response {
    ([("x-fal-request-id", job.id.clone())], response).into_response()
}

/// The endpoints whose prices a call asks for.
fn asked(call: &Inbound) -> Vec<String> {
    let asked = call.query("endpoint_id").unwrap_or_default();
    asked.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// The platform's list of models, which needs no key: whatever the call asks for, pages of thirty.
fn offered(call: &Inbound) -> Response {
    const PAGE: usize = 30;
    let skipped: usize = call.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let ids: Vec<_> = models::offered().skip(skipped).collect();
    let model = |id: &&str| json!({"endpoint_id": id, "metadata": {"display_name": id, "status": "active"}});
    let page: Vec<_> = ids.iter().take(PAGE).map(model).collect();
    let next = (ids.len() > PAGE).then(|| (skipped + PAGE).to_string());
    Json(json!({"models": page, "has_more": next.is_some(), "next_cursor": next})).into_response()
}

/// The platform's pricing call: other error bodies than the queue's.
fn pricing(simulator: &Simulator, call: &Inbound) -> Response {
    if !simulator.is_authorized(call) {
        return platform_error(StatusCode::UNAUTHORIZED, "authorization_error", "Authentication required");
    }
    let asked = asked(call);
    if !(1..=PRICES_MAX).contains(&asked.len()) {
        return platform_error(StatusCode::BAD_REQUEST, "validation_error", "Invalid request parameters");
    }
    // Of the others it knows no price.
    let asked = asked.iter().filter(|id| !simulator.options.further.contains_key(*id));
    let endpoints: Option<Vec<_>> = asked.map(|id| models::find(id)).collect();
    let Some(endpoints) = endpoints else {
        return platform_error(StatusCode::NOT_FOUND, "not_found", "Endpoint not found");
    };
    let price = |endpoint: &&Endpoint| json!({"endpoint_id": endpoint.id, "unit_price": endpoint.unit_price, "unit": endpoint.unit, "currency": "USD"});
    let prices: Vec<_> = endpoints.iter().map(price).collect();
    Json(json!({"prices": prices, "next_cursor": null, "has_more": false})).into_response()
}
