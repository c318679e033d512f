//! The video models of xAI that the simulator knows, by its guide "Video Generation" and its list prices.

use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Flag, List, Object, OneOf, Text};
use crate::frame::schema::{Field, optional};

/// One cent.
const CENT: u64 = 100_000_000;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) inputs: &'static [&'static str],
    /// Ticks a second by resolution.
    rates: &'static [(&'static str, u64)],
    /// Ticks for each image of a request.
    image: u64,
    /// Optional parts of a body that it rejects.
    pub(super) rejects: &'static [&'static str],
}

impl Model {
    pub(super) fn makes(&self, resolution: &str) -> bool {
        self.rates.iter().any(|(name, _)| *name == resolution)
    }

    /// What a valid order costs, in ticks.
    pub(super) fn ticks(&self, order: &Order) -> u64 {
        let rate = self.rates.iter().find(|(name, _)| *name == order.resolution).map_or(0, |(_, rate)| *rate);
        rate * u64::from(order.seconds) + self.image * order.images
    }
}

pub(super) const MODELS: &[Model] = &[
    Model {
        id: "grok-imagine-video",
        aliases: &["grok-imagine-video-beta"],
        inputs: &["text", "image", "video"],
        rates: &[("480p", 5 * CENT), ("720p", 7 * CENT)],
        image: CENT / 5,
        rejects: &["last_frame", "keyframes", "reference_audios"],
    },
    Model {
        id: "grok-imagine-video-1.5",
        aliases: &["grok-imagine-video-1.5-preview"],
        inputs: &["text", "image", "audio"],
        rates: &[("480p", 8 * CENT), ("720p", 14 * CENT), ("1080p", 25 * CENT)],
        image: CENT,
        rejects: &[],
    },
    Model {
        id: "grok-imagine-video-1.5-lite",
        aliases: &[],
        inputs: &["text", "image"],
        rates: &[("480p", 2 * CENT), ("720p", 3 * CENT), ("1080p", 14 * CENT)],
        image: CENT,
        rejects: &["last_frame", "keyframes", "reference_audios", "reference_images"],
    },
];

/// What its server reads of a body before anything else; `duration` is a number or a text.
pub(super) const FIELDS: &[Field] = &[
    optional("model", Text(0, 200)),
    optional("prompt", Text(0, 100_000)),
    optional("aspect_ratio", OneOf(&["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9", "5:2"])),
    optional("resolution", OneOf(&["480p", "720p", "1080p"])),
    optional("image", Object),
    optional("input_reference", Object),
    optional("last_frame", Object),
    optional("keyframes", List),
    optional("reference_images", List),
    optional("reference_audios", List),
    optional("generate_audio", Flag),
    optional("output", Object),
    optional("storage_options", Object),
    optional("user", Text(0, 1_000)),
];
/// Beside the table.
pub(super) const LENGTHS: [&str; 2] = ["duration", "seconds"];

/// What a body orders.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) seconds: u32,
    pub(super) resolution: String,
    images: u64,
    /// A reference, or a frame that is pinned beside the first.
    pub(super) has_references: bool,
}

impl Order {
    /// Of a body whose fields have their types; `None` for a length that it does not make.
    pub(super) fn of(body: &Map<String, Value>) -> Option<Self> {
        let length = LENGTHS.iter().find_map(|name| body.get(*name));
        let seconds = match length {
            None => 8,
            Some(Value::String(text)) => text.parse().ok()?,
            Some(number) => number.as_u64()?.try_into().ok()?,
        };
        let resolution = body.get("resolution").and_then(Value::as_str).unwrap_or("480p").to_owned();
        let is_there = |name: &&str| body.contains_key(*name);
        let count =
            |name: &str| body.get(name).and_then(Value::as_array).map_or(0, |items| items.len() as u64);
        let single = ["image", "input_reference", "last_frame"].iter().filter(|name| is_there(name)).count();
        let images = single as u64 + count("reference_images") + count("keyframes");
        let references = ["reference_images", "reference_audios", "last_frame", "keyframes"];
        let has_references = references.iter().any(is_there);
        (1..=15).contains(&seconds).then_some(Self { seconds, resolution, images, has_references })
    }
}
