//! The bodies of MiniMax's creates.

use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Flag, Integer, IntegerOf, List, Media, Object, OneOf, Text};
use crate::frame::schema::{self, Field, optional, required};

const CALLBACK: Field = optional("callback_url", Text(1, 2_048));
const WATERMARK: Field = optional("aigc_watermark", Flag);

const HAILUO: &[Field] = &[
    required("model", OneOf(&["MiniMax-Hailuo-2.3", "MiniMax-Hailuo-02"])),
    optional("prompt", Text(1, 2_000)),
    optional("duration", IntegerOf(&[6, 10])),
    optional("resolution", OneOf(&["512P", "768P", "1080P"])),
    optional("first_frame_image", Media),
    optional("last_frame_image", Media),
    optional("prompt_optimizer", Flag),
    optional("fast_pretreatment", Flag),
    WATERMARK,
    CALLBACK,
];

const H3: &[Field] = &[
    required("model", OneOf(&["MiniMax-H3"])),
    required("content", List),
    required("duration", Integer(5, 15)),
    required("resolution", OneOf(&["768P", "2K"])),
    optional("ratio", OneOf(&["adaptive", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16"])),
    WATERMARK,
    CALLBACK,
];

const TEXT: &[Field] = &[required("type", OneOf(&["text"])), required("text", Text(1, 7_000))];
const IMAGE: &[Field] = &[
    required("type", OneOf(&["image_url"])),
    required("image_url", Object),
    optional("role", OneOf(&["first_frame", "last_frame", "reference_image"])),
];
const ADDRESS: &[Field] = &[required("url", Media)];

pub(super) fn flaws_1(body: &Map<String, Value>) -> Vec<String> {
    let mut flaws = schema::flaw_texts(HAILUO, body);
    let mut must = |ok: bool, text: &str| {
        if !ok {
            flaws.push(text.to_owned());
        }
    };
    let is = |name: &str, word: &str| body.get(name).and_then(Value::as_str) == Some(word);
    let has = |name: &str| body.contains_key(name);
    let is_02 = is("model", "MiniMax-Hailuo-02");
    must(has("prompt") || has("first_frame_image"), "prompt: Missing");
    must(!is("resolution", "1080P") || seconds(body) == 6, "1080P is made for 6 seconds only");
    must(
        !is("resolution", "512P") || (is_02 && has("first_frame_image")),
        "512P needs Hailuo-02 and an image",
    );
    must(!has("last_frame_image") || is_02, "last_frame_image needs Hailuo-02");
    flaws
}

pub(super) fn flaws_2(body: &Map<String, Value>) -> Vec<String> {
    let mut flaws = schema::flaw_texts(H3, body);
    let none = Map::new();
    let content = content(body);
    let of_type = |kind: &'static str| content.iter().filter(move |item| item["type"] == kind);
    for item in content {
        let object = item.as_object().unwrap_or(&none);
        flaws.extend(match item["type"].as_str() {
            Some("image_url") => schema::flaw_texts(IMAGE, object),
            _ => schema::flaw_texts(TEXT, object),
        });
        if let Some(address) = item["image_url"].as_object() {
            flaws.extend(schema::flaw_texts(ADDRESS, address));
        }
    }
    if of_type("text").count() != 1 {
        flaws.push("content: needs exactly one text".to_owned());
    }
    let roles = |role: &str| of_type("image_url").filter(|item| item["role"] == role).count();
    if roles("first_frame") > 1 || roles("last_frame") > 1 {
        flaws.push("content: a frame is named twice".to_owned());
    }
    let ratio = body.get("ratio").and_then(Value::as_str).unwrap_or("adaptive");
    if of_type("image_url").count() == 0 && ratio == "adaptive" {
        flaws.push("ratio: must be named where there is no image".to_owned());
    }
    flaws
}

fn content(body: &Map<String, Value>) -> &[Value] {
    body.get("content").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The prompt of a valid body of either version.
pub(super) fn prompt(body: &Map<String, Value>) -> &str {
    let text = content(body).iter().find_map(|item| item["text"].as_str());
    text.or_else(|| body.get("prompt")?.as_str()).unwrap_or_default()
}

/// Seconds of video of a valid body.
pub(super) fn seconds(body: &Map<String, Value>) -> u32 {
    let asked = body.get("duration").and_then(Value::as_u64);
    asked.and_then(|seconds| seconds.try_into().ok()).unwrap_or(6)
}
