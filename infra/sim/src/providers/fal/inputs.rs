//! What the endpoints of fal take, as fal's own client types it.

use crate::frame::schema::Kind::{Flag, Integer, IntegerOf, List, Media, Number, OneOf};
use crate::frame::schema::{Field, Kind, optional, required};

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

pub(super) const VEO_FRAMES: &[Field] = &[
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

pub(super) const VEO_TEXT: &[Field] = &veo_text(VEO_RESOLUTION);
pub(super) const VEO_IMAGE: &[Field] = &veo_image(VEO_RESOLUTION);
pub(super) const VEO_LITE_TEXT: &[Field] = &veo_text(VEO_LITE_RESOLUTION);
pub(super) const VEO_LITE_IMAGE: &[Field] = &veo_image(VEO_LITE_RESOLUTION);

pub(super) const PIKA_TEXT: &[Field] = &[
    required("prompt", ANY),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1", "4:5", "5:4", "3:2", "2:3"])),
    PIKA_DURATION,
    PIKA_RESOLUTION,
    NEGATIVE_PROMPT,
    SEED,
];

pub(super) const PIKA_IMAGE: &[Field] = &[
    required("prompt", ANY),
    required("image_url", Media),
    PIKA_DURATION,
    PIKA_RESOLUTION,
    NEGATIVE_PROMPT,
    SEED,
];

pub(super) const KLING_TEXT: &[Field] = &[
    optional("prompt", ANY),
    optional("multi_prompt", List),
    optional("shot_type", OneOf(&["customize", "intelligent"])),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"])),
    optional("cfg_scale", Number),
    KLING_DURATION,
    NEGATIVE_PROMPT,
    GENERATE_AUDIO,
];

pub(super) const KLING_IMAGE: &[Field] = &[
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

pub(super) const KLING_TURBO_TEXT: &[Field] = &[
    optional("prompt", ANY),
    optional("multi_prompt", List),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"])),
    KLING_DURATION,
];

pub(super) const KLING_TURBO_IMAGE: &[Field] =
    &[optional("prompt", ANY), optional("multi_prompt", List), required("image_url", Media), KLING_DURATION];

pub(super) const KLING_26_TEXT: &[Field] = &[
    required("prompt", ANY),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1"])),
    optional("cfg_scale", Number),
    optional("duration", OneOf(&["5", "10"])),
    NEGATIVE_PROMPT,
    GENERATE_AUDIO,
];

pub(super) const KLING_26_IMAGE: &[Field] = &[
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
const SEEDANCE_TIER_RESOLUTION: Field = optional("resolution", OneOf(&["480p", "720p"]));

const fn seedance_text(resolution: Field) -> [Field; 7] {
    [
        required("prompt", ANY),
        SEEDANCE_RATIO,
        SEEDANCE_DURATION,
        resolution,
        GENERATE_AUDIO,
        optional("bitrate_mode", OneOf(&["standard", "high"])),
        optional("end_user_id", ANY),
    ]
}

const fn seedance_image(resolution: Field) -> [Field; 9] {
    let [prompt, ratio, duration, resolution, audio, bitrate, user] = seedance_text(resolution);
    let [image, last] = [required("image_url", Media), optional("end_image_url", Media)];
    [prompt, image, last, ratio, duration, resolution, audio, bitrate, user]
}

pub(super) const SEEDANCE_TEXT: &[Field] = &seedance_text(SEEDANCE_RESOLUTION);
pub(super) const SEEDANCE_IMAGE: &[Field] = &seedance_image(SEEDANCE_RESOLUTION);
pub(super) const SEEDANCE_TIER_TEXT: &[Field] = &seedance_text(SEEDANCE_TIER_RESOLUTION);
pub(super) const SEEDANCE_TIER_IMAGE: &[Field] = &seedance_image(SEEDANCE_TIER_RESOLUTION);

const HAILUO_DURATION: Field = optional("duration", OneOf(&["6", "10"]));
const OPTIMIZER: Field = optional("prompt_optimizer", Flag);

pub(super) const HAILUO_TEXT: &[Field] = &[required("prompt", ANY), HAILUO_DURATION, OPTIMIZER];
pub(super) const HAILUO_IMAGE: &[Field] =
    &[required("prompt", ANY), required("image_url", Media), HAILUO_DURATION, OPTIMIZER];
pub(super) const HAILUO_PRO_TEXT: &[Field] = &[required("prompt", ANY), OPTIMIZER];
pub(super) const HAILUO_PRO_IMAGE: &[Field] =
    &[required("prompt", ANY), required("image_url", Media), OPTIMIZER];

const RAY_RATIO: Field = optional("aspect_ratio", OneOf(&["16:9", "9:16", "4:3", "3:4", "21:9", "9:21"]));
const RAY_DURATION: Field = optional("duration", OneOf(&["5s", "9s"]));
const RAY_RESOLUTION: Field = optional("resolution", OneOf(&["540p", "720p", "1080p"]));

pub(super) const RAY_TEXT: &[Field] =
    &[required("prompt", ANY), RAY_RATIO, RAY_DURATION, RAY_RESOLUTION, optional("loop", Flag)];

pub(super) const RAY_IMAGE: &[Field] = &[
    required("prompt", ANY),
    optional("image_url", Media),
    optional("end_image_url", Media),
    RAY_RATIO,
    RAY_DURATION,
    RAY_RESOLUTION,
    optional("loop", Flag),
];

/// Any number of seconds: fal publishes the bounds in words only.
const SECONDS: Field = optional("duration", Number);
const RESOLUTION_TO_1080P: Field = optional("resolution", OneOf(&["360p", "540p", "720p", "1080p"]));
const RESOLUTION_HD: Field = optional("resolution", OneOf(&["720p", "1080p"]));
const SAFETY_CHECKER: Field = optional("enable_safety_checker", Flag);

pub(super) const GROK_TEXT: &[Field] = &[
    required("prompt", ANY),
    optional("aspect_ratio", OneOf(&["16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16"])),
    SECONDS,
    optional("resolution", OneOf(&["480p", "720p"])),
];

pub(super) const GROK_IMAGE: &[Field] = &[
    required("prompt", ANY),
    required("image_url", Media),
    optional("aspect_ratio", OneOf(&["auto", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16"])),
    SECONDS,
    optional("resolution", OneOf(&["480p", "720p"])),
];

pub(super) const GROK_15_IMAGE: &[Field] = &[
    required("prompt", ANY),
    required("image_url", Media),
    SECONDS,
    optional("resolution", OneOf(&["480p", "720p", "1080p"])),
];

const WAN_DURATION: Field =
    optional("duration", IntegerOf(&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));

pub(super) const WAN_TEXT: &[Field] = &[
    required("prompt", ANY),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1", "4:3", "3:4"])),
    optional("audio_url", Media),
    WAN_DURATION,
    RESOLUTION_HD,
    optional("negative_prompt", Kind::Text(0, 500)),
    optional("enable_prompt_expansion", Flag),
    SAFETY_CHECKER,
    optional("seed", Integer(0, 2_147_483_647)),
];

pub(super) const WAN_IMAGE: &[Field] = &[
    optional("prompt", ANY),
    optional("image_url", Media),
    optional("end_image_url", Media),
    optional("video_url", Media),
    optional("audio_url", Media),
    WAN_DURATION,
    RESOLUTION_HD,
    optional("negative_prompt", Kind::Text(0, 500)),
    optional("enable_prompt_expansion", Flag),
    SAFETY_CHECKER,
    optional("seed", Integer(0, 2_147_483_647)),
];

const HORSE_DURATION: Field = optional("duration", IntegerOf(&[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));

pub(super) const HORSE_TEXT: &[Field] = &[
    required("prompt", Kind::Text(0, 2_500)),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21", "5:4", "4:5"])),
    HORSE_DURATION,
    RESOLUTION_HD,
    SAFETY_CHECKER,
    optional("seed", Integer(0, 2_147_483_647)),
];

pub(super) const HORSE_IMAGE: &[Field] = &[
    optional("prompt", Kind::Text(0, 2_500)),
    required("image_url", Media),
    HORSE_DURATION,
    RESOLUTION_HD,
    SAFETY_CHECKER,
    optional("seed", Integer(0, 2_147_483_647)),
];

pub(super) const VIDU_TEXT: &[Field] = &[
    required("prompt", Kind::Text(0, 2_000)),
    optional("aspect_ratio", OneOf(&["16:9", "9:16", "4:3", "3:4", "1:1"])),
    SECONDS,
    RESOLUTION_TO_1080P,
    optional("audio", Flag),
    SEED,
];

pub(super) const VIDU_IMAGE: &[Field] = &[
    optional("prompt", Kind::Text(0, 2_000)),
    required("image_url", Media),
    optional("end_image_url", Media),
    SECONDS,
    RESOLUTION_TO_1080P,
    optional("audio", Flag),
    SEED,
];

pub(super) const PIXVERSE_TEXT: &[Field] = &[
    required("prompt", ANY),
    optional("aspect_ratio", OneOf(&["16:9", "4:3", "1:1", "3:4", "9:16", "2:3", "3:2", "21:9"])),
    SECONDS,
    RESOLUTION_TO_1080P,
    NEGATIVE_PROMPT,
    optional("generate_audio_switch", Flag),
    optional("generate_multi_clip_switch", Flag),
    SEED,
];

pub(super) const PIXVERSE_IMAGE: &[Field] = &[
    required("prompt", ANY),
    required("image_url", Media),
    SECONDS,
    RESOLUTION_TO_1080P,
    NEGATIVE_PROMPT,
    optional("generate_audio_switch", Flag),
    optional("generate_multi_clip_switch", Flag),
    SEED,
];

const LTX_DURATION: Field = optional("duration", IntegerOf(&[6, 8, 10]));
const LTX_FAST_DURATION: Field = optional("duration", IntegerOf(&[6, 8, 10, 12, 14, 16, 18, 20]));

const fn ltx_text(duration: Field) -> [Field; 6] {
    [
        required("prompt", ANY),
        optional("aspect_ratio", OneOf(&["16:9", "9:16"])),
        duration,
        optional("fps", IntegerOf(&[24, 25, 48, 50])),
        optional("resolution", OneOf(&["1080p", "1440p", "2160p"])),
        GENERATE_AUDIO,
    ]
}

const fn ltx_image(duration: Field) -> [Field; 8] {
    let [prompt, _, duration, fps, resolution, audio] = ltx_text(duration);
    let ratio = optional("aspect_ratio", OneOf(&["auto", "16:9", "9:16"]));
    let [image, last] = [required("image_url", Media), optional("end_image_url", Media)];
    [prompt, image, last, ratio, duration, fps, resolution, audio]
}

pub(super) const LTX_TEXT: &[Field] = &ltx_text(LTX_DURATION);
pub(super) const LTX_IMAGE: &[Field] = &ltx_image(LTX_DURATION);
pub(super) const LTX_FAST_TEXT: &[Field] = &ltx_text(LTX_FAST_DURATION);
pub(super) const LTX_FAST_IMAGE: &[Field] = &ltx_image(LTX_FAST_DURATION);

pub(super) const NANO_BANANA_PRO: &[Field] = &[
    required("prompt", ANY),
    optional(
        "aspect_ratio",
        OneOf(&["auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"]),
    ),
    optional("resolution", OneOf(&["1K", "2K", "4K"])),
    optional("output_format", OneOf(&["jpeg", "png", "webp"])),
    optional("num_images", Integer(1, 4)),
    SEED,
];

pub(super) const NANO_BANANA: &[Field] = &[
    required("prompt", ANY),
    optional(
        "aspect_ratio",
        OneOf(&[
            "auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "4:1", "1:4",
            "8:1", "1:8",
        ]),
    ),
    optional("resolution", OneOf(&["0.5K", "1K", "2K", "4K"])),
    optional("output_format", OneOf(&["jpeg", "png", "webp"])),
    optional("num_images", Integer(1, 4)),
    SEED,
];
