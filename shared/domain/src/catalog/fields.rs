//! How a model's own input names and writes what a request asks for: providers such as fal and
//! Replicate leave that to each of their models.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Format of a duration of eight seconds, if a provider's models differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurationFormat {
    /// `8`
    #[default]
    Integer,
    /// `"8"`
    Digits,
    /// `"8s"`
    Seconds,
}

/// Field names of a model's input, and values that it writes in its own way. Of a name, absent means
/// the provider's usual one, and empty that the input has no such field. A dot in a name separates
/// an object from its field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    pub prompt: Option<String>,
    pub image_url: Option<String>,
    /// Whether the image is a list of one URL.
    pub image_in_list: bool,
    /// The image of a request with a last frame; absent: as without one.
    pub first_frame_url: Option<String>,
    pub last_frame_url: Option<String>,
    pub duration: Option<String>,
    /// Its values of durations in seconds, such as numbers of frames.
    pub durations: BTreeMap<String, Value>,
    pub aspect_ratio: Option<String>,
    /// Its values of aspect ratios.
    pub aspect_ratios: BTreeMap<String, Value>,
    pub resolution: Option<String>,
    /// Its values of resolutions.
    pub resolutions: BTreeMap<String, Value>,
    /// The one field that replaces resolution and aspect ratio.
    pub size: Option<String>,
    /// Its values, by resolution and ratio: `"1080p 16:9"`, or by resolution alone where the media
    /// follows the image.
    pub sizes: BTreeMap<String, Value>,
    pub seed: Option<String>,
    pub negative_prompt: Option<String>,
    /// The switch for sound.
    pub audio: Option<String>,
    /// The default duration of the model. It is never sent: sources disagree on its format.
    pub unnamed_duration_s: Option<u32>,
    /// Constant fields of the input.
    pub always: BTreeMap<String, Value>,
}

/// The key of [`Fields::sizes`].
pub fn size_key(resolution: &str, aspect_ratio: &str) -> String {
    format!("{resolution} {aspect_ratio}")
}
