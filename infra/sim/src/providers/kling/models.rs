//! The models that the simulated Kling knows, with the bodies that its documentation gives them.

use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Flag, IntegerOf, OneOf};
use crate::frame::schema::{Field, optional};

#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    pub(super) prompt_max: usize,
    pub(super) text_settings: &'static [Field],
    pub(super) image_settings: &'static [Field],
    pub(super) last_frame: LastFrame,
    /// Micro-dollars for a second at each resolution: silent, and with sound. Zero: not made.
    rates: &'static [(&'static str, u64, u64)],
    /// Sound whether it is wanted or not.
    loud: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastFrame {
    Never,
    /// At 1080p, and without sound.
    Silent1080,
    Always,
}

/// The video of valid settings.
#[derive(Debug)]
pub(super) struct Video {
    pub(super) seconds: u32,
    pub(super) aspect: (u32, u32),
    pub(super) micro_usd: u64,
}

pub(super) fn find(id: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == id)
}

impl Model {
    /// What the settings order, each by itself in order; or what does not go together.
    pub(super) fn video(&self, settings: &Map<String, Value>, last_frame: bool) -> Result<Video, String> {
        let text = |name: &str, default: &'static str| match settings.get(name) {
            Some(value) => value.as_str().unwrap_or_default().to_owned(),
            None => default.to_owned(),
        };
        let (resolution, audio) = (text("resolution", "720p"), text("audio", "off") == "native");
        let silent_1080 = resolution == "1080p" && !audio;
        match self.last_frame {
            LastFrame::Never if last_frame => return Err("last_frame is not supported".to_owned()),
            LastFrame::Silent1080 if last_frame && !silent_1080 => {
                return Err("last_frame needs 1080p and audio off".to_owned());
            }
            _ => {}
        }
        let rate = self.rates.iter().find(|(name, _, _)| *name == resolution);
        let rate = rate.map_or(0, |(_, silent, loud)| if audio || self.loud { *loud } else { *silent });
        if rate == 0 {
            return Err(format!("audio native is not supported at {resolution}"));
        }
        let seconds = settings.get("duration").and_then(Value::as_u64).unwrap_or(5);
        Ok(Video {
            seconds: seconds.try_into().unwrap_or(5),
            aspect: aspect(&text("aspect_ratio", "16:9")),
            micro_usd: rate * seconds,
        })
    }
}

/// Width and height of a ratio.
pub(crate) fn aspect(ratio: &str) -> (u32, u32) {
    let sides = ratio.split_once(':').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.unwrap_or((16, 9))
}

const AUDIO: Field = optional("audio", OneOf(&["native", "off"]));
const MULTI_SHOT: Field = optional("multi_shot", Flag);
const UP_TO_4K: Field = optional("resolution", OneOf(&["720p", "1080p", "4k"]));
const UP_TO_1080: Field = optional("resolution", OneOf(&["720p", "1080p"]));
const RATIO: Field = optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"]));
const TO_15_S: Field = optional("duration", IntegerOf(&[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));
const FIVE_OR_TEN_S: Field = optional("duration", IntegerOf(&[5, 10]));

const MODELS: &[Model] = &[
    Model {
        id: "kling-3.0",
        prompt_max: 3_072,
        text_settings: &[MULTI_SHOT, AUDIO, UP_TO_4K, RATIO, TO_15_S],
        image_settings: &[MULTI_SHOT, AUDIO, UP_TO_4K, TO_15_S],
        last_frame: LastFrame::Always,
        rates: &[("720p", 84_000, 126_000), ("1080p", 112_000, 168_000), ("4k", 420_000, 420_000)],
        loud: false,
    },
    Model {
        id: "kling-3.0-turbo",
        prompt_max: 2_500,
        text_settings: &[UP_TO_1080, RATIO, TO_15_S],
        image_settings: &[UP_TO_1080, TO_15_S],
        last_frame: LastFrame::Never,
        rates: &[("720p", 0, 112_000), ("1080p", 0, 140_000)],
        loud: true,
    },
    Model {
        id: "kling-2.6",
        prompt_max: 2_500,
        text_settings: &[AUDIO, UP_TO_1080, RATIO, FIVE_OR_TEN_S],
        image_settings: &[AUDIO, UP_TO_1080, FIVE_OR_TEN_S],
        last_frame: LastFrame::Silent1080,
        rates: &[("720p", 42_000, 0), ("1080p", 70_000, 140_000)],
        loud: false,
    },
    Model {
        id: "kling-2.5-turbo",
        prompt_max: 2_500,
        text_settings: &[UP_TO_1080, RATIO, FIVE_OR_TEN_S],
        image_settings: &[UP_TO_1080, FIVE_OR_TEN_S],
        last_frame: LastFrame::Silent1080,
        rates: &[("720p", 42_000, 0), ("1080p", 70_000, 0)],
        loud: false,
    },
];
