//! The body of an interaction that makes a video or an image, as Google's own client types it.

use serde_json::{Map, Value, json};

use crate::frame::jobs::Medium;
use crate::frame::schema::Kind::{Flag, List, Object, OneOf, Text};
use crate::frame::schema::{Field, optional, required};
use crate::providers::google::{flaw, flaw_of};

const VIDEOS: [&str; 2] = ["gemini-omni-1.2-flash", "gemini-omni-1.1-flash"];
/// Models of images, each with its sizes and whether it draws strips, too.
const IMAGES: [(&str, &[&str], bool); 2] = [
    ("gemini-nano-banana-2.1", &["1K", "2K", "4K"], true),
    ("gemini-3-pro-image", &["1K", "2K", "4K"], false),
];
const RATIOS: [&str; 10] = ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"];
const STRIPS: [&str; 4] = ["1:8", "8:1", "1:4", "4:1"];

const BODY: &[Field] = &[
    required("model", Text(1, 100)),
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
const IMAGE_FORMAT: &[Field] = &[
    required("type", OneOf(&["image"])),
    optional("aspect_ratio", Text(3, 5)),
    optional("image_size", OneOf(&["512", "1K", "2K", "4K"])),
    optional("mime_type", OneOf(&["image/jpeg"])),
    optional("delivery", OneOf(&["inline", "uri"])),
];
const GENERATION: &[Field] = &[
    optional("video_config", Object),
    optional("thinking_level", OneOf(&["minimal", "low", "medium", "high"])),
];
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
pub(super) struct Order {
    pub(super) model: String,
    pub(super) prompt: String,
    pub(super) medium: Medium,
    pub(super) aspect: (u32, u32),
    pub(super) callback: Option<String>,
}

/// What a good body orders, or the first thing that is wrong with it.
pub(super) fn order(body: &Map<String, Value>) -> Result<Order, String> {
    let mut rest = body.clone();
    let input = rest.remove("input").unwrap_or_default();
    if let Some(flaw) = flaw("", BODY, &rest) {
        return Err(flaw);
    }
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let image = IMAGES.into_iter().find(|(name, ..)| *name == model);
    if image.is_none() && !VIDEOS.contains(&model) {
        return Err(format!("model {model} is not found."));
    }
    let format = if image.is_some() { IMAGE_FORMAT } else { FORMAT };
    let parts = [("response_format", format), ("generation_config", GENERATION), ("webhook_config", WEBHOOK)];
    let task = body.get("generation_config").and_then(Value::as_object);
    let parts = parts.iter().find_map(|(member, fields)| flaw_of(member, fields, body));
    if let Some(flaw) = parts.or_else(|| flaw_of("video_config", VIDEO, task?)) {
        return Err(flaw);
    }
    let prompt = prompt(&input)?;
    match image {
        Some((_, sizes, strips)) => still(body, prompt, model, sizes, strips),
        None => video(body, prompt, model),
    }
}

/// Images are made while the caller waits, and in no other way.
fn still(
    body: &Map<String, Value>,
    prompt: String,
    model: &str,
    sizes: &[&str],
    strips: bool,
) -> Result<Order, String> {
    if body.get("background") == Some(&json!(true)) {
        return Err(format!("Model '{model}' does not support background interactions."));
    }
    if body.contains_key("webhook_config") {
        return Err("webhook_config needs background.".to_owned());
    }
    let format = &body.get("response_format").cloned().unwrap_or_default();
    let size = format["image_size"].as_str().unwrap_or("1K");
    if !sizes.contains(&size) {
        return Err(format!("response_format.image_size {size} is not supported by {model}."));
    }
    let ratio = format["aspect_ratio"].as_str().unwrap_or("1:1");
    let numbers =
        ratio.split_once(':').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let known = RATIOS.contains(&ratio) || (strips && STRIPS.contains(&ratio));
    let aspect = numbers.filter(|_| known).ok_or("response_format.aspect_ratio is not supported.")?;
    Ok(Order { model: model.to_owned(), prompt, medium: Medium::Image, aspect, callback: None })
}

fn video(body: &Map<String, Value>, prompt: String, model: &str) -> Result<Order, String> {
    let format = &body.get("response_format").cloned().unwrap_or_default();
    let seconds = format["duration"].as_str().unwrap_or("8s").strip_suffix('s');
    let seconds = seconds.and_then(|number| number.parse().ok()).filter(|seconds| (3..=10).contains(seconds));
    let callback = body.get("webhook_config").and_then(|config| config["uris"][0].as_str());
    if callback.is_some() && body.get("background") != Some(&json!(true)) {
        return Err("webhook_config needs background.".to_owned());
    }
    let seconds = seconds.ok_or("response_format.duration must be from 3s to 10s.")?;
    Ok(Order {
        model: model.to_owned(),
        prompt,
        medium: Medium::Video { seconds },
        aspect: if format["aspect_ratio"] == "9:16" { (9, 16) } else { (16, 9) },
        callback: callback.map(str::to_owned),
    })
}

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
    let names = VIDEOS.into_iter().chain(IMAGES.map(|(name, ..)| name));
    let model = |name: &str| json!({"name": format!("models/{name}"), "version": "001"});
    json!({"models": names.map(model).collect::<Vec<_>>()})
}
