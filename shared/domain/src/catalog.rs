//! The catalogue: models, their routes, limits and prices, read from `catalog.toml`.

mod fields;
mod model;
mod own;
pub mod sync;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::credit::{Credits, MicroUsd};
use super::payment::offer::Topups;
use super::provider::Provider;
use super::time::Timestamp;

pub use fields::{DurationFormat, Fields, size_key};
pub use model::{Defaults, Kind, Model};
pub use own::{Mistake, Mistakes};

/// `catalog.toml` as JSON.
const BUILT_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/catalog.json"));

/// Length of a provider's name of a model, in bytes: it is part of a stored attempt.
const ENDPOINT_MAX: usize = 200;

/// All models, and retired ones.
#[derive(Debug, Clone)]
pub struct Catalog {
    models: BTreeMap<String, Model>,
    retired: Vec<Retired>,
    /// No longer sold, and still known to attempts that run there.
    unsold: Vec<Model>,
    /// What an owner's file says without effect.
    notes: Vec<String>,
    topups: Topups,
}

/// The price or cost of media of one resolution, in micro-credits or micro-dollars: per second, duration or image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u64>,
    /// Replaces `per_second` with sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second_audio: Option<u64>,
    /// Total by duration in seconds, where the price is not linear. Other durations are not available.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_length: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_image: Option<u64>,
    /// The only available durations, in seconds; empty: every duration of the route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lengths_s: Vec<u32>,
}

/// A model at a provider: its endpoints, and the requests that it accepts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub provider: Provider,
    /// The provider's name for the model, or its endpoint for requests without an image.
    pub endpoint: Option<String>,
    /// The same for requests with an image; absent if images are not accepted.
    pub image_endpoint: Option<String>,
    /// The same for requests with an image and a last frame, if different.
    pub last_frame_endpoint: Option<String>,
    /// Whether a request with an image may have a last frame.
    #[serde(default)]
    pub last_frame: bool,
    /// Empty for images.
    #[serde(default)]
    pub durations_s: Vec<u32>,
    pub aspect_ratios: Vec<String>,
    /// Aspect ratios with an image; empty if the media follows the image.
    #[serde(default)]
    pub image_aspect_ratios: Vec<String>,
    pub resolutions: Vec<String>,
    pub prompt_max: usize,
    #[serde(default)]
    pub prompt_unit: PromptUnit,
    #[serde(default)]
    pub seed: bool,
    /// The range of accepted seeds, if limited.
    pub seeds: Option<[u32; 2]>,
    #[serde(default)]
    pub negative_prompt: bool,
    #[serde(default)]
    pub audio: Audio,
    #[serde(default)]
    pub duration_format: DurationFormat,
    #[serde(default)]
    pub fields: Fields,
    /// How long a job usually runs there, in seconds; default: the model's value.
    pub expected_s: Option<u32>,
    /// How long the provider keeps a result, in seconds; absent if at least a day.
    pub retention_s: Option<u64>,
    /// Our cost, in micro-dollars, by resolution.
    pub cost: BTreeMap<String, Tariff>,
}

/// Whether a route generates sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audio {
    #[default]
    Never,
    /// As requested, at the resolutions that have a cost with sound.
    Switch,
    /// Always.
    Always,
}

/// The unit in which a provider counts the length of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptUnit {
    #[default]
    Chars,
    /// UTF-16 code units, as in JavaScript.
    Utf16,
}

/// A retired model that tutorials still name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    pub name: String,
    /// The day of its retirement, as `2026-09-24`.
    pub since: String,
    pub why: String,
    /// Models of the catalogue that replace it.
    pub instead: Vec<String>,
}

/// An invalid catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the catalogue is not valid TOML of the expected shape")]
    Toml(#[from] toml::de::Error),
    #[error("model {model}: {problem}")]
    Model { model: String, problem: String },
    #[error("topups: {problem}")]
    Topups { problem: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    models: Vec<Model>,
    #[serde(default)]
    retired: Vec<Retired>,
    #[serde(default)]
    topups: Topups,
}

impl Catalog {
    /// Reads and checks a whole catalogue; the first mistake is the error.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let File { models: listed, retired, topups } = toml::from_str(text)?;
        let wrong = |model: &str, problem: String| CatalogError::Model { model: model.to_owned(), problem };
        let mut models = BTreeMap::new();
        for model in listed {
            model.check().map_err(|problem| wrong(&model.name, problem))?;
            if let Some(duplicate) = models.insert(model.name.clone(), model) {
                return Err(wrong(&duplicate.name, "is named twice".to_owned()));
            }
        }
        for old in &retired {
            if models.contains_key(&old.name) {
                return Err(wrong(&old.name, "is retired and for sale".to_owned()));
            }
            if let Some(missing) = old.instead.iter().find(|name| !models.contains_key(*name)) {
                return Err(wrong(&old.name, format!("is replaced by {missing}, which does not exist")));
            }
        }
        topups.check().map_err(|problem| CatalogError::Topups { problem })?;
        Ok(Self { models, retired, unsold: Vec::new(), notes: Vec::new(), topups })
    }

    /// The compiled-in catalogue. A test checks it, a start need not.
    pub fn built_in() -> Self {
        let File { models, retired, topups } =
            serde_json::from_str(BUILT_IN).expect("a test reads the catalogue that is compiled in");
        let models = models.into_iter().map(|model| (model.name.clone(), model)).collect();
        Self { models, retired, unsold: Vec::new(), notes: Vec::new(), topups }
    }

    /// The compiled-in catalogue, without the routes of providers that are not configured.
    pub fn for_providers(providers: &[Provider]) -> Self {
        Self::built_in().only(providers)
    }

    /// Sells no routes of other providers, and no models that have no route left. Attempts that run
    /// there still find them.
    #[must_use]
    pub fn only(mut self, providers: &[Provider]) -> Self {
        for model in self.models.values_mut() {
            let is_other = |route: &mut Route| !providers.contains(&route.provider);
            let routes: Vec<_> = model.routes.extract_if(.., is_other).collect();
            if !routes.is_empty() {
                self.unsold.push(Model { routes, ..model.clone() });
            }
        }
        self.models.retain(|_, model| !model.routes.is_empty());
        self
    }

    /// The packs and amounts of credits that are sold.
    pub const fn topups(&self) -> &Topups {
        &self.topups
    }

    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }

    pub fn names(&self) -> Vec<String> {
        self.models.keys().cloned().collect()
    }

    /// What deserves a second look: lines without effect, and what is sold for less than it costs.
    pub fn warnings(&self) -> Vec<String> {
        self.notes.iter().cloned().chain(self.losses()).collect()
    }

    fn losses(&self) -> Vec<String> {
        let mut losses = Vec::new();
        for (model, route) in self.models().flat_map(|model| model.routes.iter().map(move |it| (model, it))) {
            for (length, resolution, audio) in route.takes() {
                let price = model.price.get(resolution).and_then(|price| price.amount(length, audio));
                let (price, cost) = (price.map(Credits::from_micros), route.cost(length, resolution, audio));
                if let Some((price, cost)) = price.zip(cost)
                    && price < cost.as_credits()
                {
                    let what = media_name(length, resolution, audio);
                    let (name, route) = (&model.name, route.name());
                    losses.push(format!(
                        "model `{name}`, route `{route}`: {what} is sold for {price} credits and costs {cost}"
                    ));
                }
            }
        }
        losses
    }

    /// What can be ordered now, by name.
    pub fn sold(&self, now: Timestamp) -> impl Iterator<Item = &Model> {
        self.models().filter(move |model| !model.has_ended(now))
    }

    /// The model of this name, if it can be ordered now.
    pub fn sold_as(&self, name: &str, now: Timestamp) -> Option<&Model> {
        self.model(name).filter(|model| !model.has_ended(now))
    }

    /// What can no longer be ordered, with the replacements that can.
    pub fn retired(&self, now: Timestamp) -> Vec<Retired> {
        let ended = self.models().filter(|model| model.has_ended(now)).map(|model| Retired {
            name: model.name.clone(),
            since: model.ends.clone().unwrap_or_default(),
            why: "it has reached its last day".to_owned(),
            instead: model.instead.clone(),
        });
        let mut retired: Vec<_> = self.retired.iter().cloned().chain(ended).collect();
        for old in &mut retired {
            old.instead.retain(|name| self.sold_as(name, now).is_some());
        }
        retired
    }
}

/// A duration, resolution and sound in words: `5 s of 720p without sound`.
fn media_name(duration_s: Option<u32>, resolution: &str, audio: bool) -> String {
    let length = duration_s.map_or_else(String::new, |seconds| format!("{seconds} s of "));
    let sound = if audio { "with" } else { "without" };
    format!("{length}{resolution} {sound} sound")
}

impl Tariff {
    /// Each amount times this many percent, rounded up.
    #[must_use]
    pub fn percent(&self, percent: u32) -> Self {
        let part = |amount: u64| {
            let part = (u128::from(amount) * u128::from(percent)).div_ceil(100);
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        Self {
            per_second: self.per_second.map(part),
            per_second_audio: self.per_second_audio.map(part),
            by_length: self.by_length.iter().map(|(length, total)| (length.clone(), part(*total))).collect(),
            per_image: self.per_image.map(part),
            lengths_s: self.lengths_s.clone(),
        }
    }

    /// The price of media of this duration; `None` if not available.
    pub fn amount(&self, duration_s: Option<u32>, audio: bool) -> Option<u64> {
        let Some(seconds) = duration_s else { return self.per_image };
        if !self.lengths_s.is_empty() && !self.lengths_s.contains(&seconds) {
            return None;
        }
        if let Some(total) = self.by_length.get(&seconds.to_string()) {
            return Some(*total);
        }
        let rate = if audio { self.per_second_audio.or(self.per_second) } else { self.per_second };
        rate?.checked_mul(u64::from(seconds))
    }
}

impl Route {
    /// Unique, stable, and recorded with an attempt: `fal/fal-ai/veo3.1`.
    pub fn name(&self) -> String {
        let endpoint = self.endpoint.as_ref().or(self.image_endpoint.as_ref());
        format!("{}/{}", self.provider, endpoint.map_or("", String::as_str))
    }

    /// Whether its endpoints and fields can be sent, and whether each of its values is used.
    fn check(&self) -> Result<(), String> {
        self.check_endpoints()?;
        self.fields.check(self)?;
        if self.prompt_max == 0 || self.durations_s.contains(&0) {
            return Err("`prompt_max` and durations must be above 0".to_owned());
        }
        if self.seeds.is_some_and(|[least, greatest]| least > greatest) {
            return Err("`seeds` must be the smallest and the greatest seed".to_owned());
        }
        if let Some(idle) = self.cost.keys().find(|key| !self.resolutions.contains(key)) {
            return Err(format!("`cost` has `{idle}`, which is not one of its resolutions"));
        }
        let lengths: Vec<_> = self.durations_s.iter().map(u32::to_string).collect();
        let of_lengths = self.cost.values().flat_map(|tariff| {
            tariff.by_length.keys().cloned().chain(tariff.lengths_s.iter().map(u32::to_string))
        });
        match of_lengths.into_iter().find(|length| !lengths.contains(length)) {
            Some(length) => {
                Err(format!("`cost` has a length of `{length}`, which is not one of its durations"))
            }
            None => Ok(()),
        }
    }

    fn check_endpoints(&self) -> Result<(), String> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
        let has_plain = |step: &str| step.bytes().any(|b| b.is_ascii_alphanumeric());
        let is_step = |step: &str| step.bytes().all(is_plain) && has_plain(step);
        match self.endpoints().find(|name| name.len() > ENDPOINT_MAX || !name.split('/').all(is_step)) {
            Some(name) => {
                Err(format!("`{name}` is no endpoint: a-z, A-Z, 0-9, `.`, `_`, `-`, `:` between slashes"))
            }
            None => Ok(()),
        }
    }

    /// Whether media from an image has the image's ratio.
    fn follows_image(&self) -> bool {
        self.image_endpoint.is_some() && self.image_aspect_ratios.is_empty()
    }

    fn ratios(&self) -> impl Iterator<Item = &String> {
        self.aspect_ratios.iter().chain(&self.image_aspect_ratios)
    }

    /// Every name of its model at the provider.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        let all = [&self.endpoint, &self.image_endpoint, &self.last_frame_endpoint];
        all.into_iter().filter_map(Option::as_deref)
    }

    /// Our cost of this media; `None` if the route does not generate it.
    pub fn cost(&self, duration_s: Option<u32>, resolution: &str, audio: bool) -> Option<MicroUsd> {
        let tariff = self.cost.get(resolution)?;
        let possible = match self.audio {
            Audio::Never => !audio,
            Audio::Always => audio,
            Audio::Switch => !audio || tariff.per_second_audio.is_some(),
        };
        tariff.amount(duration_s, audio).filter(|_| possible).map(MicroUsd)
    }

    /// Every combination of duration, resolution and sound of the route.
    pub fn takes(&self) -> Vec<(Option<u32>, &str, bool)> {
        let stills = self.durations_s.is_empty().then_some(None);
        let lengths: Vec<Option<u32>> = self.durations_s.iter().copied().map(Some).chain(stills).collect();
        let all = lengths.into_iter().flat_map(|length| {
            let resolutions = self.resolutions.iter().map(String::as_str);
            resolutions.flat_map(move |resolution| [false, true].map(|audio| (length, resolution, audio)))
        });
        all.filter(|(length, resolution, audio)| self.cost(*length, resolution, *audio).is_some()).collect()
    }
}

#[cfg(test)]
mod tests;
