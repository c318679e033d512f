//! What can be ordered: models, their routes, limits, prices. Data, read from `catalog.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::credit::{Credits, MicroUsd};
use super::provider::Provider;

/// Every model that callers can name.
#[derive(Debug, Clone)]
pub struct Catalog {
    models: BTreeMap<String, Model>,
}

/// A model as callers know it, whoever runs it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub title: String,
    /// How long a job usually runs, in seconds; for progress and `Retry-After`.
    pub expected_s: u32,
    pub defaults: Defaults,
    /// What callers pay, by resolution.
    pub price: BTreeMap<String, Price>,
    pub routes: Vec<Route>,
}

/// What an order means where it says nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    pub duration_s: u32,
    pub aspect_ratio: String,
    pub resolution: String,
    /// Present only where the model can make sound.
    pub audio: Option<bool>,
}

/// Micro-credits per second of video.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub per_second: Credits,
    /// Instead of `per_second` when sound is asked for.
    pub per_second_audio: Option<Credits>,
}

/// A model at a provider: where to send an order, and which orders it takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub provider: Provider,
    /// The provider's name for the model (Runway) or its endpoint for text (fal).
    pub endpoint: Option<String>,
    /// The same for orders with an image; absent where images are not taken.
    pub image_endpoint: Option<String>,
    pub durations_s: Vec<u32>,
    pub aspect_ratios: Vec<String>,
    /// Ratios for orders with an image; empty where the video follows the image.
    #[serde(default)]
    pub image_aspect_ratios: Vec<String>,
    pub resolutions: Vec<String>,
    pub prompt_max: usize,
    #[serde(default)]
    pub prompt_unit: PromptUnit,
    #[serde(default)]
    pub seed: bool,
    #[serde(default)]
    pub negative_prompt: bool,
    #[serde(default)]
    pub audio: bool,
    #[serde(default)]
    pub duration_format: DurationFormat,
    /// What a second of video costs us, by resolution, in micro-dollars.
    pub cost_per_second: BTreeMap<String, MicroUsd>,
    /// The same with sound, where it differs.
    #[serde(default)]
    pub cost_per_second_audio: BTreeMap<String, MicroUsd>,
}

/// In what a provider counts the length of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptUnit {
    #[default]
    Chars,
    /// UTF-16 code units, as JavaScript counts.
    Utf16,
}

/// How a provider writes a duration of eight seconds.
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

/// Something in the catalogue that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the catalogue is not valid TOML of the expected shape")]
    Toml(#[from] toml::de::Error),
    #[error("model {model}: {problem}")]
    Model { model: String, problem: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    models: Vec<Model>,
}

impl Catalog {
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let file: File = toml::from_str(text)?;
        let mut models = BTreeMap::new();
        for model in file.models {
            model.check().map_err(|problem| CatalogError::Model { model: model.name.clone(), problem })?;
            let name = model.name.clone();
            if models.insert(name.clone(), model).is_some() {
                return Err(CatalogError::Model { model: name, problem: "is named twice".to_owned() });
            }
        }
        Ok(Self { models })
    }

    /// The catalogue that is compiled in, less the routes of providers that are not configured.
    pub fn for_providers(providers: &[Provider]) -> Self {
        let mut catalog = Self::parse(include_str!("../../catalog.toml"))
            .expect("a test parses the catalogue that is compiled in");
        for model in catalog.models.values_mut() {
            model.routes.retain(|route| providers.contains(&route.provider));
        }
        catalog.models.retain(|_, model| !model.routes.is_empty());
        catalog
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
}

impl Model {
    /// Every order that a route takes has a price and a cost, and the defaults are takeable.
    fn check(&self) -> Result<(), String> {
        if self.routes.is_empty() {
            return Err("has no route".to_owned());
        }
        for route in &self.routes {
            let name = route.name();
            if route.endpoint.is_none() && route.image_endpoint.is_none() {
                return Err(format!("route {name} has no endpoint"));
            }
            for resolution in &route.resolutions {
                if !self.price.contains_key(resolution) {
                    return Err(format!("has no price for {resolution}"));
                }
                if !route.cost_per_second.contains_key(resolution) {
                    return Err(format!("route {name} has no cost for {resolution}"));
                }
            }
        }
        let some = |test: &dyn Fn(&Route) -> bool| self.routes.iter().any(test);
        let defaults = &self.defaults;
        if !some(&|route| route.durations_s.contains(&defaults.duration_s)) {
            return Err("no route takes the default duration".to_owned());
        }
        if !some(&|route| route.resolutions.contains(&defaults.resolution)) {
            return Err("no route takes the default resolution".to_owned());
        }
        let ratios = |route: &Route| {
            route.aspect_ratios.contains(&defaults.aspect_ratio)
                || route.image_aspect_ratios.contains(&defaults.aspect_ratio)
        };
        if !some(&ratios) {
            return Err("no route takes the default aspect ratio".to_owned());
        }
        Ok(())
    }
}

impl Route {
    /// Unique within a model, stable, and what a job's attempt records: `fal/fal-ai/veo3.1`.
    pub fn name(&self) -> String {
        let endpoint = self.endpoint.as_ref().or(self.image_endpoint.as_ref());
        format!("{}/{}", self.provider, endpoint.map_or("", String::as_str))
    }

    /// What an order of this length costs us.
    pub fn cost(&self, duration_s: u32, resolution: &str, audio: bool) -> Option<MicroUsd> {
        let with_audio = audio.then(|| self.cost_per_second_audio.get(resolution)).flatten();
        let per_second = with_audio.or_else(|| self.cost_per_second.get(resolution))?;
        per_second.0.checked_mul(u64::from(duration_s)).map(MicroUsd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_that_is_compiled_in_is_valid() {
        let catalog = Catalog::for_providers(&Provider::ALL);
        assert!(catalog.models().count() >= 5);
    }

    #[test]
    fn an_unconfigured_provider_takes_its_routes_and_lone_models_away() {
        let catalog = Catalog::for_providers(&[Provider::Runway]);
        assert!(catalog.model("gen-4.5").is_some());
        assert!(catalog.model("pika-2.2").is_none());
        let veo = catalog.model("veo-3.1").unwrap();
        assert!(veo.routes.iter().all(|route| route.provider == Provider::Runway));
    }

    #[test]
    fn a_resolution_without_a_price_is_refused() {
        let text = include_str!("../../catalog.toml").replacen("\"1080p\"", "\"1081p\"", 1);
        assert!(Catalog::parse(&text).is_err());
    }
}
