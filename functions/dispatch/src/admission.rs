//! Admission control of the providers, with a cache of its state in this instance.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::catalog::{Catalog, Route};
use domain::event::Event;
use domain::job::{CHECK_EVERY, Job};
use domain::policy::admission::{Admission, AdmissionRequest, NotAdmitted};
use domain::policy::backoff::{RETRY_BASE, full_jitter};
use domain::policy::breaker::{Open, Report};
use domain::policy::limit::{LimitTable, slot_name};
use domain::provider::Provider;
use domain::request::JobRequest;
use domain::route::{self, NoRoute, Standing};
use domain::time::Timestamp;
use domain::verdict::ErrorClass;
use shared::boot::Random;
use shared::edge::http::chain;
use shared::provider::Outcome;
use shared::store;
use shared::store::admission::{AdmissionStore, ProviderState};

/// TTL of the cached states. What an instance observes itself takes effect at once.
const CACHED_FOR: Duration = Duration::from_secs(60);
/// Maximum age of a cached state that may reject an attempt.
const REJECT_MAX_AGE: Duration = Duration::from_secs(2);

/// Admission control of all providers, with this instance's cache.
#[derive(Debug)]
pub struct AdmissionControl {
    store: AdmissionStore,
    limits: LimitTable,
    providers: Vec<Provider>,
    simulated: Vec<Provider>,
    random: Random,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    read_at: Option<Timestamp>,
    states: BTreeMap<Provider, ProviderState>,
    /// When each admission control was last read or written.
    updated_at: BTreeMap<Provider, Timestamp>,
    /// First attempts not yet added to a budget.
    unreported: BTreeMap<Provider, u32>,
}

/// Whether a job's next attempt is admitted.
pub(crate) enum Decision<'a> {
    Admitted(&'a Route),
    /// No provider with a usable route admits it now.
    Wait(Duration),
    /// No usable route is left.
    NoRoute(ErrorClass),
}

/// An attempt that is not yet claimed; `claim` will identify it.
pub(crate) struct PlannedAttempt<'a> {
    pub(crate) job: &'a Job,
    pub(crate) request: &'a JobRequest,
    pub(crate) claim: u64,
}

impl AdmissionControl {
    pub fn new(
        store: AdmissionStore,
        limits: LimitTable,
        providers: Vec<Provider>,
        simulated: Vec<Provider>,
        random: Random,
    ) -> Self {
        Self { store, limits, providers, simulated, random, cache: Mutex::default() }
    }

    /// Finds the best route whose provider admits the attempt, and takes its concurrency slot.
    /// If the attempt is then not made, [report](Self::report) that to release the slot.
    pub(crate) async fn admit<'a>(
        &self,
        planned: &PlannedAttempt<'_>,
        catalog: &'a Catalog,
        now: Timestamp,
    ) -> Result<Decision<'a>, store::Error> {
        self.refresh(now).await;
        let mut standings = self.standings(now);
        let mut wait = None;
        loop {
            let route = match route::choose(planned.job, planned.request, catalog, &standings) {
                Ok(route) => route,
                Err(NoRoute::Exhausted(class)) => return Ok(Decision::NoRoute(class)),
                Err(NoRoute::NotAdmitted) => return Ok(Decision::Wait(wait.unwrap_or(CACHED_FOR))),
            };
            // Each rejection lowers the provider's standing, so the loop ends.
            let standing = standings.entry(route.provider).or_default();
            match self.try_admit(route.provider, planned, standing.breaker_open, now).await? {
                None => return Ok(Decision::Admitted(route)),
                Some(NotAdmitted::BreakerOpen) => standing.breaker_open = true,
                Some(NotAdmitted::Wait(span)) => {
                    standing.not_admitted = true;
                    wait = Some(wait.map_or(span, |known: Duration| known.min(span)));
                }
            }
        }
    }

    /// Whether the next attempt goes to another provider, by the cached states.
    pub(crate) fn goes_elsewhere(
        &self,
        job: &Job,
        request: &JobRequest,
        catalog: &Catalog,
        from: Provider,
        now: Timestamp,
    ) -> bool {
        route::choose(job, request, catalog, &self.standings(now)).is_ok_and(|next| next.provider != from)
    }

    /// Records what an attempt showed about its provider, in one write. If the write fails, the
    /// slot expires, and the next report counts instead.
    pub(crate) async fn report(&self, route: &Route, claim: u64, observed: Observed, now: Timestamp) {
        let Observed { report, is_over, route_missing } = observed;
        let (provider, name, slot) = (route.provider, route.name(), slot_name(claim));
        let chance = self.random.u32();
        let change = |admission: &Admission| {
            let after = admission.after(report, is_over.then_some(slot.as_str()), chance, now);
            let without_route = || after.as_ref().unwrap_or(admission).without_route(&name, now);
            Ok::<_, NotAdmitted>(if route_missing { Some(without_route()) } else { after })
        };
        let before = self.admission(provider, now);
        match self.change(provider, before.clone(), now, change).await {
            Ok((after, _)) => {
                log(provider, &before, &after, report);
                if let Some(open) = needs_attention(&before, &after) {
                    self.store.raise(Event::of_refusal(provider, open.why.name(), open.since)).await;
                }
            }
            Err(error) => {
                tracing::warn!(provider = %provider, error = chain(&error), "gate.not_written");
            }
        }
        if route_missing {
            tracing::error!(
                provider = provider.name(),
                alert = true,
                class = "route_gone",
                reason = name,
                "provider.needs_attention"
            );
            self.store.alert(provider, "route_gone", Some(&name), now).await;
        }
    }

    /// Tells the operator of an answer that this release cannot read.
    pub(crate) async fn alert_unreadable(&self, provider: Provider, reason: &str, now: Timestamp) {
        self.store.alert(provider, "unreadable", Some(reason), now).await;
    }

    async fn try_admit(
        &self,
        provider: Provider,
        planned: &PlannedAttempt<'_>,
        forced: bool,
        now: Timestamp,
    ) -> Result<Option<NotAdmitted>, store::Error> {
        let slot = slot_name(planned.claim);
        let retry = !planned.job.attempts().is_empty();
        let request = AdmissionRequest { slot: &slot, retry, forced, limits: self.limits.of(provider) };
        let unreported = self.cache().unreported.remove(&provider).unwrap_or(0);
        let change = |admission: &Admission| admission.earn(unreported, now).admit(&request, now);
        let mut admission = self.admission(provider, now);
        if change(&admission).is_err() && !self.is_fresh(provider, now) {
            admission = self.store.admission(provider, now).await?;
            self.remember(provider, &admission, now);
        }
        let before = admission.clone();
        let (after, rejection) = self.change(provider, admission, now, change).await?;
        if after.version == before.version {
            // Nothing was written: the earned retries are still to be added.
            *self.cache().unreported.entry(provider).or_default() += unreported;
        }
        if rejection.is_none() {
            if !retry {
                *self.cache().unreported.entry(provider).or_default() += 1;
            }
            if after.breaker.open.is_some() {
                tracing::info!(provider = %provider, job = %planned.job.id(), forced, "provider.probe");
            }
        }
        Ok(rejection)
    }

    async fn change(
        &self,
        provider: Provider,
        from: Admission,
        now: Timestamp,
        change: impl Fn(&Admission) -> Result<Option<Admission>, NotAdmitted>,
    ) -> Result<(Admission, Option<NotAdmitted>), store::Error> {
        let version = from.version;
        let (admission, rejection) = self.store.change(provider, from, self.random.u64(), change).await?;
        if admission.version != version {
            self.remember(provider, &admission, now);
        }
        Ok((admission, rejection))
    }

    /// Reads the states again once the TTL has passed. If the read fails, the cache stays.
    async fn refresh(&self, now: Timestamp) {
        if self.cache().read_at.is_some_and(|at| now.since(at) < CACHED_FOR) {
            return;
        }
        match self.store.states(&self.providers).await {
            Ok(states) => {
                let mut cache = self.cache();
                cache.updated_at = self.providers.iter().map(|provider| (*provider, now)).collect();
                cache.read_at = Some(now);
                cache.states = states;
            }
            Err(error) => tracing::warn!(error = chain(&error), "gauges.unreadable"),
        }
    }

    fn standings(&self, now: Timestamp) -> BTreeMap<Provider, Standing> {
        let standing = |state: &ProviderState| {
            let health = state.health.as_ref();
            Standing {
                health: health.map(|gauge| gauge.health).unwrap_or_default(),
                breaker_open: state
                    .admission
                    .as_ref()
                    .is_some_and(|admission| admission.breaker.rejects(now)),
                not_admitted: false,
                latency_ms: health.and_then(|gauge| gauge.latency_ms),
                missing_routes: state
                    .admission
                    .iter()
                    .flat_map(|admission| admission.missing_routes(now))
                    .collect(),
                simulated: false,
            }
        };
        let cache = self.cache();
        let mut standings: BTreeMap<_, _> =
            cache.states.iter().map(|(provider, state)| (*provider, standing(state))).collect();
        for provider in &self.simulated {
            standings.entry(*provider).or_default().simulated = true;
        }
        standings
    }

    fn admission(&self, provider: Provider, now: Timestamp) -> Admission {
        let admission = self.cache().states.get(&provider).and_then(|state| state.admission.clone());
        admission.unwrap_or_else(|| Admission::new(now))
    }

    fn is_fresh(&self, provider: Provider, now: Timestamp) -> bool {
        self.cache().updated_at.get(&provider).is_some_and(|at| now.since(*at) < REJECT_MAX_AGE)
    }

    fn remember(&self, provider: Provider, admission: &Admission, now: Timestamp) {
        let mut cache = self.cache();
        cache.states.entry(provider).or_default().admission = Some(admission.clone());
        cache.updated_at.insert(provider, now);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attempt showed about its provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    report: Option<Report>,
    /// It releases its slot.
    is_over: bool,
    /// The provider reported that the route does not exist.
    route_missing: bool,
}

impl Observed {
    /// No call was made.
    pub(crate) const NOTHING: Self = Self { report: None, is_over: true, route_missing: false };

    /// From the answer to the create call.
    pub(crate) fn from_outcome(outcome: &Outcome) -> Self {
        let (report, is_over, class) = match outcome {
            Outcome::Accepted { .. } => (Report::Well, false, None),
            Outcome::Delivered { .. } => (Report::Well, true, None),
            Outcome::Refused { fault, retry_after } => {
                (Report::of(fault.class, *retry_after), true, Some(fault.class))
            }
            Outcome::NotSent(fault) => (Report::of(fault.class, None), true, None),
            // It may run: it keeps its slot.
            Outcome::Unknown { .. } => (Report::Ill(ErrorClass::Timeout), false, None),
        };
        Self { report: Some(report), is_over, route_missing: class == Some(ErrorClass::RouteGone) }
    }
}

/// How long a job waits that was not admitted: the reported wait, with jitter of up to half the
/// time that it has already waited.
pub(crate) fn pause(wait: Duration, job: &Job, random: u32, now: Timestamp) -> Duration {
    let ceiling = (now.since(job.updated_at()) / 2).clamp(RETRY_BASE, CHECK_EVERY);
    let pause = wait.min(CHECK_EVERY) + full_jitter(0, ceiling, ceiling, random);
    // The queue counts whole seconds; round up.
    Duration::from_millis(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).next_multiple_of(1_000))
}

/// The breaker that was just opened, if only the operator can mend what opened it.
fn needs_attention(before: &Admission, after: &Admission) -> Option<Open> {
    let open = after.breaker.open.filter(|_| before.breaker.open.is_none())?;
    matches!(open.why, ErrorClass::Auth | ErrorClass::InsufficientFunds).then_some(open)
}

fn log(provider: Provider, before: &Admission, after: &Admission, report: Option<Report>) {
    match (before.breaker.open, after.breaker.open) {
        (None, Some(open)) => {
            let class = open.why.name();
            if needs_attention(before, after).is_some() {
                tracing::error!(provider = %provider, class, alert = true, "provider.needs_attention");
            }
            tracing::warn!(provider = %provider, class, "breaker.opened");
        }
        (Some(_), None) => tracing::warn!(provider = %provider, "breaker.closed"),
        (Some(_), Some(open)) => {
            tracing::info!(provider = %provider, report = report.map(Report::name), successes = open.successes, "breaker.probed");
        }
        (None, None) => {}
    }
}
