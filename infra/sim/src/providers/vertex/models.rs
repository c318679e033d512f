//! The body of an operation that makes a video, as Google's own client writes it.

use data_encoding::BASE64;
use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Flag, Integer, IntegerOf, List, Object, OneOf, Text};
use crate::frame::schema::{Field, optional, required};
use crate::providers::google::{flaw, flaw_of};

pub(super) const MODELS: &[&str] =
    &["veo-3.1-generate-001", "veo-3.1-fast-generate-001", "veo-3.1-lite-generate-001"];

const BODY: &[Field] = &[required("instances", List), optional("parameters", Object)];
const INSTANCE: &[Field] = &[
    required("prompt", Text(1, 10_000)),
    optional("image", Object),
    optional("lastFrame", Object),
    optional("referenceImages", List),
    optional("video", Object),
];
const IMAGE: &[Field] = &[
    optional("bytesBase64Encoded", Text(4, 16 << 20)),
    optional("gcsUri", Text(6, 2_000)),
    required("mimeType", OneOf(&["image/png", "image/jpeg", "image/webp"])),
];
const PARAMETERS: &[Field] = &[
    optional("sampleCount", Integer(1, 4)),
    optional("durationSeconds", IntegerOf(&[4, 6, 8])),
    optional("aspectRatio", OneOf(&["16:9", "9:16"])),
    optional("resolution", OneOf(&["720p", "1080p", "4k"])),
    optional("generateAudio", Flag),
    optional("negativePrompt", Text(0, 10_000)),
    optional("seed", Integer(0, 4_294_967_295)),
    optional("personGeneration", OneOf(&["allow_adult", "dont_allow", "allow_all"])),
    optional("enhancePrompt", Flag),
    optional("fps", IntegerOf(&[24])),
    optional("storageUri", Text(6, 2_000)),
    optional("pubsubTopic", Text(1, 300)),
    optional("compressionQuality", OneOf(&["optimized", "lossless"])),
    optional("resizeMode", OneOf(&["pad", "crop"])),
];

/// The settings of a body.
#[derive(Debug)]
pub(super) struct Video {
    pub(super) prompt: String,
    pub(super) seconds: u32,
    pub(super) aspect: (u32, u32),
    /// The folder to write to, with a slash at its end.
    pub(super) storage: Option<String>,
}

/// The video of a good body, or the first thing that is wrong with it.
pub(super) fn video(body: &Map<String, Value>) -> Result<Video, String> {
    if let Some(flaw) = flaw("", BODY, body).or_else(|| flaw_of("parameters", PARAMETERS, body)) {
        return Err(flaw);
    }
    let [Value::Object(instance)] = body["instances"].as_array().map_or(&[][..], Vec::as_slice) else {
        return Err("instances must hold one object.".to_owned());
    };
    if let Some(flaw) = flaw("instances", INSTANCE, instance) {
        return Err(flaw);
    }
    for frame in ["image", "lastFrame"] {
        image(frame, instance)?;
    }
    if instance.contains_key("lastFrame") && !instance.contains_key("image") {
        return Err("lastFrame needs image.".to_owned());
    }
    let parameters = &body.get("parameters").cloned().unwrap_or_default();
    let storage = parameters["storageUri"].as_str();
    if storage.is_some_and(|address| !address.starts_with("gs://")) {
        return Err("parameters.storageUri must begin with gs://.".to_owned());
    }
    Ok(Video {
        prompt: instance["prompt"].as_str().unwrap_or_default().to_owned(),
        seconds: parameters["durationSeconds"].as_u64().and_then(|s| s.try_into().ok()).unwrap_or(8),
        aspect: if parameters["aspectRatio"] == "9:16" { (9, 16) } else { (16, 9) },
        storage: storage.map(|address| format!("{}/", address.trim_end_matches('/'))),
    })
}

fn image(member: &str, instance: &Map<String, Value>) -> Result<(), String> {
    if let Some(flaw) = flaw_of(member, IMAGE, instance) {
        return Err(flaw);
    }
    let Some(image) = instance.get(member) else { return Ok(()) };
    match (image["bytesBase64Encoded"].as_str(), image["gcsUri"].as_str()) {
        (Some(bytes), None) if BASE64.decode(bytes.as_bytes()).is_ok() => Ok(()),
        (None, Some(address)) if address.starts_with("gs://") => Ok(()),
        _ => Err(format!("{member} must have either bytesBase64Encoded or gcsUri.")),
    }
}
