//! OpenAI's videos: `POST /v1/videos` and what follows from it.

use std::collections::BTreeMap;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use domain::catalog::Catalog;
use domain::id::{AccountId, JobId};
use domain::job::{Job, State};
use domain::progress::progress;
use domain::request::JobRequest;
use domain::size::Size;
use domain::time::Timestamp;
use domain::verdict::ErrorClass;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use lambda_http::{Body, Request, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::form::{self, Field};
use super::{Asked, BODY_BYTES_MAX, Image, native, put, wrong};
use crate::edge::http::{
    Problem, SHOULD_RETRY, body_bytes, check_length, digest, json as answer, parse_within,
};
use crate::edge::idempotency;

/// The model of a request that names none, as their clients know it.
const MODEL_DEFAULT: &str = "sora-2";
const REFERENCE: &str = "input_reference";
const IDEMPOTENCY_KEY: &str = "idempotency_key";
/// Our fields that are no text, which a form cannot tell.
const NOT_TEXT: [&str; 6] = ["audio", "fallback_models", "fps", "metadata", "pin", "seed"];
/// `Retry-After` of our own dialect, in their clients' unit.
const POLL_AFTER: HeaderName = HeaderName::from_static("openai-poll-after-ms");

/// Names of models that stand for one of ours.
pub type Aliases = BTreeMap<String, String>;

/// The number of this try, of a client that counts its tries and sends no key.
pub fn retry_count(headers: &HeaderMap) -> Option<u32> {
    headers.get("x-stainless-retry-count")?.to_str().ok()?.parse().ok()
}

/// The body of `POST /v1/videos`, as it came.
#[derive(Debug, Default)]
pub struct Sent {
    fields: Map<String, Value>,
    image: Option<Image>,
    /// The idempotency key, if the body has it.
    pub key: Option<String>,
}

impl Sent {
    /// As [`body_digest`], of a form, whose bytes differ from try to try.
    ///
    /// [`body_digest`]: crate::edge::http::body_digest
    pub fn digest(&self) -> String {
        let image = match &self.image {
            Some(Image::Bytes(bytes)) => Some(HEXLOWER.encode(&Sha256::digest(bytes))),
            _ => None,
        };
        digest(&json!({"fields": self.fields, "image": image}))
    }
}

/// Reads a form or JSON.
pub async fn read(request: &Request) -> Result<Sent, Problem> {
    let (mut fields, image) = match form::boundary(request.headers()) {
        Some(boundary) => of_form(body_bytes(request), &boundary).await?,
        None => (parse_within::<Map<String, Value>>(request, BODY_BYTES_MAX)?, None),
    };
    let key = key_in(&mut fields, request.headers())?;
    Ok(Sent { fields, image, key })
}

/// The order in a body.
pub fn order(
    sent: Sent,
    account: &AccountId,
    aliases: &Aliases,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<Asked, Problem> {
    let Sent { mut fields, mut image, key: _ } = sent;
    let reference = fields.remove(REFERENCE).filter(|value| !value.is_null());
    let reference = reference.map(|reference| image_of(&reference)).transpose()?;
    if image.is_some() && reference.is_some() {
        return Err(two_images());
    }
    image = image.or(reference);
    let seconds = fields.remove("seconds").map(seconds).transpose()?.flatten();
    put(&mut fields, "duration_s", "seconds", seconds)?;
    let size = fields.remove("size").filter(|value| !value.is_null());
    let model = fields.get("model").and_then(Value::as_str).unwrap_or(MODEL_DEFAULT);
    let model = aliases.get(model).map_or(model, String::as_str).to_owned();
    if fields.get("model").is_none_or(|model| model.is_null() || model.is_string()) {
        fields.insert("model".to_owned(), Value::String(model));
    }
    let mut asked = Asked::read(fields)?;
    if let Some(image) = image {
        if asked.order.has_image() {
            return Err(wrong(REFERENCE, "stands for `image` and `image_url`: send one of them", vec![]));
        }
        asked.set_image(image, account);
    }
    asked.check_kind(catalog, now)?;
    match size {
        Some(Value::String(size)) => asked.set_size(&size, catalog, now)?,
        Some(_) => return Err(wrong("size", "must be a text like 1280x720", vec![])),
        None => {}
    }
    Ok(asked)
}

async fn of_form(body: &[u8], boundary: &str) -> Result<(Map<String, Value>, Option<Image>), Problem> {
    check_length(body, BODY_BYTES_MAX)?;
    let malformed = |why: String| {
        let detail = format!("The body is not a form: {why}.");
        Problem::new(StatusCode::BAD_REQUEST, "malformed_form", detail)
    };
    let (mut fields, mut image) = (Map::new(), None);
    let body = Bytes::copy_from_slice(body);
    for (name, field) in form::fields(body, boundary).await.map_err(malformed)? {
        match field {
            Field::File(bytes) if name == REFERENCE && image.is_none() => image = Some(Image::Bytes(bytes)),
            Field::File(_) if name == REFERENCE => return Err(two_images()),
            Field::File(_) => return Err(wrong(REFERENCE, "is the only field that may be a file", vec![])),
            // A form sends each of its fields, also those that were left blank.
            Field::Text(text) if text.trim().is_empty() && name != "prompt" => {}
            Field::Text(text) => {
                let value = NOT_TEXT.contains(&&*name).then(|| serde_json::from_str(&text).ok()).flatten();
                let value = value.unwrap_or(Value::String(text));
                form::put(&mut fields, &name, value).map_err(malformed)?;
            }
        }
    }
    Ok((fields, image))
}

/// The idempotency key as a field of the body: proxies pass on fields that they do not know, and no headers.
fn key_in(fields: &mut Map<String, Value>, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let value = fields.remove(IDEMPOTENCY_KEY).filter(|value| !value.is_null());
    let Some(value) = value else { return Ok(None) };
    if idempotency::key(headers)?.is_some() {
        return Err(wrong(
            IDEMPOTENCY_KEY,
            "stands for the header `Idempotency-Key`: send one of them",
            vec![],
        ));
    }
    let key = value.as_str().and_then(idempotency::checked);
    let malformed = || wrong(IDEMPOTENCY_KEY, &format!("must be {}", idempotency::SHAPE), vec![]);
    key.ok_or_else(malformed).map(Some)
}

fn two_images() -> Problem {
    wrong(REFERENCE, "takes one image: send a file or an `image_url`", vec![])
}

/// `input_reference` in JSON: an object with the URL or the id of an upload, or the URL alone.
fn image_of(reference: &Value) -> Result<Image, Problem> {
    let member = |name: &str| match reference {
        Value::Object(members) if members.len() == 1 => members.get(name)?.as_str(),
        _ => None,
    };
    if let Some(id) = member("file_id") {
        return Ok(Image::Upload(id.to_owned()));
    }
    let url = reference.as_str().or_else(|| member("image_url"));
    let detail = "must be a file, or an object with `image_url` or `file_id`, the id of an upload";
    Image::of_url(url.ok_or_else(|| wrong(REFERENCE, detail, vec![]))?.to_owned(), REFERENCE)
}

/// `seconds`: digits in a text, or a number.
fn seconds(value: Value) -> Result<Option<Value>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) if number.as_u64().is_some() => Ok(Some(Value::Number(number))),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => match text.parse::<u32>() {
            Ok(seconds) => Ok(Some(json!(seconds))),
            Err(_not_a_number) => Err(wrong("seconds", "must be a whole number, also as a text", vec![])),
        },
        _ => Err(wrong("seconds", "must be a whole number, also as a text", vec![])),
    }
}

/// What a video is shown with, beside its job.
#[derive(Debug, Clone, Copy)]
pub struct Show<'a> {
    pub catalog: &'a Catalog,
    /// Days after which files are deleted, if they are.
    pub media_days: Option<u32>,
    pub now: Timestamp,
}

/// A job as a video. Times are in seconds since the epoch.
#[derive(Debug, Serialize)]
pub struct Video<'a> {
    id: &'a JobId,
    object: &'static str,
    model: &'a str,
    status: &'static str,
    progress: u8,
    created_at: i64,
    completed_at: Option<i64>,
    expires_at: Option<i64>,
    prompt: &'a str,
    size: String,
    seconds: String,
    remixed_from_video_id: Option<&'a str>,
    error: Option<VideoError<'a>>,
}

#[derive(Debug, Serialize)]
struct VideoError<'a> {
    code: &'a str,
    message: &'a str,
}

impl<'a> Video<'a> {
    pub fn new(job: &'a Job, request: &'a JobRequest, show: Show<'_>) -> Self {
        let ended = job.ended_at().map(Timestamp::as_secs);
        let kept_s = show.media_days.map(|days| i64::from(days) * 86_400);
        let expires = ended.zip(kept_s).filter(|_| job.media().is_some());
        Self {
            id: job.id(),
            object: "video",
            model: job.model(),
            status: status(job.state()),
            progress: progress(job, show.catalog, show.now),
            created_at: job.created_at().as_secs(),
            completed_at: ended,
            expires_at: expires.map(|(ended, kept_s)| ended + kept_s),
            prompt: &request.prompt,
            size: size(job, request),
            seconds: request.duration_s.unwrap_or(0).to_string(),
            remixed_from_video_id: None,
            error: error(job),
        }
    }
}

/// They have no word for a canceled video: it failed.
const fn status(state: State) -> &'static str {
    match state {
        State::Queued | State::Dispatching => "queued",
        State::Running | State::Settling | State::Other(_) => "in_progress",
        State::Succeeded => "completed",
        State::Failed | State::Canceled => "failed",
    }
}

/// As the file has it, or else as it was ordered.
fn size(job: &Job, request: &JobRequest) -> String {
    let details = job.media().map(|media| media.details);
    match details.and_then(|details| details.width.zip(details.height)) {
        Some((width, height)) => format!("{width}x{height}"),
        None => Size::ordered(request),
    }
}

fn error(job: &Job) -> Option<VideoError<'_>> {
    let fault = job.fault()?;
    let (code, message) = native::reason(fault);
    let code = match fault.class {
        _ if job.state() == State::Canceled => "canceled",
        ErrorClass::ContentPolicy => "moderation_blocked",
        _ => code,
    };
    Some(VideoError { code, message })
}

/// A video as a response. While it is live, it says when to ask again.
pub fn video(job: &Job, request: &JobRequest, show: Show<'_>) -> Response<Body> {
    let mut response = answer(StatusCode::OK, &Video::new(job, request, show));
    native::tag(&mut response, job, show.catalog, show.now);
    if !job.state().is_terminal() {
        let after_s = native::retry_after_s(job, show.catalog);
        response.headers_mut().insert(POLL_AFTER, HeaderValue::from(u64::from(after_s) * 1_000));
    }
    response
}

/// A page of videos. `last` is the place to go on from.
pub fn page(videos: &[Video<'_>], last: Option<&JobId>, has_more: bool) -> Response<Body> {
    let first = videos.first().map(|video| video.id);
    let page = json!({
        "object": "list", "data": videos, "first_id": first, "last_id": last, "has_more": has_more,
    });
    answer(StatusCode::OK, &page)
}

pub fn deleted(job: &Job) -> Response<Body> {
    answer(StatusCode::OK, &json!({"id": job.id(), "object": "video.deleted", "deleted": true}))
}

/// The answer to a repeat of an order whose video was deleted: its key makes no second one.
pub fn was_deleted(job: &Job) -> Problem {
    let detail =
        format!("This order made the video {}, which was deleted. Nothing was made or charged.", job.id());
    Problem::new(StatusCode::CONFLICT, "video_deleted", detail)
}

/// What would make a video of another one.
pub fn takes_no_video() -> Problem {
    let detail = "No model takes a video as its input: create a new video instead.";
    Problem::new(StatusCode::BAD_REQUEST, "unsupported", detail)
}

/// Our field by their name.
fn name(field: &str) -> &str {
    match field {
        "duration_s" => "seconds",
        "image" | "image_url" | "image.url" | "image.upload" => "input_reference",
        "aspect_ratio" | "resolution" => "size",
        field => field,
    }
}

/// A problem as an error of theirs.
pub(super) fn problem(problem: &Problem) -> Response<Body> {
    let field = problem.errors.first().map(|error| name(&error.field));
    let status = match problem.status {
        // What their clients and users know for a balance that is used up.
        StatusCode::PAYMENT_REQUIRED => StatusCode::TOO_MANY_REQUESTS,
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let (kind, code) = match (problem.status.as_u16(), problem.code) {
        (401, _) => ("invalid_request_error", "invalid_api_key"),
        (402, "insufficient_credits") => ("insufficient_quota", "insufficient_quota"),
        (402, code) => ("insufficient_quota", code),
        (429, _) => ("rate_limit_error", "rate_limit_exceeded"),
        (500.., _) => ("server_error", "server_error"),
        (_, "invalid_request") if field == Some("model") => ("invalid_request_error", "model_not_found"),
        (_, "invalid_request") => ("invalid_request_error", "invalid_value"),
        (_, code) => ("invalid_request_error", code),
    };
    let mut response = super::error(status, &super::message(problem, name), kind, &json!(field), code);
    // They would repeat a 409 and every 429. A refused order has no job, so its retry would find the one of an
    // equal order before it.
    if !problem.is_retryable() || matches!(problem.code, "too_many_live_jobs" | "loss_limit") {
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}
