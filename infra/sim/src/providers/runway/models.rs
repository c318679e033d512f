//! The Runway models that the simulator knows, with their bodies as Runway's own client types them.

use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Flag, Frames, Integer, IntegerOf, Object, OneOf, Text};
use crate::frame::schema::{Field, optional, required};

#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    /// The fields of a text-to-video body, where the model takes one.
    pub(super) text: Option<&'static [Field]>,
    /// The fields of an image-to-video body.
    pub(super) image: &'static [Field],
    /// Seconds of video when the body does not say.
    seconds: u32,
    /// Runway credits per second: silent, and with audio.
    rate: (u32, u32),
}

impl Model {
    /// Seconds of video of a valid body.
    pub(super) fn seconds(&self, body: &Map<String, Value>) -> u32 {
        let asked = body.get("duration").and_then(Value::as_u64);
        asked.and_then(|seconds| seconds.try_into().ok()).unwrap_or(self.seconds)
    }

    /// The price in Runway credits of a valid body; audio is on unless switched off.
    pub(super) fn credits(&self, body: &Map<String, Value>) -> u32 {
        let audio = body.get("audio").and_then(Value::as_bool).unwrap_or(true);
        self.seconds(body) * if audio { self.rate.1 } else { self.rate.0 }
    }
}

/// Width and height of a valid body.
pub(super) fn aspect(body: &Map<String, Value>) -> (u32, u32) {
    let asked = body.get("ratio").and_then(Value::as_str).and_then(|text| text.split_once(':'));
    asked.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?))).unwrap_or((16, 9))
}

const MODEL: Field = required("model", Text(1, 64));
const PROMPT: Field = required("promptText", Text(1, 1_000));
const PROMPT_OR_NOT: Field = optional("promptText", Text(1, 1_000));
const SEED: Field = optional("seed", Integer(0, 4_294_967_295));
const MODERATION: Field = optional("contentModeration", Object);
const FIRST_FRAME: Field = required("promptImage", Frames(&["first"]));
const FIRST_OR_LAST_FRAME: Field = required("promptImage", Frames(&["first", "last"]));
const GEN4_RATIOS: Field =
    required("ratio", OneOf(&["1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672"]));
const VEO_RATIOS: Field = required("ratio", OneOf(&["1280:720", "720:1280", "1920:1080", "1080:1920"]));
const OUTPUT_FORMAT: Field = optional(
    "outputFormat",
    OneOf(&[
        "mp4",
        "prores",
        "png_sequence",
        "hdr10",
        "hlg",
        "sdr_rec709_10bit",
        "hdr_pq_12bit_master",
        "hdr_prores",
        "hdr_png_sequence",
        "hdr_exr_sequence",
        "hdr_exr_acescg_sequence_1_3",
        "hdr_exr_acescg_sequence_2_0",
    ]),
);
const PRORES_PROFILE: Field =
    optional("proresProfile", OneOf(&["422", "4444", "422 Proxy", "422 LT", "422 HQ", "4444 XQ"]));

const GEN4_5_TEXT: &[Field] = &[
    MODEL,
    PROMPT,
    required("ratio", OneOf(&["1280:720", "720:1280"])),
    required("duration", Integer(2, 10)),
    SEED,
    MODERATION,
    OUTPUT_FORMAT,
    PRORES_PROFILE,
];

const GEN4_5_IMAGE: &[Field] = &[
    MODEL,
    PROMPT,
    FIRST_FRAME,
    GEN4_RATIOS,
    required("duration", Integer(2, 10)),
    SEED,
    MODERATION,
    OUTPUT_FORMAT,
    PRORES_PROFILE,
];

const GEN4_TURBO_IMAGE: &[Field] =
    &[MODEL, PROMPT_OR_NOT, FIRST_FRAME, GEN4_RATIOS, optional("duration", Integer(2, 10)), SEED, MODERATION];

const VEO_TEXT: &[Field] = &[
    MODEL,
    PROMPT,
    VEO_RATIOS,
    optional("duration", IntegerOf(&[4, 6, 8])),
    optional("audio", Flag),
    optional("negativePrompt", Text(0, 1_000)),
    SEED,
];

const VEO_IMAGE: &[Field] = &[
    MODEL,
    PROMPT_OR_NOT,
    FIRST_OR_LAST_FRAME,
    VEO_RATIOS,
    optional("duration", IntegerOf(&[4, 6, 8])),
    optional("audio", Flag),
    optional("negativePrompt", Text(0, 1_000)),
    SEED,
];

pub(super) const MODELS: &[Model] = &[
    Model { id: "gen4.5", text: Some(GEN4_5_TEXT), image: GEN4_5_IMAGE, seconds: 5, rate: (12, 12) },
    Model { id: "gen4_turbo", text: None, image: GEN4_TURBO_IMAGE, seconds: 10, rate: (5, 5) },
    Model { id: "veo3.1", text: Some(VEO_TEXT), image: VEO_IMAGE, seconds: 8, rate: (20, 40) },
    Model { id: "veo3.1_fast", text: Some(VEO_TEXT), image: VEO_IMAGE, seconds: 8, rate: (10, 15) },
];
