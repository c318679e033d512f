//! Gemini's interactions, files, models and key endpoints, and the webhooks of one request.
//!
//! Its own directive is `gemini=`: `inline` (the video comes in the interaction, although an
//! address was asked for), `processing` (the file is not ready when the interaction is, for
//! the last half of the time that it took), `file_failed`, `draft` (another image comes before
//! the one that was ordered), and the ends `incomplete`, `requires_action`,
//! `requires_continuation` and `budget_exceeded`.
//!
//! An image takes no time, as its interaction ends before it is answered: `latency`, `throttled`,
//! `cancel`, `webhook` and `asset` have no effect. What `status` spoils is the answer with it.

mod models;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use self::models::Order;
use crate::frame::call::{CallKind, Says};
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Callback, Medium, Phase, RemoteJob};
use crate::frame::play::{Failure, Refusal, ResultPlay, StatusPlay, WebhookPlay};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Payload, Wire};
use crate::frame::{media, poll};
use crate::providers::google::{error, invalid, not_found, refusal};
use crate::providers::rsa::RsaKey;

const OWN: [&str; 8] = [
    "draft",
    "inline",
    "processing",
    "file_failed",
    "incomplete",
    "requires_action",
    "requires_continuation",
    "budget_exceeded",
];
/// How long a webhook's token is valid, in seconds.
const TOKEN_LASTS_S: i64 = 300;

#[derive(Debug)]
pub(super) struct Gemini;

impl Wire for Gemini {
    fn kind(&self, call: &Inbound) -> CallKind {
        match target(call) {
            Target::Create => CallKind::Create,
            Target::Look(_) => CallKind::Poll,
            Target::File(_) => CallKind::Result,
            Target::Cancel(_) | Target::Forget(_) => CallKind::Cancel,
            Target::Models => CallKind::Ping,
            Target::Keys => CallKind::Keys,
            Target::Nothing => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    /// A wrong key is a bad request here.
    fn refusal(&self, why: Refusal) -> Response {
        if why != Refusal::WrongKey {
            return refusal(why);
        }
        let reason = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                            "reason": "API_KEY_INVALID", "domain": "googleapis.com"});
        let error = json!({"code": 400, "message": "API key not valid. Please pass a valid API key.",
                           "status": "INVALID_ARGUMENT", "details": [reason]});
        (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response()
    }

    fn key<'a>(&self, call: &'a Inbound) -> Option<&'a str> {
        call.header("x-goog-api-key")
    }

    fn media<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix("/v1beta/files/")?.strip_suffix(":download")
    }

    fn media_need_key(&self) -> bool {
        true
    }

    /// The token proves the sender; it does not cover the body.
    fn payload(
        &self,
        simulator: &Simulator,
        job: &RemoteJob,
        at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        let (event, mut data) = (event(job, at), json!({"id": job.id}));
        if event == "interaction.failed" {
            data["error_code"] = json!("internal");
            data["error_message"] = json!("The interaction failed.");
        }
        let now = simulator.clock.now();
        let body =
            json!({"type": event, "version": "v1", "timestamp": at.to_string(), "data": data}).to_string();
        let url = job.webhook.as_ref().map(|webhook| webhook.callback.url.as_str());
        let audience = match job.play.webhook {
            // Authentic, but for another audience.
            WebhookPlay::BadSignature => Some("https://other.example/hook"),
            _ => url,
        };
        let claims = json!({"iss": "https://generativelanguage.googleapis.com", "aud": audience,
                            "iat": now.as_secs(), "exp": now.as_secs() + TOKEN_LASTS_S});
        let token = RsaKey::new(simulator.secret.bytes())?.token(&claims)?;
        let signature = vec![
            ("webhook-id", format!("msg_{}", job.id)),
            ("webhook-timestamp", now.as_secs().to_string()),
            ("Webhook-Signature", token),
        ];
        Ok(Some(Payload { body, signature }))
    }

    fn draw_secret(&self) -> anyhow::Result<Vec<u8>> {
        RsaKey::draw()
    }

    fn has_directive(&self, key: &str, value: &str) -> bool {
        key == "gemini" && OWN.contains(&value)
    }
}

fn own(job: &RemoteJob) -> &str {
    job.play.own.get("gemini").map_or("", String::as_str)
}

/// What a call asks for.
#[derive(Debug)]
enum Target<'a> {
    Create,
    Look(&'a str),
    Cancel(&'a str),
    Forget(&'a str),
    File(&'a str),
    Models,
    Keys,
    Nothing,
}

fn target(call: &Inbound) -> Target<'_> {
    let (get, post) = (call.is(&Method::GET), call.is(&Method::POST));
    let path = call.path();
    match path {
        "/v1beta/interactions" if post => return Target::Create,
        "/v1beta/models" if get => return Target::Models,
        "/.well-known/jwks.json" if get => return Target::Keys,
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/v1beta/interactions/") {
        return match rest.split_once('/') {
            None if get => Target::Look(rest),
            None if call.is(&Method::DELETE) => Target::Forget(rest),
            Some((id, "cancel")) if post => Target::Cancel(id),
            _ => Target::Nothing,
        };
    }
    match path.strip_prefix("/v1beta/files/") {
        Some(id) if get => Target::File(id),
        _ => Target::Nothing,
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let target = target(call);
    if matches!(target, Target::Keys) {
        return Ok(Json(RsaKey::new(simulator.secret.bytes())?.jwks()).into());
    }
    if !simulator.is_authorized(call) {
        return Ok(simulator.wire.refusal(Refusal::WrongKey).into());
    }
    let now = simulator.clock.now();
    let job = match target {
        Target::Look(id) | Target::Cancel(id) | Target::Forget(id) | Target::File(id) => {
            match simulator.find(id)?.filter(|job| !job.deleted) {
                Some(job) => job,
                None => return Ok(not_found().into()),
            }
        }
        Target::Create => return create(simulator, call).await,
        Target::Models => return Ok(Json(models::list()).into()),
        Target::Keys | Target::Nothing => return Ok(not_found().into()),
    };
    match target {
        Target::Look(_) => {
            let truth = interaction(simulator, &job, now).await?;
            Ok(poll::answer(simulator, &job, now, StatusCode::OK, truth, "/status").into())
        }
        Target::Cancel(_) if job.is_over(now) => {
            let message = "The interaction is not running.";
            Ok(error(StatusCode::BAD_REQUEST, "FAILED_PRECONDITION", message).into())
        }
        Target::Cancel(_) => {
            let job = simulator.store.update(&job.id, |job| job.cancel(now))?.unwrap_or(job);
            Ok(Json(interaction(simulator, &job, now).await?).into())
        }
        Target::Forget(_) => {
            simulator.store.update(&job.id, |job| job.deleted = true)?;
            Ok(Json(json!({})).into())
        }
        _ => file(simulator, &job, now),
    }
}

async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    use StatusPlay::{Empty, Error, Html, Junk, Truncated};
    let Ok(body) = call.object() else {
        return Ok(invalid("Invalid JSON payload received.").into());
    };
    let Order { model, prompt, medium, aspect, callback } = match models::order(&body) {
        Ok(order) => order,
        Err(flaw) => return Ok(invalid(&flaw).into()),
    };
    let mut play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return Ok(invalid(&message).into()),
    };
    if medium == Medium::Image {
        (play.latency, play.throttled) = (Some(Duration::ZERO), Duration::ZERO);
    }
    let new_job = NewJob {
        id: format!("v1_{}", create::uuid()?.replace('-', "")),
        endpoint: model,
        medium,
        aspect,
        extra: Value::Null,
        prompt,
        callback: callback.map(|url| Callback { url, start: false, cancel: true }),
        play,
    };
    let accept = async |job: RemoteJob| {
        let now = simulator.clock.now();
        let truth = interaction(simulator, &job, now).await?;
        if job.medium != Medium::Image {
            return Ok(Json(truth).into_response());
        }
        let truth = poll::played(&job, now, truth, "/status");
        let response = poll::spoil(simulator, job.play.status, StatusCode::OK, truth, "/status");
        let is_spoilt = matches!(job.play.status, Some(Empty | Html | Junk | Truncated | Error(_)));
        Ok(if is_spoilt { create::says(response, Says::Nothing) } else { response })
    };
    create::play(simulator, new_job, accept).await
}

/// The JSON of an interaction at a time.
async fn interaction(simulator: &Simulator, job: &RemoteJob, now: Timestamp) -> anyhow::Result<Value> {
    let mut body = json!({"id": job.id, "object": "interaction", "model": job.endpoint,
                          "created": job.created_at.to_string(), "updated": now.to_string(),
                          "status": status(job, now)});
    match job.phase(now) {
        Phase::Succeeded if status(job, now) == "completed" => {
            let said = json!([{"type": "text", "text": job.prompt}]);
            let content = content(simulator, job).await?;
            body["steps"] = json!([{"type": "user_input", "content": said}, {"type": "model_output", "content": content}]);
        }
        Phase::Failed(failure) => {
            if let Some(error) = failed(failure) {
                body["errors"] = json!([error]);
            }
        }
        _ => {}
    }
    Ok(body)
}

/// What a model says: words, and what was ordered.
async fn content(simulator: &Simulator, job: &RemoteJob) -> anyhow::Result<Value> {
    let text = |words: &str| json!({"type": "text", "text": words});
    let is_image = job.medium == Medium::Image;
    if job.play.result == Some(ResultPlay::NoMedia) {
        return Ok(json!([text(if is_image { "I cannot draw that." } else { "Here is the video." })]));
    }
    if !is_image {
        return Ok(json!([text("Here is the video."), video(simulator, job).await?]));
    }
    let part =
        |bytes: &[u8]| json!({"type": "image", "mime_type": "image/png", "data": BASE64.encode(bytes)});
    let image = part(&media::bytes(simulator, job).await?);
    Ok(match own(job) {
        "draft" => json!([part(b"a draft"), text("A better one:"), image]),
        _ => json!([image]),
    })
}

fn status(job: &RemoteJob, now: Timestamp) -> &str {
    match job.phase(now) {
        Phase::Throttled | Phase::Queued => "queued",
        Phase::Running(_) => "in_progress",
        Phase::Succeeded => match own(job) {
            "" | "draft" | "inline" | "processing" | "file_failed" => "completed",
            other => other,
        },
        Phase::Failed(_) => "failed",
        Phase::Canceled => "cancelled",
    }
}

fn event(job: &RemoteJob, at: Timestamp) -> &'static str {
    match status(job, at) {
        "completed" => "interaction.completed",
        "cancelled" => "interaction.cancelled",
        "requires_action" => "interaction.requires_action",
        _ => "interaction.failed",
    }
}

fn failed(failure: Failure) -> Option<Value> {
    let (code, message) = match failure {
        Failure::ContentPolicy => ("content_blocked", "The output was blocked by a safety filter."),
        Failure::Internal => ("internal", "An internal error has occurred."),
        Failure::Invalid => ("invalid_argument", "The input image could not be read."),
        Failure::NoCode => return None,
    };
    Some(json!({"code": format!("https://ai.google.dev/errors/{code}"), "message": message}))
}

async fn video(simulator: &Simulator, job: &RemoteJob) -> anyhow::Result<Value> {
    let mut video = json!({"type": "video", "mime_type": "video/mp4"});
    if own(job) == "inline" {
        video["data"] = json!(BASE64.encode(&media::bytes(simulator, job).await?));
    } else {
        video["uri"] = json!(file_url(simulator, job));
    }
    Ok(video)
}

fn file_url(simulator: &Simulator, job: &RemoteJob) -> String {
    format!("{}/v1beta/files/{}", simulator.base(), job.id)
}

/// The file of a finished interaction.
fn file(simulator: &Simulator, job: &RemoteJob, now: Timestamp) -> anyhow::Result<Answer> {
    if !matches!(job.phase(now), Phase::Succeeded) {
        return Ok(not_found().into());
    }
    match poll::result_play(simulator, job)? {
        Some(ResultPlay::Gone) => return Ok(not_found().into()),
        Some(ResultPlay::Broken(_)) => return Ok(refusal(Refusal::Internal).into()),
        Some(ResultPlay::NoMedia) | None => {}
    }
    let is_ready = now >= job.ends_at() + job.latency / 2;
    let state = match own(job) {
        "processing" if !is_ready => "PROCESSING",
        "file_failed" => "FAILED",
        _ => "ACTIVE",
    };
    let url = file_url(simulator, job);
    let body = json!({"name": format!("files/{}", job.id), "mimeType": "video/mp4", "state": state,
                      "source": "GENERATED", "createTime": job.ends_at().to_string(), "uri": url,
                      "downloadUri": format!("{url}:download?alt=media")});
    Ok(Json(body).into())
}
