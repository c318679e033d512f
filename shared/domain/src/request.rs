//! The request of a caller, parsed and validated once.
//!
//! In one file, because the rules of a request are read together, field by field.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::catalog::{Audio, Catalog, Kind, Model, PromptUnit, Route};
use super::credit::MicroUsd;
use super::endpoint;
use super::id::AccountId;
use super::provider::Provider;
use super::public_url::{self, PublicUrl, Reach};
use super::time::Timestamp;
use super::upload::Upload;
use super::verdict::Fault;
use super::word;

mod image;
mod object;

pub use image::Image;
use image::{IMAGE, LAST_FRAME, Names};
pub use object::{Object, object};

/// The body of `POST /v1/jobs`: well-formed, not yet validated. `null` means absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub model: String,
    pub prompt: String,
    #[serde(default, deserialize_with = "given")]
    pub image_url: Option<String>,
    /// In the place of `image_url`.
    #[serde(default, deserialize_with = "object")]
    pub image: Option<Image>,
    #[serde(default, deserialize_with = "given")]
    pub last_frame_url: Option<String>,
    /// In the place of `last_frame_url`.
    #[serde(default, deserialize_with = "object")]
    pub last_frame: Option<Image>,
    pub duration_s: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    pub aspect_ratio: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub resolution: Option<String>,
    pub fps: Option<u32>,
    pub seed: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    pub negative_prompt: Option<String>,
    pub audio: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    pub fallback_models: Vec<String>,
    pub provider: Option<Provider>,
    #[serde(default, deserialize_with = "or_default")]
    pub pin: bool,
    pub prefer: Option<Prefer>,
    #[serde(default, deserialize_with = "given")]
    pub callback_url: Option<String>,
    #[serde(default, deserialize_with = "members")]
    pub metadata: BTreeMap<String, String>,
}

/// A non-blank text: forms send blank ones for absent fields.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.trim().is_empty()))
}

/// `null` is absent, as in every optional field of a request.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// `null` means absent, also as a value.
fn members<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let members: BTreeMap<String, Option<String>> = or_default(from)?;
    Ok(members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// Preference among otherwise equal routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// The lowest cost for us.
    Cheapest,
    /// The shortest usual duration.
    Fastest,
}

/// A valid request: some route of the model accepts each value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    pub model: String,
    pub prompt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<PublicUrl>,
    /// The last frame of a video; requires `image_url`, its first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_frame_url: Option<PublicUrl>,
    /// Absent for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
    /// Absent if the media follows its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect_ratio: Option<String>,
    pub resolution: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Absent if the model generates no sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback_models: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "word::deserialize_option")]
    pub provider: Option<Provider>,
    #[serde(default)]
    pub pin: bool,
    /// Default: the account's policy, or else the cheapest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<PublicUrl>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The only providers that may make it, by the caller's key; all if empty. Not a member of the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Provider>,
}

/// An invalid field of a request, and the accepted values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub field: Cow<'static, str>,
    pub detail: String,
    /// All accepted values, if they can be listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.detail)?;
        if self.allowed.is_empty() { Ok(()) } else { write!(f, ": {}", self.allowed.join(", ")) }
    }
}

pub const METADATA_PAIRS_MAX: usize = 16;
pub const METADATA_KEY_CHARS_MAX: usize = 64;
pub const METADATA_VALUE_CHARS_MAX: usize = 512;
pub const FALLBACK_MODELS_MAX: usize = 4;

impl JobRequest {
    /// The kind of media that was ordered. Only videos have a duration.
    pub fn kind(&self) -> Kind {
        if self.duration_s.is_some() { Kind::Video } else { Kind::Image }
    }

    /// A fault whose message does not repeat the prompts.
    pub fn redact(&self, fault: Fault) -> Fault {
        fault.without(&self.prompt).without(self.negative_prompt.as_deref().unwrap_or_default())
    }

    /// The request with its defaults, or all its invalid fields.
    pub fn new(order: Order, catalog: &Catalog) -> Result<Self, Vec<FieldError>> {
        Self::within(order, &AccountId::operator(), catalog, Reach::Public, Timestamp::from_secs(0))
    }

    /// As [`JobRequest::new`], with the account whose uploads it may name and the hosts that URLs may have, and
    /// without models that have ended.
    pub fn within(
        order: Order,
        account: &AccountId,
        catalog: &Catalog,
        reach: Reach,
        now: Timestamp,
    ) -> Result<Self, Vec<FieldError>> {
        let Some(model) = catalog.sold_as(&order.model, now) else {
            return Err(vec![unknown_model(&order.model, catalog, now)]);
        };
        let mut errors = Vec::new();
        let mut image = |names: &Names, url: &Option<String>, image: &Option<Image>| {
            let parsed = image::parse(names, url.as_deref(), image.as_ref(), account, reach);
            // A placeholder: the request is rejected with its image.
            parsed.unwrap_or_else(|error| {
                errors.push(error);
                Some(PublicUrl::default())
            })
        };
        let image_url = image(&IMAGE, &order.image_url, &order.image);
        let last_frame_url = image(&LAST_FRAME, &order.last_frame_url, &order.last_frame);
        let callback_url = order.callback_url.as_deref().and_then(|url| {
            let refused = |why| {
                errors.push(wrong(
                    "callback_url",
                    format!("must be {}: {why}", public_url::ALLOWED),
                    Vec::new(),
                ));
            };
            endpoint::callback_url(url, reach).map_err(refused).ok()
        });
        errors.extend(order.form_errors(model, catalog, now));
        let defaults = &model.defaults;
        let follows_image = order.has_image()
            && order.aspect_ratio.is_none()
            && model.routes.iter().any(|route| route.image_aspect_ratios.is_empty());
        let request = Self {
            duration_s: order.duration_s.or(defaults.duration_s),
            aspect_ratio: if follows_image {
                None
            } else {
                order.aspect_ratio.or_else(|| Some(defaults.aspect_ratio.clone()))
            },
            resolution: order.resolution.unwrap_or_else(|| defaults.resolution.clone()),
            audio: order.audio.or(defaults.audio),
            model: order.model,
            prompt: order.prompt,
            image_url,
            last_frame_url,
            seed: order.seed,
            negative_prompt: order.negative_prompt,
            fallback_models: order.fallback_models,
            provider: order.provider,
            pin: order.pin,
            prefer: order.prefer,
            callback_url,
            metadata: order.metadata,
            providers: Vec::new(),
        };
        errors.extend(request.route_errors(model));
        for (names, is_object) in [(IMAGE, order.image.is_some()), (LAST_FRAME, order.last_frame.is_some())] {
            let as_sent = errors.iter_mut().filter(|error| is_object && error.field == names.url);
            as_sent.for_each(|error| error.field = names.object.into());
        }
        if errors.is_empty() { Ok(request) } else { Err(errors) }
    }

    /// Whether this route can serve the whole request.
    pub fn fits(&self, route: &Route) -> bool {
        FIELDS.iter().all(|field| (field.fits)(self, route)) && self.cost(route).is_some()
    }

    /// Our cost on this route; `None` if it does not offer this combination of duration,
    /// resolution and sound.
    pub fn cost(&self, route: &Route) -> Option<MicroUsd> {
        let audio = self.audio.unwrap_or(route.audio == Audio::Always);
        route.cost(self.duration_s, &self.resolution, audio)
    }

    /// The uploads that it has, each with the field that names it.
    pub fn uploads(&self) -> impl Iterator<Item = (&'static str, Upload)> {
        let urls = [("image.upload", &self.image_url), ("last_frame.upload", &self.last_frame_url)];
        urls.into_iter().filter_map(|(field, url)| Some((field, Upload::named(url.as_ref()?)?)))
    }

    /// The SHA-256 of the request, in hex: detects another request with the same idempotency key.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).expect("strings, numbers and maps with string keys serialise");
        data_encoding::HEXLOWER.encode(&Sha256::digest(text))
    }

    /// Fields that no route accepts; or, if each alone is accepted, that no route accepts them
    /// together.
    fn route_errors(&self, model: &Model) -> Vec<FieldError> {
        let pinned = |route: &&Route| !self.pin || self.provider.is_none_or(|name| name == route.provider);
        let routes: Vec<&Route> = model.routes.iter().filter(pinned).collect();
        if routes.is_empty() {
            let allowed = model.routes.iter().map(|route| route.provider.to_string()).collect();
            return vec![wrong(
                "provider",
                "has no route for this model, and `pin` allows no other",
                allowed,
            )];
        }
        if routes.iter().any(|route| self.fits(route)) {
            return Vec::new();
        }
        let misfits: Vec<FieldError> = FIELDS
            .iter()
            .filter(|field| !routes.iter().any(|route| (field.fits)(self, route)))
            .map(|field| {
                let mut allowed: Vec<String> =
                    routes.iter().flat_map(|route| (field.allowed)(self, route)).collect();
                allowed.sort_by_key(|value| (value.parse().unwrap_or(0), value.clone()));
                allowed.dedup();
                wrong(field.name, field.misfit, allowed)
            })
            .collect();
        // The accepted ratios depend on the image: without one, none are listed.
        let image = misfits.iter().any(|error| error.field == "image_url");
        let misfits: Vec<_> =
            misfits.into_iter().filter(|error| !image || error.field != "aspect_ratio").collect();
        if !misfits.is_empty() {
            return misfits;
        }
        let routes = routes.iter().map(|route| route.name()).collect();
        vec![wrong("model", "no route takes these values together, though each alone is taken", routes)]
    }
}

impl Order {
    pub fn has_image(&self) -> bool {
        self.image_url.is_some() || self.image.is_some()
    }

    pub fn has_last_frame(&self) -> bool {
        self.last_frame_url.is_some() || self.last_frame.is_some()
    }

    /// Errors that do not depend on the routes.
    fn form_errors(&self, model: &Model, catalog: &Catalog, now: Timestamp) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut check = |ok: bool, field, detail: String| {
            if !ok {
                errors.push(wrong(field, detail, Vec::new()));
            }
        };
        check(!self.prompt.trim().is_empty(), "prompt", "must not be empty".to_owned());
        let pairs = &self.metadata;
        check(
            pairs.len() <= METADATA_PAIRS_MAX,
            "metadata",
            format!("takes at most {METADATA_PAIRS_MAX} pairs"),
        );
        let lengths = pairs.iter().all(|(key, value)| {
            !key.is_empty()
                && key.chars().count() <= METADATA_KEY_CHARS_MAX
                && value.chars().count() <= METADATA_VALUE_CHARS_MAX
        });
        check(
            lengths,
            "metadata",
            format!(
                "keys of 1 to {METADATA_KEY_CHARS_MAX} and values of up to {METADATA_VALUE_CHARS_MAX} characters"
            ),
        );
        let framed = !self.has_last_frame() || self.has_image();
        check(framed, "last_frame_url", "needs `image_url` or `image`, the first frame".to_owned());
        check(!self.pin || self.provider.is_some(), "pin", "needs `provider`".to_owned());
        let many = self.fallback_models.len() > FALLBACK_MODELS_MAX;
        check(!many, "fallback_models", format!("takes at most {FALLBACK_MODELS_MAX} models"));
        let alike = |other: &&Model| other.kind == model.kind;
        if !self.fallback_models.iter().all(|name| catalog.sold_as(name, now).as_ref().is_some_and(alike)) {
            let allowed = catalog.sold(now).filter(alike).map(|model| model.name.clone()).collect();
            errors.push(wrong("fallback_models", "names a model that makes no such media", allowed));
        }
        if self.fps.is_some() {
            errors.push(wrong(
                "fps",
                "no route of this model lets the frame rate be chosen: leave it out",
                vec![],
            ));
        }
        errors
    }
}

/// A field that depends on the route: whether a route accepts the value, and which it accepts.
struct Field {
    name: &'static str,
    misfit: &'static str,
    fits: fn(&JobRequest, &Route) -> bool,
    allowed: fn(&JobRequest, &Route) -> Vec<String>,
}

const FIELDS: [Field; 9] = [
    Field {
        name: "prompt",
        misfit: "is too long; the longest that is taken, in characters, is in `allowed`",
        fits: |request, route| prompt_length(&request.prompt, route.prompt_unit) <= route.prompt_max,
        allowed: |_, route| vec![route.prompt_max.to_string()],
    },
    Field {
        name: "image_url",
        misfit: "this model works either only with an image or only without one",
        fits: |request, route| match request.image_url {
            Some(_) => route.image_endpoint.is_some(),
            None => route.endpoint.is_some(),
        },
        allowed: |_, _| vec![],
    },
    Field {
        name: "last_frame_url",
        misfit: "this model takes no last frame: leave it out",
        fits: |request, route| request.last_frame_url.is_none() || route.last_frame,
        allowed: |_, _| vec![],
    },
    Field {
        name: "duration_s",
        misfit: "is not a length that this model makes; an image has none",
        fits: |request, route| match request.duration_s {
            Some(duration_s) => route.durations_s.contains(&duration_s),
            None => route.durations_s.is_empty(),
        },
        allowed: |_, route| route.durations_s.iter().map(u32::to_string).collect(),
    },
    Field {
        name: "aspect_ratio",
        misfit: "is not a ratio that this model makes",
        fits: |request, route| match &request.aspect_ratio {
            Some(ratio) => ratios(request, route).contains(ratio),
            None => ratios(request, route).is_empty(),
        },
        allowed: |request, route| ratios(request, route).to_vec(),
    },
    Field {
        name: "resolution",
        misfit: "is not a resolution that this model makes",
        fits: |request, route| route.resolutions.contains(&request.resolution),
        allowed: |_, route| route.resolutions.clone(),
    },
    Field {
        name: "seed",
        misfit: "this model takes no seed, or no such seed: leave it out",
        fits: |request, route| {
            let within =
                |seed| route.seeds.is_none_or(|[least, greatest]| (least..=greatest).contains(&seed));
            request.seed.is_none_or(|seed| route.seed && within(seed))
        },
        allowed: |_, route| {
            let range = route.seeds.map(|[least, greatest]| format!("{least} to {greatest}"));
            range.into_iter().collect()
        },
    },
    Field {
        name: "negative_prompt",
        misfit: "this model takes none, or none of this length; the longest, in characters, is in `allowed`",
        fits: |request, route| {
            request.negative_prompt.as_ref().is_none_or(|text| {
                route.negative_prompt && prompt_length(text, route.prompt_unit) <= route.prompt_max
            })
        },
        allowed: |_, route| {
            let longest = route.negative_prompt.then(|| route.prompt_max.to_string());
            longest.into_iter().collect()
        },
    },
    Field {
        name: "audio",
        misfit: "this model makes sound always or never: leave it out",
        fits: |request, route| match (route.audio, request.audio) {
            (Audio::Never, Some(true)) | (Audio::Always, Some(false)) => false,
            (Audio::Never | Audio::Switch | Audio::Always, _) => true,
        },
        allowed: |_, route| vec![(route.audio == Audio::Always).to_string()],
    },
];

fn unknown_model(name: &str, catalog: &Catalog, now: Timestamp) -> FieldError {
    match catalog.retired(now).into_iter().find(|retired| retired.name == name) {
        Some(old) => {
            wrong("model", format!("has been retired since {}: {}", old.since, old.why), old.instead)
        }
        None => {
            let names = catalog.sold(now).map(|model| model.name.clone()).collect();
            wrong("model", "there is no such model", names)
        }
    }
}

fn ratios<'a>(request: &JobRequest, route: &'a Route) -> &'a [String] {
    if request.image_url.is_some() { &route.image_aspect_ratios } else { &route.aspect_ratios }
}

fn prompt_length(prompt: &str, unit: PromptUnit) -> usize {
    match unit {
        PromptUnit::Chars => prompt.chars().count(),
        PromptUnit::Utf16 => prompt.encode_utf16().count(),
    }
}

fn wrong(field: &'static str, detail: impl Into<String>, allowed: Vec<String>) -> FieldError {
    FieldError { field: field.into(), detail: detail.into(), allowed }
}

#[cfg(test)]
mod tests;
