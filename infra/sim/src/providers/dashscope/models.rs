//! Model Studio's video models, and the bodies of their creates.

use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Flag, Integer, List, Media, Object, OneOf, Text};
use crate::frame::schema::{self, Field, optional, required};

#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    parameters: &'static [Field],
    prompt: &'static [Field],
    /// The frames that must or may be in `media`.
    frames: &'static [&'static [&'static str]],
}

const RESOLUTION: Field = optional("resolution", OneOf(&["720P", "1080P"]));
const WATERMARK: Field = optional("watermark", Flag);
const SEED: Field = optional("seed", Integer(0, 2_147_483_647));
const EXTEND: Field = optional("prompt_extend", Flag);
const WAN_LENGTH: Field = optional("duration", Integer(2, 15));
const HORSE_LENGTH: Field = optional("duration", Integer(3, 15));

const WAN_TEXT: &[Field] = &[
    RESOLUTION,
    WATERMARK,
    SEED,
    EXTEND,
    WAN_LENGTH,
    optional("ratio", OneOf(&["16:9", "9:16", "1:1", "4:3", "3:4"])),
];
const WAN_IMAGE: &[Field] = &[RESOLUTION, WATERMARK, SEED, EXTEND, WAN_LENGTH];
const HORSE_TEXT: &[Field] = &[
    RESOLUTION,
    WATERMARK,
    SEED,
    HORSE_LENGTH,
    optional("ratio", OneOf(&["16:9", "9:16", "1:1", "4:3", "3:4", "4:5", "5:4", "9:21", "21:9"])),
];
const HORSE_IMAGE: &[Field] = &[RESOLUTION, WATERMARK, SEED, HORSE_LENGTH];

/// What is too long is cut off, not refused.
const PROMPT: Field = required("prompt", Text(1, 100_000));
const MEDIA: Field = required("media", List);
/// Their own client sends these two to every model.
const OLD_EXTEND: Field = optional("extend_prompt", Flag);
const FUNCTION: Field = optional("function", Text(1, 100));
const TEXT_INPUT: &[Field] = &[
    PROMPT,
    OLD_EXTEND,
    FUNCTION,
    optional("negative_prompt", Text(0, 100_000)),
    optional("audio_url", Media),
];
const IMAGE_INPUT: &[Field] = &[
    optional("prompt", Text(0, 100_000)),
    OLD_EXTEND,
    FUNCTION,
    optional("negative_prompt", Text(0, 100_000)),
    MEDIA,
];
const ITEM: &[Field] = &[required("type", OneOf(&["first_frame", "last_frame"])), required("url", Media)];

const FIRST: &[&str] = &["first_frame"];
const BOTH: &[&str] = &["first_frame", "last_frame"];

const MODELS: [Model; 4] = [
    Model { id: "wan2.7-t2v", parameters: WAN_TEXT, prompt: TEXT_INPUT, frames: &[] },
    Model { id: "wan2.7-i2v", parameters: WAN_IMAGE, prompt: IMAGE_INPUT, frames: &[FIRST, BOTH] },
    Model { id: "happyhorse-1.1-t2v", parameters: HORSE_TEXT, prompt: TEXT_INPUT, frames: &[] },
    Model { id: "happyhorse-1.1-i2v", parameters: HORSE_IMAGE, prompt: IMAGE_INPUT, frames: &[FIRST] },
];

const BODY: &[Field] =
    &[required("model", Text(1, 200)), required("input", Object), optional("parameters", Object)];

pub(super) fn model(body: &Map<String, Value>) -> Option<&'static Model> {
    let id = body.get("model")?.as_str()?;
    MODELS.iter().find(|model| model.id == id)
}

/// An object of the body; an empty one if there is none.
pub(super) fn part(body: &Map<String, Value>, name: &str) -> Map<String, Value> {
    body.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The first thing that is wrong with a create.
pub(super) fn flaw(model: &Model, body: &Map<String, Value>) -> Option<String> {
    let (input, parameters) = (part(body, "input"), part(body, "parameters"));
    let mut flaws = schema::flaw_texts(BODY, body);
    flaws.extend(schema::flaw_texts(model.prompt, &input));
    flaws.extend(schema::flaw_texts(model.parameters, &parameters));
    let media = input.get("media").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for item in media {
        flaws.extend(schema::flaw_texts(ITEM, &item.as_object().cloned().unwrap_or_default()));
    }
    let kinds: Vec<&str> = media.iter().filter_map(|item| item["type"].as_str()).collect();
    let fits =
        |frames: &&[&str]| frames.len() == kinds.len() && frames.iter().all(|kind| kinds.contains(kind));
    if !model.frames.is_empty() && !model.frames.iter().any(fits) {
        flaws.push("media: not valid for this model".to_owned());
    }
    flaws.into_iter().next()
}
