//! Choice of the route for an attempt.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attempt::Phase;
use super::catalog::{Catalog, Route};
use super::job::Job;
use super::provider::Provider;
use super::request::{JobRequest, Prefer};
use super::verdict::ErrorClass;

/// Health of a provider, from the health checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    #[default]
    Healthy,
    Degraded,
    Down,
}

impl Health {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// The state of a provider when a route is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    pub health: Health,
    /// Its breaker is open.
    pub breaker_open: bool,
    /// It admits nothing now: paused, at a limit or backing off.
    pub not_admitted: bool,
    /// Latency of its latest ping.
    pub latency_ms: Option<u64>,
    /// Its routes that were recently reported as not found.
    pub missing_routes: Vec<String>,
    /// It is a simulator.
    pub simulated: bool,
}

impl Standing {
    /// Whether it is used only if every candidate is down.
    pub fn is_down(&self) -> bool {
        self.breaker_open || self.health == Health::Down
    }
}

/// Why there is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// No usable route is left, for this reason.
    Exhausted(ErrorClass),
    /// No provider with a usable route admits the attempt now.
    NotAdmitted,
}

/// The route for a job's next attempt; or, if there is none, why.
///
/// Sort key of the capable routes: (missing, down, breaker open, tries by this job, model rank,
/// health, preferred, speed, cost). Speed counts only for requests that prefer the fastest. If
/// every candidate is down, the best is tried: a health check can be wrong, and attempts are
/// bounded. A route that rejected this job for a permanent reason is not tried again. All attempts
/// of a job go to real providers, or all to simulators.
pub fn choose<'a>(
    job: &Job,
    request: &JobRequest,
    catalog: &'a Catalog,
    standings: &BTreeMap<Provider, Standing>,
) -> Result<&'a Route, NoRoute> {
    let last_class =
        job.attempts.iter().rev().find_map(|attempt| attempt.fault.as_ref()).map(|fault| fault.class);
    let standing = |route: &Route| standings.get(&route.provider).cloned().unwrap_or_default();
    let fitting: Vec<_> = fitting(request, catalog).collect();
    let simulated = is_simulated(job, request, fitting.iter().map(|(_, route)| *route), standing);
    let (admitted, waiting): (Vec<_>, Vec<_>) = fitting
        .into_iter()
        .filter(|(_, route)| standing(route).simulated == simulated && is_usable(job, route))
        .partition(|(_, route)| !standing(route).not_admitted);
    let none = match waiting.is_empty() {
        true => NoRoute::Exhausted(last_class.unwrap_or(ErrorClass::ProviderUnavailable)),
        false => NoRoute::NotAdmitted,
    };
    let best = admitted.into_iter().min_by_key(|((rank, takes_s), route)| {
        let preferred = request.provider == Some(route.provider);
        let standing = standing(route);
        let down =
            (standing.missing_routes.contains(&route.name()), standing.is_down(), standing.breaker_open);
        let speed = match request.prefer {
            Some(Prefer::Fastest) => (*takes_s, standing.latency_ms.unwrap_or(u64::MAX)),
            Some(Prefer::Cheapest) | None => (0, 0),
        };
        (down, tries(job, route), *rank, standing.health, !preferred, speed, request.cost(route))
    });
    best.map(|(_, route)| route).ok_or(none)
}

/// The routes that can serve a request, and the usual duration of each in seconds: in the order in
/// which they are tried while all providers are healthy.
pub fn offered<'a>(request: &JobRequest, catalog: &'a Catalog) -> Vec<(&'a Route, u32)> {
    let mut routes: Vec<_> = fitting(request, catalog).collect();
    routes.sort_by_key(|((rank, takes_s), route)| {
        let speed = if request.prefer == Some(Prefer::Fastest) { *takes_s } else { 0 };
        (*rank, request.provider != Some(route.provider), speed, request.cost(route))
    });
    routes.into_iter().map(|((_, takes_s), route)| (route, takes_s)).collect()
}

/// The routes that can serve a request, each with the rank of its model among those that the request
/// names, and its usual duration in seconds.
fn fitting<'a>(
    request: &JobRequest,
    catalog: &'a Catalog,
) -> impl Iterator<Item = ((usize, u32), &'a Route)> {
    let names = std::iter::once(&request.model).chain(&request.fallback_models);
    let routes = names.filter_map(|name| catalog.model(name)).enumerate().flat_map(|(rank, model)| {
        let takes = |route: &Route| route.expected_s.unwrap_or(model.expected_s);
        model.routes.iter().map(move |route| ((rank, takes(route)), route))
    });
    routes.filter(|(_, route)| request.fits(route) && pinned(request, route) && allowed(request, route))
}

/// Whether a job's attempts go to simulators. Provider health does not matter: an outage of the
/// real ones never yields a simulated video.
fn is_simulated<'a>(
    job: &Job,
    request: &JobRequest,
    fitting: impl Iterator<Item = &'a Route> + Clone,
    standing: impl Fn(&Route) -> Standing,
) -> bool {
    if let Some(first) = job.attempts.first() {
        return first.simulated;
    }
    let mut preferred = fitting.clone().filter(|route| request.provider == Some(route.provider));
    let mut fitting = fitting;
    match preferred.next() {
        Some(route) => standing(route).simulated,
        None => fitting.all(|route| standing(route).simulated),
    }
}

fn pinned(request: &JobRequest, route: &Route) -> bool {
    !request.pin || request.provider.is_none_or(|provider| provider == route.provider)
}

fn allowed(request: &JobRequest, route: &Route) -> bool {
    request.providers.is_empty() || request.providers.contains(&route.provider)
}

fn tries(job: &Job, route: &Route) -> usize {
    let name = route.name();
    job.attempts.iter().filter(|attempt| attempt.route == name).count()
}

/// Whether earlier attempts leave the route usable. A rejected key or an empty balance rules out
/// its provider, a missing model rules out its route, an outage or a rate limit is transient.
fn is_usable(job: &Job, route: &Route) -> bool {
    job.attempts.iter().filter(|attempt| attempt.provider == route.provider).all(|attempt| {
        match attempt.phase {
            Phase::NotSent => true,
            Phase::Sending
            | Phase::Unclear
            | Phase::Running
            | Phase::Finished
            | Phase::Refused
            | Phase::PresumedRefused
            | Phase::Broke
            | Phase::Canceled
            | Phase::Lost
            | Phase::Other(_) => attempt.fault.as_ref().is_none_or(|fault| match fault.class {
                ErrorClass::RouteGone => attempt.route != route.name(),
                class => class.is_transient(),
            }),
        }
    })
}

#[cfg(test)]
mod tests;
