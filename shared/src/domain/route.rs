//! Which route an attempt takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attempt::Phase;
use super::catalog::{Catalog, Route};
use super::job::Job;
use super::provider::Provider;
use super::request::JobRequest;
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

/// The route for a job's next attempt; or, if none is left, why.
///
/// Capable routes only, and down ones last; then those that this job has tried least; then
/// the model's before those of its fallback models in their order; then healthy before
/// degraded, a preferred provider before others, and the cheapest. If everything looks down
/// one is tried all the same: a health check can be wrong, and attempts are bounded.
/// A route that refused this job for a reason that lasts is not tried again.
pub fn choose<'a>(
    job: &Job,
    request: &JobRequest,
    catalog: &'a Catalog,
    health: &BTreeMap<Provider, Health>,
) -> Result<&'a Route, ErrorClass> {
    let last_class =
        job.attempts.iter().rev().find_map(|attempt| attempt.fault.as_ref()).map(|fault| fault.class);
    let names = std::iter::once(&request.model).chain(&request.fallback_models);
    let usable = names
        .filter_map(|name| catalog.model(name))
        .enumerate()
        .flat_map(|(rank, model)| model.routes.iter().map(move |route| (rank, route)));
    usable
        .filter(|(_, route)| request.fits(route) && pinned(request, route) && lasts(job, route))
        .min_by_key(|(rank, route)| {
            let preferred = request.provider == Some(route.provider);
            let health = health.get(&route.provider).copied().unwrap_or_default();
            (health == Health::Down, tries(job, route), *rank, health, !preferred, request.cost(route))
        })
        .map(|(_, route)| route)
        .ok_or(last_class.unwrap_or(ErrorClass::ProviderUnavailable))
}

fn pinned(request: &JobRequest, route: &Route) -> bool {
    !request.pin || request.provider.is_none_or(|provider| provider == route.provider)
}

fn tries(job: &Job, route: &Route) -> usize {
    let name = route.name();
    job.attempts.iter().filter(|attempt| attempt.route == name).count()
}

/// Whether nothing that was learnt rules the route out: a bad key or an empty balance
/// rules out its provider, an outage or a rate limit passes.
fn lasts(job: &Job, route: &Route) -> bool {
    job.attempts.iter().filter(|attempt| attempt.provider == route.provider).all(|attempt| {
        match attempt.phase {
            Phase::NotSent => true,
            Phase::Sending
            | Phase::Unclear
            | Phase::Running
            | Phase::Finished
            | Phase::Refused
            | Phase::Broke
            | Phase::Canceled
            | Phase::Lost => attempt.fault.as_ref().is_none_or(|fault| fault.class.passes()),
        }
    })
}

#[cfg(test)]
mod tests;
