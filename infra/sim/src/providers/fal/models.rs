//! The fal endpoints that the simulator knows, with their inputs as fal's own client types them.

use serde_json::{Map, Value};

use crate::frame::schema::Kind::{Flag, Integer, List, Media, Number, OneOf};
use crate::frame::schema::{Field, Kind, optional, required};

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: &'static str,
    pub(super) fields: &'static [Field],
    /// Seconds of video when the input does not say.
    seconds: u32,
    /// US dollars, as the pricing call returns them.
    pub(super) unit_price: f64,
    pub(super) unit: &'static str,
    /// The prompt may be given as shots in `multi_prompt` instead, but not both.
    pub(super) shots: bool,
}

pub(super) fn find(id: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.id == id)
}

impl Endpoint {
    /// `owner/app`: all that the addresses of a remote job hold of the id.
    pub(super) fn app(&self) -> String {
        self.id.splitn(3, '/').take(2).collect::<Vec<_>>().join("/")
    }

    /// Seconds of video of a valid input; Veo writes `8s` where others write `8`.
    pub(super) fn seconds(&self, input: &Map<String, Value>) -> u32 {
        let asked = input.get("duration").and_then(Value::as_str);
        asked.and_then(|text| text.trim_end_matches('s').parse().ok()).unwrap_or(self.seconds)
    }
}

/// The ratio of a valid input; 16:9 where the input leaves it to the model or an image.
pub(super) fn aspect(input: &Map<String, Value>) -> (u32, u32) {
    let asked = input.get("aspect_ratio").and_then(Value::as_str).and_then(|text| text.split_once(':'));
    asked.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?))).unwrap_or((16, 9))
}

/// fal publishes no limits for texts; the body limit of the server bounds them.
const ANY: Kind = Kind::Text(0, usize::MAX);

const VEO_DURATION: Field = optional("duration", OneOf(&["4s", "6s", "8s"]));
const VEO_RESOLUTION: Field = optional("resolution", OneOf(&["720p", "1080p", "4k"]));
const VEO_LITE_RESOLUTION: Field = optional("resolution", OneOf(&["720p", "1080p"]));
const VEO_SAFETY: Field = optional("safety_tolerance", OneOf(&["1", "2", "3", "4", "5", "6"]));
const NEGATIVE_PROMPT: Field = optional("negative_prompt", ANY);
const SEED: Field = optional("seed", Integer(i64::MIN, i64::MAX));
const GENERATE_AUDIO: Field = optional("generate_audio", Flag);
const PIKA_DURATION: Field = optional("duration", OneOf(&["5", "10"]));
const PIKA_RESOLUTION: Field = optional("resolution", OneOf(&["720p", "1080p"]));
const KLING_DURATION: Field =
    optional("duration", OneOf(&["3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]));

const fn veo_text(resolution: Field) -> [Field; 9] {
    [
        required("prompt", ANY),
        optional("aspect_ratio", OneOf(&["16:9", "9:16"])),
        resolution,
        VEO_DURATION,
        VEO_SAFETY,
        NEGATIVE_PROMPT,
        SEED,
        GENERATE_AUDIO,
        optional("auto_fix", Flag),
    ]
}

const fn veo_image(resolution: Field) -> [Field; 10] {
    [
        required("prompt", ANY),
        required("image_url", Media),
        optional("aspect_ratio", OneOf(&["auto", "16:9", "9:16"])),
        resolution,
        VEO_DURATION,
        VEO_SAFETY,
        NEGATIVE_PROMPT,
        SEED,
        GENERATE_AUDIO,
        optional("auto_fix", Flag),
    ]
}

const VEO_FRAMES: &[Field] = &[
    required("prompt", ANY),
    required("first_frame_url", Media),
    required("last_frame_url", Media),
    optional("aspect_ratio", OneOf(&["auto", "16:9", "9:16"])),
    VEO_RESOLUTION,
    VEO_DURATION,
    VEO_SAFETY,
    NEGATIVE_PROMPT,
    SEED,
    GENERATE_AUDIO,
    optional("auto_fix", Flag),
];

const VEO_TEXT: &[Field] = &veo_text(VEO_RESOLUTION);
const VEO_IMAGE: &[Field] = &veo_image(VEO_RESOLUTION);
const VEO_LITE_TEXT: &[Field] = &veo_text(VEO_LITE_RESOLUTION);
const VEO_LITE_IMAGE: &[Field] = &veo_image(VEO_LITE_RESOLUTION);

const PIKA_TEXT: &[Field] = &[
    required("prompt", ANY),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1", "4:5", "5:4", "3:2", "2:3"])),
    PIKA_DURATION,
    PIKA_RESOLUTION,
    NEGATIVE_PROMPT,
    SEED,
];

const PIKA_IMAGE: &[Field] = &[
    required("prompt", ANY),
    required("image_url", Media),
    PIKA_DURATION,
    PIKA_RESOLUTION,
    NEGATIVE_PROMPT,
    SEED,
];

const KLING_TEXT: &[Field] = &[
    optional("prompt", ANY),
    optional("multi_prompt", List),
    optional("shot_type", OneOf(&["customize", "intelligent"])),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"])),
    optional("cfg_scale", Number),
    KLING_DURATION,
    NEGATIVE_PROMPT,
    GENERATE_AUDIO,
];

const KLING_IMAGE: &[Field] = &[
    optional("prompt", ANY),
    optional("multi_prompt", List),
    optional("shot_type", ANY),
    required("start_image_url", Media),
    optional("end_image_url", Media),
    optional("elements", List),
    optional("cfg_scale", Number),
    KLING_DURATION,
    NEGATIVE_PROMPT,
    GENERATE_AUDIO,
];

const KLING_26_TEXT: &[Field] = &[
    required("prompt", ANY),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"])),
    optional("cfg_scale", Number),
    optional("duration", OneOf(&["5", "10"])),
    NEGATIVE_PROMPT,
    GENERATE_AUDIO,
];

const KLING_26_IMAGE: &[Field] = &[
    required("prompt", ANY),
    required("start_image_url", Media),
    optional("end_image_url", Media),
    optional("voice_ids", List),
    optional("duration", OneOf(&["5", "10"])),
    NEGATIVE_PROMPT,
    GENERATE_AUDIO,
];

const SEEDANCE_RATIO: Field =
    optional("aspect_ratio", OneOf(&["auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16"]));
const SEEDANCE_DURATION: Field =
    optional("duration", OneOf(&["auto", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]));
const SEEDANCE_RESOLUTION: Field = optional("resolution", OneOf(&["480p", "720p", "1080p", "4k"]));

const SEEDANCE_TEXT: &[Field] =
    &[required("prompt", ANY), SEEDANCE_RATIO, SEEDANCE_DURATION, SEEDANCE_RESOLUTION, GENERATE_AUDIO, SEED];

const SEEDANCE_IMAGE: &[Field] = &[
    required("prompt", ANY),
    required("image_url", Media),
    optional("end_image_url", Media),
    SEEDANCE_RATIO,
    SEEDANCE_DURATION,
    SEEDANCE_RESOLUTION,
    GENERATE_AUDIO,
    SEED,
];

const HAILUO_DURATION: Field = optional("duration", OneOf(&["6", "10"]));
const OPTIMIZER: Field = optional("prompt_optimizer", Flag);

const HAILUO_TEXT: &[Field] = &[required("prompt", ANY), HAILUO_DURATION, OPTIMIZER];
const HAILUO_IMAGE: &[Field] =
    &[required("prompt", ANY), required("image_url", Media), HAILUO_DURATION, OPTIMIZER];
const HAILUO_PRO_TEXT: &[Field] = &[required("prompt", ANY), OPTIMIZER];
const HAILUO_PRO_IMAGE: &[Field] = &[required("prompt", ANY), required("image_url", Media), OPTIMIZER];

const RAY_RATIO: Field = optional("aspect_ratio", OneOf(&["16:9", "9:16", "4:3", "3:4", "21:9", "9:21"]));
const RAY_DURATION: Field = optional("duration", OneOf(&["5s", "9s"]));
const RAY_RESOLUTION: Field = optional("resolution", OneOf(&["540p", "720p", "1080p"]));

const RAY_TEXT: &[Field] =
    &[required("prompt", ANY), RAY_RATIO, RAY_DURATION, RAY_RESOLUTION, optional("loop", Flag)];

const RAY_IMAGE: &[Field] = &[
    required("prompt", ANY),
    optional("image_url", Media),
    optional("end_image_url", Media),
    RAY_RATIO,
    RAY_DURATION,
    RAY_RESOLUTION,
    optional("loop", Flag),
];

const fn veo(id: &'static str, fields: &'static [Field], unit_price: f64) -> Endpoint {
    Endpoint { id, fields, seconds: 8, unit_price, unit: "second", shots: false }
}

const fn pika(id: &'static str, fields: &'static [Field]) -> Endpoint {
    Endpoint { id, fields, seconds: 5, unit_price: 0.04, unit: "second", shots: false }
}

const fn kling(id: &'static str, fields: &'static [Field], unit_price: f64) -> Endpoint {
    Endpoint { id, fields, seconds: 5, unit_price, unit: "second", shots: true }
}

const fn plain(id: &'static str, fields: &'static [Field], seconds: u32, unit_price: f64) -> Endpoint {
    Endpoint { id, fields, seconds, unit_price, unit: "second", shots: false }
}

const fn hailuo_pro(id: &'static str, fields: &'static [Field]) -> Endpoint {
    Endpoint { id, fields, seconds: 6, unit_price: 0.49, unit: "video", shots: false }
}

const ENDPOINTS: &[Endpoint] = &[
    veo("fal-ai/veo3.1", VEO_TEXT, 0.4),
    veo("fal-ai/veo3.1/image-to-video", VEO_IMAGE, 0.4),
    veo("fal-ai/veo3.1/first-last-frame-to-video", VEO_FRAMES, 0.4),
    veo("fal-ai/veo3.1/fast", VEO_TEXT, 0.15),
    veo("fal-ai/veo3.1/fast/image-to-video", VEO_IMAGE, 0.15),
    veo("fal-ai/veo3.1/fast/first-last-frame-to-video", VEO_FRAMES, 0.15),
    pika("fal-ai/pika/v2.2/text-to-video", PIKA_TEXT),
    pika("fal-ai/pika/v2.2/image-to-video", PIKA_IMAGE),
    veo("fal-ai/veo3.1/lite", VEO_LITE_TEXT, 0.05),
    veo("fal-ai/veo3.1/lite/image-to-video", VEO_LITE_IMAGE, 0.05),
    kling("fal-ai/kling-video/v3/standard/text-to-video", KLING_TEXT, 0.126),
    kling("fal-ai/kling-video/v3/standard/image-to-video", KLING_IMAGE, 0.126),
    kling("fal-ai/kling-video/v3/pro/text-to-video", KLING_TEXT, 0.168),
    kling("fal-ai/kling-video/v3/pro/image-to-video", KLING_IMAGE, 0.168),
    plain("fal-ai/kling-video/v2.6/pro/text-to-video", KLING_26_TEXT, 5, 0.14),
    plain("fal-ai/kling-video/v2.6/pro/image-to-video", KLING_26_IMAGE, 5, 0.14),
    plain("bytedance/seedance-2.0/text-to-video", SEEDANCE_TEXT, 5, 0.3034),
    plain("bytedance/seedance-2.0/image-to-video", SEEDANCE_IMAGE, 5, 0.3034),
    plain("fal-ai/minimax/hailuo-2.3/standard/text-to-video", HAILUO_TEXT, 6, 0.056),
    plain("fal-ai/minimax/hailuo-2.3/standard/image-to-video", HAILUO_IMAGE, 6, 0.056),
    hailuo_pro("fal-ai/minimax/hailuo-2.3/pro/text-to-video", HAILUO_PRO_TEXT),
    hailuo_pro("fal-ai/minimax/hailuo-2.3/pro/image-to-video", HAILUO_PRO_IMAGE),
    plain("fal-ai/luma-dream-machine/ray-2", RAY_TEXT, 5, 0.1),
    plain("fal-ai/luma-dream-machine/ray-2/image-to-video", RAY_IMAGE, 5, 0.1),
];
