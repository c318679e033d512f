//! Stability's generators of images, which answer with the image itself, and the balance.
//!
//! An image takes no time: `latency`, `throttled`, `cancel`, `webhook`, `result` and `asset` have
//! no effect. What `status` spoils elsewhere is here the answer with the image: its finish reason
//! is of no list, its body is empty, a page, junk or cut in half, or there is an error of the server.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::FutureExt;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::frame::call::{CallKind, Says};
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Medium, RemoteJob};
use crate::frame::play::{Failure, Refusal, StatusPlay};
use crate::frame::schema::Kind::{Integer, OneOf, Text};
use crate::frame::schema::{self, Field, Flaw, optional, required};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Wire};
use crate::frame::{form, media};

const GENERATE: &str = "/v2beta/stable-image/generate/";
const SEED_MAX: i64 = 4_294_967_294;
const JUNK_BYTES: usize = 1 << 20;

const COMMON: [Field; 4] = [
    required("prompt", Text(1, 10_000)),
    optional("negative_prompt", Text(0, 10_000)),
    optional("aspect_ratio", OneOf(&["21:9", "16:9", "3:2", "5:4", "1:1", "4:5", "2:3", "9:16", "9:21"])),
    optional("seed", Integer(0, SEED_MAX)),
];

/// Fields of one generator alone.
const OWN: [(&str, &[Field]); 3] = [
    ("core", &[optional("output_format", OneOf(&["png", "jpeg", "webp"]))]),
    ("ultra", &[optional("output_format", OneOf(&["png", "jpeg", "webp"]))]),
    (
        "sd3",
        &[
            optional("output_format", OneOf(&["png", "jpeg"])),
            optional("mode", OneOf(&["text-to-image", "image-to-image"])),
            optional(
                "model",
                OneOf(&[
                    "sd3-medium",
                    "sd3-large",
                    "sd3-large-turbo",
                    "sd3.5-medium",
                    "sd3.5-large",
                    "sd3.5-large-turbo",
                ]),
            ),
        ],
    ),
];

#[derive(Debug)]
pub(super) struct Stability;

impl Wire for Stability {
    fn kind(&self, call: &Inbound) -> CallKind {
        match call.path() {
            path if generator(path).is_some() && call.is(&Method::POST) => CallKind::Create,
            "/v1/user/balance" if call.is(&Method::GET) => CallKind::Ping,
            _ => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        let (code, name, text) = match refusal {
            Refusal::WrongKey => (StatusCode::UNAUTHORIZED, "unauthorized", "missing authorization header"),
            Refusal::NoBalance => (
                StatusCode::PAYMENT_REQUIRED,
                "payment_required",
                "You lack sufficient credits to make this request.",
            ),
            Refusal::BrokenInput => (StatusCode::BAD_REQUEST, "bad_request", "prompt: cannot be blank"),
            Refusal::RateLimit => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_exceeded",
                "You have exceeded the rate limit of 150 requests within a 10 second period, and have been timed out for 60 seconds.",
            ),
            Refusal::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "An unexpected server error has occurred.",
            ),
            Refusal::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", "The service is overloaded.")
            }
            Refusal::Policy => (
                StatusCode::FORBIDDEN,
                "content_moderation",
                "Your request was flagged by our content moderation system.",
            ),
        };
        problem(code, name, &[text.to_owned()])
    }

    /// The image is in the answer, and nowhere else.
    fn media<'a>(&self, _: &'a str) -> Option<&'a str> {
        None
    }
}

/// The generator that a path names, and the fields that only it has.
fn generator(path: &str) -> Option<(&'static str, &'static [Field])> {
    let name = path.strip_prefix(GENERATE)?;
    OWN.into_iter().find(|(generator, _)| *generator == name)
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if !simulator.is_authorized(call) {
        return Ok(simulator.wire.refusal(Refusal::WrongKey).into());
    }
    match simulator.wire.kind(call) {
        CallKind::Create => create(simulator, call).await,
        CallKind::Ping => Ok(Json(json!({"credits": 1_000.5})).into()),
        _ => Ok(problem(StatusCode::NOT_FOUND, "not_found", &["Not found".to_owned()]).into()),
    }
}

async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let flawed = |flaws: &[String]| Ok(problem(StatusCode::BAD_REQUEST, "bad_request", flaws).into());
    let Some((generator, own)) = generator(call.path()) else {
        return flawed(&["there is no such generator".to_owned()]);
    };
    let Some(mut body) = form::object(call) else {
        return flawed(&["content-type: must be multipart/form-data".to_owned()]);
    };
    let format = match call.header(ACCEPT.as_str()) {
        Some("image/*") => Format::Bytes,
        Some("application/json") => Format::Json,
        _ => return flawed(&["accept: must be one of: image/*, application/json".to_owned()]),
    };
    // A form has texts only.
    if let Some(number) = body.get("seed").and_then(|seed| seed.as_str()?.parse::<i64>().ok()) {
        body.insert("seed".to_owned(), json!(number));
    }
    let mut flaws = flaws(own, &body);
    if body.get("output_format").is_some_and(|format| format != "png") {
        flaws.push("output_format: the simulator draws png only".to_owned());
    }
    if !flaws.is_empty() {
        return flawed(&flaws);
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let prompt = text("prompt").unwrap_or_default().to_owned();
    let mut play = match simulator.play(&prompt) {
        Ok(play) => play,
        Err(message) => return flawed(&[format!("prompt: {message}")]),
    };
    (play.latency, play.throttled) = (Some(Duration::ZERO), Duration::ZERO);
    let ratio = text("aspect_ratio").and_then(|ratio| ratio.split_once(':'));
    let ratio = ratio.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let seed = body.get("seed").and_then(Value::as_i64).filter(|seed| *seed != 0);
    let new_job = NewJob {
        id: create::uuid()?,
        endpoint: text("model").map_or(generator.to_owned(), |model| format!("{generator}/{model}")),
        medium: Medium::Image,
        aspect: ratio.unwrap_or((1, 1)),
        extra: json!({"seed": seed.unwrap_or(343_940_597)}),
        prompt,
        callback: None,
        play,
    };
    create::play(simulator, new_job, async |job| {
        let response = image(simulator, &job, format).await?;
        Ok(if is_spoilt(&job) { create::says(response, Says::Nothing) } else { response })
    })
    .await
}

/// Whether the answer does not bring the image that it should.
fn is_spoilt(job: &RemoteJob) -> bool {
    use StatusPlay::{Empty, Error, Html, Junk, Truncated, Unknown};
    matches!(job.play.status, Some(Unknown | Empty | Html | Junk | Truncated | Error(_)))
}

/// The requested response format.
#[derive(Debug, Clone, Copy)]
enum Format {
    Bytes,
    Json,
}

async fn image(simulator: &Simulator, job: &RemoteJob, format: Format) -> anyhow::Result<Response> {
    let refused = |refusal| Ok(simulator.wire.refusal(refusal));
    let mut reason = match job.play.fail {
        None => "SUCCESS",
        // Blurred and billed.
        Some(Failure::ContentPolicy) => "CONTENT_FILTERED",
        Some(Failure::Internal) => return refused(Refusal::Internal),
        Some(Failure::Invalid) => return refused(Refusal::BrokenInput),
        Some(Failure::NoCode) => {
            let body = json!({"id": job.id, "errors": ["Something went wrong"]});
            return Ok((StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response());
        }
    };
    let mut bytes = media::bytes(simulator, job).await?;
    match job.play.status {
        Some(StatusPlay::Unknown) => reason = "REHEARSING",
        Some(StatusPlay::Empty) => bytes = Bytes::new(),
        Some(StatusPlay::Html) => return Ok(create::gateway_page()),
        Some(StatusPlay::Junk) => bytes = Bytes::from("\u{1}junk{[".repeat(JUNK_BYTES / 7 + 1)),
        Some(StatusPlay::Truncated) => bytes.truncate(bytes.len() / 2),
        // It is made, and only an error of the server can hide that.
        Some(StatusPlay::Error(_)) => return Ok(create::error(simulator, 500)),
        // There is nothing to poll.
        Some(
            StatusPlay::Backwards | StatusPlay::Hang(_) | StatusPlay::Invisible(_) | StatusPlay::Missing(_),
        )
        | None => {}
    }
    let seed = &job.extra["seed"];
    Ok(match format {
        Format::Bytes => {
            let headers = [
                (CONTENT_TYPE.as_str(), "image/png".to_owned()),
                ("finish-reason", reason.to_owned()),
                ("seed", seed.to_string()),
                ("x-request-id", job.id.replace('-', "")),
            ];
            (headers, bytes).into_response()
        }
        Format::Json => {
            let body = json!({"image": BASE64.encode(&bytes), "finish_reason": reason, "seed": seed});
            Json(body).into_response()
        }
    })
}

fn flaws(own: &[Field], body: &Map<String, Value>) -> Vec<String> {
    let all = schema::flaws(&COMMON, body).into_iter().chain(schema::flaws(own, body));
    let worded = all.map(|(field, flaw)| {
        let flaw = match flaw {
            Flaw::Missing => "is required".to_owned(),
            Flaw::Type(kind) => format!("must be a {kind}"),
            Flaw::NotOneOf(choices) => format!("must be one of: {}", choices.join(", ")),
            Flaw::NotOneOfIntegers(choices) => format!("must be one of: {choices:?}"),
            Flaw::TooShort(_) => "cannot be blank".to_owned(),
            Flaw::TooLong(max) => format!("cannot be longer than {max} characters"),
            Flaw::TooSmall(min) => format!("must be greater than or equal to {min}"),
            Flaw::TooBig(max) => format!("must be less than or equal to {max}"),
            Flaw::BadAddress => "must be a file".to_owned(),
        };
        format!("{field}: {flaw}")
    });
    worded.collect()
}

fn problem(code: StatusCode, name: &str, errors: &[String]) -> Response {
    let body = json!({"id": "4212a4b66fbe1cedca4bf2133d35dca5", "name": name, "errors": errors});
    (code, Json(body)).into_response()
}
