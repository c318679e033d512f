//! How a model's own input names and writes what a request asks for: providers such as fal and
//! Replicate leave that to each of their models.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Audio, Route};

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

impl Fields {
    /// Whether the input has room for everything that the route takes, and uses every value here.
    pub(super) fn check(&self, route: &Route) -> Result<(), String> {
        self.check_names(route)?;
        self.check_values(route)?;
        let values = [&self.durations, &self.aspect_ratios, &self.resolutions, &self.sizes, &self.always];
        let mut values = values.into_iter().flatten();
        match values.find(|(_, value)| has_null(value)) {
            Some((key, _)) => Err(format!("`fields`: `{key}` is not a finite number")),
            None => Ok(()),
        }
    }

    /// The fields that requests of this route may have, each with its name.
    fn names(&self, route: &Route) -> Vec<(&'static str, String)> {
        let mut names = Vec::new();
        let mut add = |has: bool, key: &'static str, own: &Option<String>, usual: &str| {
            let name = own.clone().unwrap_or_else(|| usual.to_owned());
            names.extend((has && !name.is_empty()).then_some((key, name)));
        };
        add(true, "prompt", &self.prompt, "prompt");
        add(!route.durations_s.is_empty(), "duration", &self.duration, "duration");
        add(self.size.is_some(), "size", &self.size, "");
        add(self.size.is_none(), "resolution", &self.resolution, "resolution");
        add(self.size.is_none(), "aspect_ratio", &self.aspect_ratio, "aspect_ratio");
        add(route.image_endpoint.is_some(), "image_url", &self.image_url, "image_url");
        add(route.last_frame, "last_frame_url", &self.last_frame_url, "end_image_url");
        add(route.seed, "seed", &self.seed, "seed");
        add(route.negative_prompt, "negative_prompt", &self.negative_prompt, "negative_prompt");
        add(route.audio == Audio::Switch, "audio", &self.audio, "generate_audio");
        names.extend(self.always.keys().map(|name| ("always", name.clone())));
        names
    }

    fn check_names(&self, route: &Route) -> Result<(), String> {
        let names = self.names(route);
        if names.iter().all(|(key, _)| *key != "prompt") {
            return Err("`fields.prompt` must not be empty".to_owned());
        }
        let first = self.first_frame_url.iter().map(|name| ("first_frame_url", name));
        let all = names.iter().map(|(key, name)| (*key, name)).chain(first);
        for (key, name) in all.clone() {
            if !name.split('.').all(|step| !step.is_empty() && step.chars().all(|c| c.is_ascii_graphic())) {
                return Err(format!("`fields.{key}`: `{name}` is no name of a field"));
            }
            // An image has one of its two names at a time.
            let others = all
                .clone()
                .filter(|(other, _)| *other != key && !(*other == "image_url" && key == "first_frame_url"));
            let holds = |outer: &str, inner: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if let Some((other, taken)) = others.clone().find(|(_, other)| holds(name, other)) {
                let is_image = key == "image_url" && other == "first_frame_url";
                if !is_image {
                    return Err(format!("`fields.{key}` and `fields.{other}` are both `{taken}`"));
                }
            }
        }
        Ok(())
    }

    fn check_values(&self, route: &Route) -> Result<(), String> {
        let lengths = route.durations_s.iter().filter(|length| Some(**length) != self.unnamed_duration_s);
        let lengths: Vec<_> = lengths.map(u32::to_string).collect();
        let ratios: Vec<_> = route.ratios().cloned().collect();
        let of_ratios =
            ratios.iter().flat_map(|ratio| route.resolutions.iter().map(move |it| size_key(it, ratio)));
        let bare = route.resolutions.iter().filter(|_| route.follows_image()).cloned();
        let sizes: Vec<_> = if self.size.is_some() { of_ratios.chain(bare).collect() } else { Vec::new() };
        let needs = |values: &BTreeMap<_, _>| !values.is_empty();
        for (key, values, known, is_complete) in [
            ("durations", &self.durations, &lengths, needs(&self.durations)),
            ("aspect_ratios", &self.aspect_ratios, &ratios, false),
            ("resolutions", &self.resolutions, &route.resolutions, false),
            ("sizes", &self.sizes, &sizes, true),
        ] {
            if let Some(idle) = values.keys().find(|value| !known.contains(value)) {
                return Err(format!("`fields.{key}` has `{idle}`, which no request has"));
            }
            if let Some(missing) = known.iter().find(|known| is_complete && !values.contains_key(*known)) {
                return Err(format!("`fields.{key}` has no value for `{missing}`"));
            }
        }
        Ok(())
    }
}

/// TOML has no null: it stands for a number that JSON lacks.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
