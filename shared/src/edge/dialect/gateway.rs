//! The gateway of Vercel's AI SDK: `createGateway({baseURL: "…/v1/ai", apiKey})` makes videos here.

use domain::catalog::{Catalog, Kind};
use domain::id::{AccountId, JobId};
use domain::job::{Job, State};
use domain::request::{Object, object};
use domain::time::Timestamp;
use http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Asked, BODY_BYTES_MAX, Image, native, put, wrong};
use crate::edge::http::{Problem, json as answer, parse, parse_within, read};
use crate::operate::read::Link;

/// What their client calls the options of a provider that is us.
const OURS: &str = "genmux";

/// `POST /v1/ai/video-model/start`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Start {
    prompt: Option<Value>,
    n: Option<u32>,
    aspect_ratio: Option<Value>,
    resolution: Option<String>,
    duration: Option<Value>,
    fps: Option<Value>,
    seed: Option<Value>,
    generate_audio: Option<Value>,
    #[serde(default, deserialize_with = "object")]
    image: Option<File>,
    frame_images: Option<Vec<Object<Frame>>>,
    input_references: Option<Vec<Value>>,
    provider_options: Option<Map<String, Value>>,
    callback_url: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum File {
    Url { url: String },
    File { data: String },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    image: Object<File>,
    frame_type: FrameType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FrameType {
    FirstFrame,
    LastFrame,
}

/// An order, and what of it has no effect.
#[derive(Debug)]
pub struct Started {
    pub asked: Asked,
    pub warnings: Vec<Value>,
}

impl File {
    fn image(self, field: &'static str) -> Result<Image, Problem> {
        match self {
            Self::Url { url } => Image::of_url(url, field),
            Self::File { data } => Image::of_base64(&data, field),
        }
    }
}

/// The order of a start. The model is in a header.
pub fn order(
    request: &Request,
    account: &AccountId,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<Started, Problem> {
    let model = request.headers().get("ai-model-id").and_then(|model| model.to_str().ok());
    let model = model.ok_or_else(|| wrong("ai-model-id", "this header names the model", vec![]))?;
    let start: Start = parse_within(request, BODY_BYTES_MAX)?;
    if start.n.is_some_and(|n| n != 1) {
        return Err(wrong("n", "one call makes one video: set `maxVideosPerCall: 1`", vec!["1".to_owned()]));
    }
    if start.input_references.is_some_and(|references| !references.is_empty()) {
        let detail = "no model takes reference images: use `frameImages` or the prompt's image";
        return Err(wrong("inputReferences", detail, vec![]));
    }
    let (mut fields, warnings) = options(start.provider_options.unwrap_or_default())?;
    for (ours, theirs, value) in [
        ("model", "ai-model-id", Some(json!(model))),
        ("prompt", "prompt", start.prompt),
        ("aspect_ratio", "aspectRatio", start.aspect_ratio),
        ("duration_s", "duration", start.duration),
        ("fps", "fps", start.fps),
        ("seed", "seed", start.seed),
        ("audio", "generateAudio", start.generate_audio),
        ("callback_url", "callbackUrl", start.callback_url),
    ] {
        put(&mut fields, ours, theirs, value)?;
    }
    let (size, resolution) = match start.resolution {
        Some(size) if size.contains('x') => (Some(size), None),
        resolution => (None, resolution),
    };
    put(&mut fields, "resolution", "resolution", resolution.map(Value::String))?;
    let mut asked = Asked::read(fields)?;
    let frames = start.frame_images.unwrap_or_default().into_iter().map(|Object(frame)| frame);
    let (first, last): (Vec<_>, Vec<_>) = frames.partition(|frame| frame.frame_type == FrameType::FirstFrame);
    let first = start.image.into_iter().chain(first.into_iter().map(|frame| frame.image.0));
    if let Some(image) = only(first, "image", asked.order.has_image())? {
        asked.set_image(image, account);
    }
    let last = last.into_iter().map(|frame| frame.image.0);
    if let Some(image) = only(last, "frameImages", asked.order.has_last_frame())? {
        asked.set_last_frame(image, account);
    }
    asked.check_kind(catalog, now)?;
    if let Some(size) = size {
        asked.set_size(&size, catalog, now)?;
    }
    Ok(Started { asked, warnings })
}

/// The image that all of these are, if there is one: their client sends a first frame as `image` as well.
/// `is_set`: an option of ours names one already.
fn only(
    files: impl Iterator<Item = File>,
    field: &'static str,
    is_set: bool,
) -> Result<Option<Image>, Problem> {
    let mut images = files.map(|file| file.image(field)).collect::<Result<Vec<_>, _>>()?;
    images.dedup();
    match images.len() {
        0 => Ok(None),
        1 if !is_set => Ok(images.pop()),
        _ => Err(wrong(field, "is given twice, and a video begins or ends with one image", vec![])),
    }
}

/// Our own options, and a warning for each other provider's.
fn options(all: Map<String, Value>) -> Result<(Map<String, Value>, Vec<Value>), Problem> {
    let (mut ours, mut warnings) = (Map::new(), Vec::new());
    for (provider, options) in all {
        if provider == OURS {
            ours = read(options)?;
        } else {
            let details = "only the options of `genmux` have an effect";
            let feature = format!("providerOptions.{provider}");
            warnings.push(json!({"type": "unsupported", "feature": feature, "details": details}));
        }
    }
    Ok((ours, warnings))
}

/// A job was started, now or by an earlier call.
pub fn started(job: &Job, warnings: &[Value]) -> Response<Body> {
    let body = json!({
        "operation": {"id": job.id()}, "warnings": warnings, "providerMetadata": metadata(job),
    });
    answer(StatusCode::ACCEPTED, &body)
}

fn metadata(job: &Job) -> Value {
    json!({OURS: {"id": job.id(), "status": job.state().name(), "price_micro_credits": job.price().micros()}})
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusOf {
    operation: Object<Operation>,
}

#[derive(Debug, Deserialize)]
struct Operation {
    id: String,
}

/// The job of `POST /v1/ai/video-model/status`; an id that is none of ours is that of no job.
pub fn job_id(request: &Request) -> Result<JobId, Problem> {
    let status: StatusOf = parse(request)?;
    status.operation.0.id.parse().map_err(|_invalid| Problem::not_found())
}

/// What became of a job.
pub fn status(job: &Job, link: Option<Link>) -> Response<Body> {
    let mut body = match (job.state(), job.media().zip(link)) {
        (State::Succeeded, Some((media, link))) => {
            let video = json!({"type": "url", "url": link.url, "mediaType": media.content_type});
            json!({"status": "completed", "videos": [video], "warnings": []})
        }
        (State::Succeeded, None) => json!({"status": "error", "error": "deleted: The video was deleted."}),
        (State::Failed, _) => {
            let (code, message) = job.fault().map_or(("unknown", "It failed."), native::reason);
            json!({"status": "error", "error": format!("{code}: {message}")})
        }
        (State::Canceled, _) => json!({"status": "cancelled"}),
        (State::Queued | State::Dispatching | State::Running | State::Settling | State::Other(_), _) => {
            json!({"status": "pending"})
        }
    };
    body["providerMetadata"] = metadata(job);
    answer(StatusCode::OK, &body)
}

/// `GET /v1/ai/config`: the models that can be started here.
pub fn config(catalog: &Catalog, now: Timestamp) -> Response<Body> {
    let videos = catalog.sold(now).filter(|model| model.kind == Kind::Video).map(|model| {
        json!({
            "id": model.name,
            "name": model.title,
            "modelType": "video",
            "specification": {"specificationVersion": "v4", "provider": OURS, "modelId": model.name},
        })
    });
    answer(StatusCode::OK, &json!({"models": videos.collect::<Vec<_>>()}))
}

/// What their client does without `poll`: it waits for the video in one call, for minutes.
pub fn unpolled() -> Problem {
    let detail =
        "A call ends after 30 seconds, before the video: pass `poll: {}` or `webhook` to generateVideo.";
    Problem::new(StatusCode::BAD_REQUEST, "poll_required", detail)
}

/// Our field by their name.
fn name(field: &str) -> &str {
    match field {
        "aspect_ratio" => "aspectRatio",
        "duration_s" => "duration",
        "size" => "resolution",
        "image_url" | "image.url" | "image.upload" => "image",
        "last_frame" | "last_frame_url" | "last_frame.url" | "last_frame.upload" => "frameImages",
        "audio" => "generateAudio",
        "callback_url" => "callbackUrl",
        field => field,
    }
}

/// A problem as an error of theirs: their client picks its class by `type`.
pub(super) fn problem(problem: &Problem) -> Response<Body> {
    let field = problem.errors.first().map(|error| name(&error.field));
    let is_model = field == Some("model");
    let status = match problem.status {
        StatusCode::UNPROCESSABLE_ENTITY if is_model => StatusCode::NOT_FOUND,
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let kind = match problem.status.as_u16() {
        401 => "authentication_error",
        402 => "insufficient_funds",
        403 => "forbidden",
        404 => "not_found",
        422 if is_model => "model_not_found",
        429 => "rate_limit_exceeded",
        500.. => "internal_server_error",
        _ => "invalid_request_error",
    };
    super::error(status, &super::message(problem, name), kind, &json!(field), problem.code)
}
