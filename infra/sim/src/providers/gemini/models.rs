//! The body of an interaction that makes a video, as Google's own client types it.

use serde_json::{Map, Value, json};

use crate::frame::schema::Kind::{Flag, List, Object, OneOf, Text};
use crate::frame::schema::{Field, optional, required};
use crate::providers::google::{flaw, flaw_of};

pub(super) const MODELS: &[&str] = &["gemini-omni-1.2-flash", "gemini-omni-1.1-flash"];

const BODY: &[Field] = &[
    required("model", OneOf(MODELS)),
    optional("response_format", Object),
    optional("generation_config", Object),
    optional("background", Flag),
    optional("store", Flag),
    optional("stream", Flag),
    optional("webhook_config", Object),
    optional("previous_interaction_id", Text(1, 200)),
];
const FORMAT: &[Field] = &[
    required("type", OneOf(&["video"])),
    optional("aspect_ratio", OneOf(&["16:9", "9:16"])),
    optional("duration", Text(2, 3)),
    optional("resolution", OneOf(&["360p", "720p", "1080p", "4k"])),
    optional("delivery", OneOf(&["inline", "uri"])),
];
const GENERATION: &[Field] = &[optional("video_config", Object)];
const VIDEO: &[Field] = &[optional(
    "task",
    OneOf(&["text_to_video", "image_to_video", "reference_to_video", "edit", "extend", "upscale"]),
)];
const WEBHOOK: &[Field] = &[required("uris", List), optional("user_metadata", Object)];
const TEXT: &[Field] = &[required("type", OneOf(&["text"])), required("text", Text(1, 100_000))];
const IMAGE: &[Field] = &[
    required("type", OneOf(&["image"])),
    optional("mime_type", OneOf(&["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"])),
    required("data", Text(4, 16 << 20)),
];

/// The settings of a body.
#[derive(Debug)]
pub(super) struct Video {
    pub(super) model: String,
    pub(super) prompt: String,
    pub(super) seconds: u32,
    pub(super) aspect: (u32, u32),
    pub(super) callback: Option<String>,
}

/// The video of a good body, or the first thing that is wrong with it.
pub(super) fn video(body: &Map<String, Value>) -> Result<Video, String> {
    let mut rest = body.clone();
    let input = rest.remove("input").unwrap_or_default();
    let parts = GENERATION_PARTS.iter().find_map(|(member, fields)| flaw_of(member, fields, body));
    let task = body.get("generation_config").and_then(Value::as_object);
    let flaws =
        [flaw("", BODY, &rest), parts, task.and_then(|config| flaw_of("video_config", VIDEO, config))];
    if let Some(flaw) = flaws.into_iter().flatten().next() {
        return Err(flaw);
    }
    let prompt = prompt(&input)?;
    let format = &body.get("response_format").cloned().unwrap_or_default();
    let seconds = format["duration"].as_str().unwrap_or("8s").strip_suffix('s');
    let seconds = seconds.and_then(|number| number.parse().ok()).filter(|seconds| (3..=10).contains(seconds));
    let callback = body.get("webhook_config").and_then(|config| config["uris"][0].as_str());
    if callback.is_some() && body.get("background") != Some(&json!(true)) {
        return Err("webhook_config needs background.".to_owned());
    }
    Ok(Video {
        model: body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        prompt,
        seconds: seconds.ok_or("response_format.duration must be from 3s to 10s.")?,
        aspect: if format["aspect_ratio"] == "9:16" { (9, 16) } else { (16, 9) },
        callback: callback.map(str::to_owned),
    })
}

const GENERATION_PARTS: [(&str, &[Field]); 3] =
    [("response_format", FORMAT), ("generation_config", GENERATION), ("webhook_config", WEBHOOK)];

/// The text of the input, which is a text, or a list of parts or of steps.
fn prompt(input: &Value) -> Result<String, String> {
    let parts = match input {
        Value::String(text) if !text.is_empty() => return Ok(text.clone()),
        Value::Array(parts) if !parts.is_empty() => parts,
        _ => return Err("input is required.".to_owned()),
    };
    let mut prompt = String::new();
    // Google's own client puts the parts into a step of the user's.
    let content = |step: &'_ Value| match &step["content"] {
        Value::Array(parts) if step["type"] == "user_input" => parts.clone(),
        _ => vec![step.clone()],
    };
    for part in parts.iter().flat_map(content) {
        let Value::Object(part) = part else { return Err("input must hold objects.".to_owned()) };
        let part = &part;
        let fields = if part.get("type") == Some(&json!("image")) { IMAGE } else { TEXT };
        if let Some(flaw) = flaw("input", fields, part) {
            return Err(flaw);
        }
        if let Some(data) = part.get("data").and_then(Value::as_str)
            && data_encoding::BASE64.decode(data.as_bytes()).is_err()
        {
            return Err("input.data must be base64.".to_owned());
        }
        prompt.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
    }
    Ok(prompt)
}

pub(super) fn list() -> Value {
    let model = |name: &&str| json!({"name": format!("models/{name}"), "version": "001"});
    json!({"models": MODELS.iter().map(model).collect::<Vec<_>>()})
}
