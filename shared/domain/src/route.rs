//! Which route an attempt takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attempt::Phase;
use super::catalog::{Catalog, Route};
use super::job::Job;
use super::provider::Provider;
use super::request::{JobRequest, Prefer};
use super::verdict::ErrorClass;

/// How a provider has been doing, as the health checks see it.
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

/// How a provider stands when a route is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    pub health: Health,
    /// Its breaker is open: calls have failed.
    pub broken: bool,
    /// It takes nothing now: paused, full, or asked to be left alone.
    pub closed: bool,
    /// Of its latest ping.
    pub latency_ms: Option<u64>,
    /// Names of its routes that it lately did not have.
    pub gone: Vec<String>,
    /// It is a simulator: what it makes is not real.
    pub simulated: bool,
}

impl Standing {
    /// Whether it is asked only if all that could be asked look so.
    pub fn is_down(&self) -> bool {
        self.broken || self.health == Health::Down
    }
}

/// Why there is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// None is left to try; the class says why.
    Ever(ErrorClass),
    /// There is one, and its provider takes nothing now.
    Now,
}

/// The route for a job's next attempt; or, if there is none, why.
///
/// Capable routes only, and those that are gone or down last, of those the ones with an open breaker; then
/// those that this job has tried least; then the model's before those of its fallback models
/// in their order; then healthy before degraded, a preferred provider before others, and the
/// cheapest, or the fastest for who prefers that. If everything looks down one is tried all
/// the same: a health check can be wrong, and attempts are bounded.
/// A route that refused this job for a reason that lasts is not tried again.
/// All attempts of a job go to real providers, or all to simulators.
pub fn choose<'a>(
    job: &Job,
    request: &JobRequest,
    catalog: &'a Catalog,
    standings: &BTreeMap<Provider, Standing>,
) -> Result<&'a Route, NoRoute> {
    let last_class =
        job.attempts.iter().rev().find_map(|attempt| attempt.fault.as_ref()).map(|fault| fault.class);
    let names = std::iter::once(&request.model).chain(&request.fallback_models);
    let usable = names.filter_map(|name| catalog.model(name)).enumerate().flat_map(|(rank, model)| {
        let takes = |route: &Route| route.expected_s.unwrap_or(model.expected_s);
        model.routes.iter().map(move |route| ((rank, takes(route)), route))
    });
    let standing = |route: &Route| standings.get(&route.provider).cloned().unwrap_or_default();
    let fitting: Vec<_> = usable.filter(|(_, route)| request.fits(route) && pinned(request, route)).collect();
    let simulated = is_simulated(job, request, fitting.iter().map(|(_, route)| *route), standing);
    let (open, closed): (Vec<_>, Vec<_>) = fitting
        .into_iter()
        .filter(|(_, route)| standing(route).simulated == simulated && lasts(job, route))
        .partition(|(_, route)| !standing(route).closed);
    let none = match closed.is_empty() {
        true => NoRoute::Ever(last_class.unwrap_or(ErrorClass::ProviderUnavailable)),
        false => NoRoute::Now,
    };
    let best = open.into_iter().min_by_key(|((rank, takes_s), route)| {
        let preferred = request.provider == Some(route.provider);
        let standing = standing(route);
        let down = (standing.gone.contains(&route.name()), standing.is_down(), standing.broken);
        let speed = match request.prefer {
            Some(Prefer::Fastest) => (*takes_s, standing.latency_ms.unwrap_or(u64::MAX)),
            Some(Prefer::Cheapest) | None => (0, 0),
        };
        (down, tries(job, route), *rank, standing.health, !preferred, speed, request.cost(route))
    });
    best.map(|(_, route)| route).ok_or(none)
}

/// Whether a job's attempts go to simulators. That does not depend on how any provider is doing:
/// an outage of the real ones never makes a job end with a simulated video.
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

fn tries(job: &Job, route: &Route) -> usize {
    let name = route.name();
    job.attempts.iter().filter(|attempt| attempt.route == name).count()
}

/// Whether nothing that was learnt rules the route out: a bad key or an empty balance
/// rules out its provider, a model that is gone its route, an outage or a rate limit passes.
fn lasts(job: &Job, route: &Route) -> bool {
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
                class => class.passes(),
            }),
        }
    })
}

#[cfg(test)]
mod tests;
