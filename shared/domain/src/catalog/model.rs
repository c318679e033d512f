//! A model: what callers see of it, when it ends, and the routes of all.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Catalog, Route, Tariff, media_name};
use crate::time::Timestamp;

/// How long before its retirement callers of a model are warned.
const WARNED_BEFORE: Duration = Duration::from_secs(60 * 86_400);

/// A model by its public name, independent of the provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub title: String,
    #[serde(default)]
    pub kind: Kind,
    /// How long a job usually runs, in seconds; for progress and `Retry-After`.
    pub expected_s: u32,
    /// The day of its retirement, in UTC, as `2027-03-01`: no order is accepted from then on.
    pub ends: Option<String>,
    /// Models that replace it.
    #[serde(default)]
    pub instead: Vec<String>,
    pub defaults: Defaults,
    /// The price for callers, in micro-credits, by resolution.
    pub price: BTreeMap<String, Tariff>,
    pub routes: Vec<Route>,
}

/// The kind of media that a model generates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Video,
    /// It has no duration.
    Image,
}

/// Defaults of a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Absent for images.
    pub duration_s: Option<u32>,
    pub aspect_ratio: String,
    pub resolution: String,
    /// Present only if the model can generate sound.
    pub audio: Option<bool>,
}

impl Catalog {
    /// Every route, also what is no longer sold.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.models.values().chain(&self.unsold).flat_map(|model| &model.routes)
    }

    /// The route of this name, also if it is no longer sold.
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes().find(|route| route.name() == name)
    }
}

impl Model {
    /// When its retirement begins.
    pub fn ends_at(&self) -> Option<Timestamp> {
        Timestamp::of_day(self.ends.as_deref()?)
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.ends_at().is_some_and(|end| end <= now)
    }

    /// When callers were first warned of its retirement, and the retirement; `None` before.
    pub fn retirement(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let end = self.ends_at()?;
        let warned = end.minus(WARNED_BEFORE);
        (warned <= now).then_some((warned, end))
    }

    /// Whether each of these resolutions is made by a route.
    pub(super) fn has_resolutions(&self, priced: &[String]) -> Result<(), String> {
        let is_made = |name: &&String| self.routes.iter().any(|route| route.resolutions.contains(name));
        match priced.iter().find(|name| !is_made(name)) {
            Some(idle) => Err(format!("`price` has `{idle}`, a resolution that no route makes")),
            None => Ok(()),
        }
    }

    /// Whether all media that a route makes has a price.
    pub(crate) fn check_prices(&self) -> Result<(), String> {
        let mut takes = self.routes.iter().flat_map(Route::takes);
        let has_none = |(duration_s, resolution, audio): &(Option<u32>, &str, bool)| {
            let price = self.price.get(*resolution).and_then(|tariff| tariff.amount(*duration_s, *audio));
            price.is_none()
        };
        match takes.find(has_none) {
            Some((duration_s, resolution, audio)) => {
                Err(format!("has no price for {}", media_name(duration_s, resolution, audio)))
            }
            None => Ok(()),
        }
    }

    /// Every request that a route accepts has a price, and the defaults are acceptable.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.routes.is_empty() {
            return Err("has no route".to_owned());
        }
        if let Some(day) = self.ends.as_ref().filter(|_| self.ends_at().is_none()) {
            return Err(format!("`ends` must be a day like 2027-03-01, not `{day}`"));
        }
        for route in &self.routes {
            let name = route.name();
            route.check().map_err(|problem| format!("route {name}: {problem}"))?;
            if route.endpoint.is_none() && route.image_endpoint.is_none() {
                return Err(format!("route {name} has no endpoint"));
            }
            if route.last_frame && route.image_endpoint.is_none() {
                return Err(format!("route {name} takes a last frame and no image"));
            }
            if route.last_frame_endpoint.is_some() && !route.last_frame {
                return Err(format!("route {name} has an endpoint for last frames and takes none"));
            }
            if route.durations_s.is_empty() != (self.kind == Kind::Image) {
                return Err(format!("route {name} needs durations if, and only if, it makes videos"));
            }
            let takes = route.takes();
            if let Some(idle) =
                route.resolutions.iter().find(|resolution| takes.iter().all(|take| take.1 != *resolution))
            {
                return Err(format!("route {name} has no cost for {idle}"));
            }
        }
        self.check_prices()?;
        let Defaults { duration_s, aspect_ratio, resolution, audio } = &self.defaults;
        // A model that needs an image may follow its ratio on every route.
        let needs_image = self.routes.iter().all(|route| route.endpoint.is_none());
        let ratio = |route: &Route| {
            let follows_image = needs_image && route.image_aspect_ratios.is_empty();
            let ratios = [&route.aspect_ratios, &route.image_aspect_ratios];
            follows_image || ratios.iter().any(|ratios| ratios.contains(aspect_ratio))
        };
        let take = (*duration_s, resolution.as_str(), audio.unwrap_or(false));
        if !self.routes.iter().any(|route| route.takes().contains(&take) && ratio(route)) {
            return Err("no route takes the defaults".to_owned());
        }
        Ok(())
    }
}
