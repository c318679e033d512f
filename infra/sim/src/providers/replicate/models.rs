//! The models that the simulator knows, with their inputs as their pages on Replicate have them.

use serde_json::{Map, Value};

use crate::frame::jobs::Medium;
use crate::frame::schema::Kind::{Flag, Integer, IntegerOf, Media, Number, OneOf};
use crate::frame::schema::{Field, Kind, optional, required};

#[derive(Debug)]
pub(super) struct Model {
    /// `owner/name`.
    pub(super) id: &'static str,
    pub(super) fields: &'static [Field],
    /// Seconds of video when the input does not say; an image without.
    seconds: Option<u32>,
    /// Its output is a list of one file.
    pub(super) lists: bool,
}

/// The public models, newest first, from a place on; the first two no client of ours knows.
pub(super) fn offered() -> impl Iterator<Item = &'static str> {
    ["google/veo-4", "someone/else"].into_iter().chain(MODELS.iter().map(|model| model.id))
}

pub(super) fn find(id: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == id)
}

impl Model {
    /// What of a valid input.
    pub(super) fn medium(&self, input: &Map<String, Value>) -> Medium {
        let asked = input.get("duration").and_then(Value::as_u64);
        let asked = asked.and_then(|seconds| u32::try_from(seconds).ok());
        self.seconds.map_or(Medium::Image, |seconds| Medium::Video { seconds: asked.unwrap_or(seconds) })
    }

    /// The ratio that of a valid input; the model's own where it leaves that open.
    pub(super) fn aspect(&self, input: &Map<String, Value>) -> (u32, u32) {
        let asked = input.get("aspect_ratio").and_then(Value::as_str).and_then(|text| text.split_once(':'));
        let asked = asked.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        asked.unwrap_or(if self.seconds.is_some() { (16, 9) } else { (1, 1) })
    }
}

/// No limits for texts are published; the body limit of the server bounds them.
const ANY: Kind = Kind::Text(0, usize::MAX);
const PROMPT: Field = required("prompt", ANY);
const NEGATIVE_PROMPT: Field = optional("negative_prompt", ANY);
const SEED: Field = optional("seed", Integer(i64::MIN, i64::MAX));
const GENERATE_AUDIO: Field = optional("generate_audio", Flag);
const OUTPUT_FORMAT: Field = optional("output_format", OneOf(&["webp", "jpg", "png"]));
const RATIO: Field = optional(
    "aspect_ratio",
    OneOf(&["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21"]),
);

const VEO: &[Field] = &[
    PROMPT,
    optional("aspect_ratio", OneOf(&["16:9", "9:16"])),
    optional("duration", IntegerOf(&[4, 6, 8])),
    optional("image", Media),
    optional("last_frame", Media),
    optional("resolution", OneOf(&["720p", "1080p"])),
    NEGATIVE_PROMPT,
    GENERATE_AUDIO,
    SEED,
];

const KLING: &[Field] = &[
    PROMPT,
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"])),
    optional("duration", IntegerOf(&[5, 10])),
    optional("start_image", Media),
    NEGATIVE_PROMPT,
    GENERATE_AUDIO,
];

const KLING_3: &[Field] = &[
    PROMPT,
    NEGATIVE_PROMPT,
    optional("start_image", Media),
    optional("end_image", Media),
    optional("mode", OneOf(&["standard", "pro"])),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"])),
    optional("duration", Integer(3, 15)),
    optional("multi_prompt", ANY),
    GENERATE_AUDIO,
];

const HAILUO: &[Field] = &[
    PROMPT,
    optional("duration", IntegerOf(&[6, 10])),
    optional("resolution", OneOf(&["768p", "1080p"])),
    optional("first_frame_image", Media),
    optional("prompt_optimizer", Flag),
];

const IMAGE: &[Field] =
    &[PROMPT, RATIO, optional("cfg", Number), optional("image", Media), SEED, NEGATIVE_PROMPT, OUTPUT_FORMAT];

const fn video(id: &'static str, fields: &'static [Field], seconds: u32) -> Model {
    Model { id, fields, seconds: Some(seconds), lists: false }
}

const fn image(id: &'static str, lists: bool) -> Model {
    Model { id, fields: IMAGE, seconds: None, lists }
}

const MODELS: &[Model] = &[
    video("google/veo-3.1", VEO, 8),
    video("google/veo-3.1-fast", VEO, 8),
    video("kwaivgi/kling-v2.6", KLING, 5),
    video("kwaivgi/kling-v3-video", KLING_3, 5),
    video("minimax/hailuo-2.3", HAILUO, 6),
    image("stability-ai/stable-diffusion-3.5-large", true),
    image("stability-ai/stable-diffusion-3.5-large-turbo", false),
    image("stability-ai/stable-diffusion-3.5-medium", true),
];
