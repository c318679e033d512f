//! The fal endpoints that the simulator knows.

use serde_json::{Map, Value};

use super::inputs::{
    GROK_15_IMAGE, GROK_IMAGE, GROK_TEXT, HAILUO_IMAGE, HAILUO_PRO_IMAGE, HAILUO_PRO_TEXT, HAILUO_TEXT,
    HORSE_IMAGE, HORSE_TEXT, KLING_26_IMAGE, KLING_26_TEXT, KLING_IMAGE, KLING_TEXT, KLING_TURBO_IMAGE,
    KLING_TURBO_TEXT, LTX_FAST_IMAGE, LTX_FAST_TEXT, LTX_IMAGE, LTX_TEXT, NANO_BANANA, NANO_BANANA_PRO,
    PIKA_IMAGE, PIKA_TEXT, PIXVERSE_IMAGE, PIXVERSE_TEXT, RAY_IMAGE, RAY_TEXT, SEEDANCE_IMAGE, SEEDANCE_TEXT,
    SEEDANCE_TIER_IMAGE, SEEDANCE_TIER_TEXT, VEO_FRAMES, VEO_IMAGE, VEO_LITE_IMAGE, VEO_LITE_TEXT, VEO_TEXT,
    VIDU_IMAGE, VIDU_TEXT, WAN_IMAGE, WAN_TEXT,
};
use crate::frame::jobs::Medium;
use crate::frame::schema::Field;

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: &'static str,
    pub(super) fields: &'static [Field],
    /// Seconds of video when the input does not say; an image without.
    seconds: Option<u32>,
    /// US dollars, as the pricing call returns them.
    pub(super) unit_price: f64,
    pub(super) unit: &'static str,
    /// The prompt may be given as shots in `multi_prompt` instead, but not both.
    pub(super) shots: bool,
}

/// What is offered, in the order of the list; the last two no client of ours knows.
pub(super) fn offered() -> impl Iterator<Item = &'static str> {
    ENDPOINTS.iter().map(|endpoint| endpoint.id).chain(["fal-ai/veo3.1/extend-video", "fal-ai/flux/dev"])
}

pub(super) fn find(id: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.id == id)
}

/// `owner/app`: all that the addresses of a remote job hold of an endpoint's id.
pub(super) fn app(id: &str) -> String {
    id.splitn(3, '/').take(2).collect::<Vec<_>>().join("/")
}

impl Endpoint {
    /// What a valid input asks for; Veo writes `"8s"` where others write `"8"` or `8`.
    pub(super) fn medium(&self, input: &Map<String, Value>) -> Medium {
        let asked = input.get("duration").and_then(|asked| match asked {
            Value::String(text) => text.trim_end_matches('s').parse().ok(),
            other => other.as_u64().and_then(|seconds| u32::try_from(seconds).ok()),
        });
        self.seconds.map_or(Medium::Image, |seconds| Medium::Video { seconds: asked.unwrap_or(seconds) })
    }
}

/// The ratio of a valid input; 16:9 where the input leaves it to the model or an image.
pub(super) fn aspect(input: &Map<String, Value>) -> (u32, u32) {
    let asked = input.get("aspect_ratio").and_then(Value::as_str).and_then(|text| text.split_once(':'));
    asked.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?))).unwrap_or((16, 9))
}

const fn veo(id: &'static str, fields: &'static [Field], unit_price: f64) -> Endpoint {
    Endpoint { id, fields, seconds: Some(8), unit_price, unit: "second", shots: false }
}

const fn pika(id: &'static str, fields: &'static [Field]) -> Endpoint {
    Endpoint { id, fields, seconds: Some(5), unit_price: 0.04, unit: "second", shots: false }
}

const fn kling(id: &'static str, fields: &'static [Field], unit_price: f64) -> Endpoint {
    Endpoint { id, fields, seconds: Some(5), unit_price, unit: "second", shots: true }
}

const fn plain(id: &'static str, fields: &'static [Field], seconds: u32, unit_price: f64) -> Endpoint {
    Endpoint { id, fields, seconds: Some(seconds), unit_price, unit: "second", shots: false }
}

const fn image(id: &'static str, fields: &'static [Field], unit_price: f64) -> Endpoint {
    Endpoint { id, fields, seconds: None, unit_price, unit: "image", shots: false }
}

const fn hailuo_pro(id: &'static str, fields: &'static [Field]) -> Endpoint {
    Endpoint { id, fields, seconds: Some(6), unit_price: 0.49, unit: "video", shots: false }
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
    kling("fal-ai/kling-video/v3/4k/text-to-video", KLING_TEXT, 0.42),
    kling("fal-ai/kling-video/v3/4k/image-to-video", KLING_IMAGE, 0.42),
    kling("fal-ai/kling-video/v3/turbo/standard/text-to-video", KLING_TURBO_TEXT, 0.112),
    kling("fal-ai/kling-video/v3/turbo/standard/image-to-video", KLING_TURBO_IMAGE, 0.112),
    kling("fal-ai/kling-video/v3/turbo/pro/text-to-video", KLING_TURBO_TEXT, 0.14),
    kling("fal-ai/kling-video/v3/turbo/pro/image-to-video", KLING_TURBO_IMAGE, 0.14),
    plain("bytedance/seedance-2.0/fast/text-to-video", SEEDANCE_TIER_TEXT, 5, 0.2419),
    plain("bytedance/seedance-2.0/fast/image-to-video", SEEDANCE_TIER_IMAGE, 5, 0.2419),
    plain("bytedance/seedance-2.0/mini/text-to-video", SEEDANCE_TIER_TEXT, 5, 0.1547),
    plain("bytedance/seedance-2.0/mini/image-to-video", SEEDANCE_TIER_IMAGE, 5, 0.1547),
    plain("xai/grok-imagine-video/text-to-video", GROK_TEXT, 6, 0.07),
    plain("xai/grok-imagine-video/image-to-video", GROK_IMAGE, 6, 0.07),
    plain("xai/grok-imagine-video/v1.5/image-to-video", GROK_15_IMAGE, 6, 0.14),
    plain("fal-ai/wan/v2.7/text-to-video", WAN_TEXT, 5, 0.1),
    plain("fal-ai/wan/v2.7/image-to-video", WAN_IMAGE, 5, 0.1),
    plain("alibaba/happy-horse/v1.1/text-to-video", HORSE_TEXT, 5, 0.14),
    plain("alibaba/happy-horse/v1.1/image-to-video", HORSE_IMAGE, 5, 0.14),
    plain("fal-ai/vidu/q3/text-to-video", VIDU_TEXT, 5, 0.07),
    plain("fal-ai/vidu/q3/image-to-video", VIDU_IMAGE, 5, 0.07),
    plain("fal-ai/vidu/q3/text-to-video/turbo", VIDU_TEXT, 5, 0.035),
    plain("fal-ai/vidu/q3/image-to-video/turbo", VIDU_IMAGE, 5, 0.035),
    plain("fal-ai/pixverse/v6/text-to-video", PIXVERSE_TEXT, 5, 0.045),
    plain("fal-ai/pixverse/v6/image-to-video", PIXVERSE_IMAGE, 5, 0.045),
    plain("fal-ai/ltx-2.3/text-to-video", LTX_TEXT, 6, 0.08),
    plain("fal-ai/ltx-2.3/image-to-video", LTX_IMAGE, 6, 0.08),
    plain("fal-ai/ltx-2.3/text-to-video/fast", LTX_FAST_TEXT, 6, 0.06),
    plain("fal-ai/ltx-2.3/image-to-video/fast", LTX_FAST_IMAGE, 6, 0.06),
    image("fal-ai/nano-banana-2", NANO_BANANA, 0.08),
    image("fal-ai/nano-banana-pro", NANO_BANANA_PRO, 0.15),
];
