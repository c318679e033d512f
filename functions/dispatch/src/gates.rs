//! What this instance knows of the providers' gates, and how an attempt gets through one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::catalog::{Catalog, Route};
use domain::job::{CHECK_EVERY, Job};
use domain::policy::backoff::{RETRY_BASE, full_jitter};
use domain::policy::breaker::Report;
use domain::policy::gate::{Entry, Gate, Refusal};
use domain::policy::limit::{LimitTable, lease};
use domain::provider::Provider;
use domain::request::JobRequest;
use domain::route::{self, NoRoute, Standing};
use domain::time::Timestamp;
use domain::verdict::ErrorClass;
use shared::boot::Random;
use shared::edge::http::chain;
use shared::provider::Outcome;
use shared::store;
use shared::store::gates::Known;
use shared::store::gauges::Gauges;

/// How long an instance goes by what it has read. What it sees of a provider itself, it
/// reads or writes at once.
const CACHED_FOR: Duration = Duration::from_secs(60);
/// How long a gate may have been read ago for a refusal to be taken from it.
const REFUSED_FOR: Duration = Duration::from_secs(2);

/// The gates of all providers, as one instance sees them.
#[derive(Debug)]
pub struct Gates {
    gauges: Gauges,
    limits: LimitTable,
    providers: Vec<Provider>,
    simulated: Vec<Provider>,
    random: Random,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    read_at: Option<Timestamp>,
    known: BTreeMap<Provider, Known>,
    /// When each gate was last read or written.
    gate_at: BTreeMap<Provider, Timestamp>,
    /// First attempts that no budget was told of yet.
    fresh: BTreeMap<Provider, u32>,
}

/// What a job's next attempt may do.
pub(crate) enum Way<'a> {
    Go(&'a Route),
    /// All that it could go to is closed now.
    Wait(Duration),
    Never(ErrorClass),
}

/// An attempt to be: of which job, what for, and the number that will name it.
pub(crate) struct Wish<'a> {
    pub(crate) job: &'a Job,
    pub(crate) request: &'a JobRequest,
    pub(crate) claim: u64,
}

impl Gates {
    pub fn new(
        gauges: Gauges,
        limits: LimitTable,
        providers: Vec<Provider>,
        simulated: Vec<Provider>,
        random: Random,
    ) -> Self {
        Self { gauges, limits, providers, simulated, random, seen: Mutex::default() }
    }

    /// Finds the best route whose gate lets the attempt through, and takes its place there.
    /// An attempt that then is not made must be [given up](Self::report).
    pub(crate) async fn find_way<'a>(
        &self,
        wish: &Wish<'_>,
        catalog: &'a Catalog,
        now: Timestamp,
    ) -> Result<Way<'a>, store::Error> {
        self.refresh(now).await;
        let mut standings = self.standings(now);
        let mut wait = None;
        loop {
            let route = match route::choose(wish.job, wish.request, catalog, &standings) {
                Ok(route) => route,
                Err(NoRoute::Ever(class)) => return Ok(Way::Never(class)),
                Err(NoRoute::Now) => return Ok(Way::Wait(wait.unwrap_or(CACHED_FOR))),
            };
            // Each refusal makes the provider look worse, and none is asked when closed.
            let standing = standings.entry(route.provider).or_default();
            match self.enter(route.provider, wish, standing.broken, now).await? {
                None => return Ok(Way::Go(route)),
                Some(Refusal::Shut) => standing.broken = true,
                Some(Refusal::Wait(span)) => {
                    standing.closed = true;
                    wait = Some(wait.map_or(span, |known: Duration| known.min(span)));
                }
            }
        }
    }

    /// Whether, as far as this instance knows, the next attempt goes to another provider.
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

    /// Writes down what an attempt has shown of its provider, in one write. If that fails, the
    /// attempt's place lapses, and the next report is as good.
    pub(crate) async fn report(&self, route: &Route, claim: u64, shown: Shown, now: Timestamp) {
        let Shown { report, is_over, is_gone } = shown;
        let (provider, name, lease) = (route.provider, route.name(), lease(claim));
        let chance = self.random.u32();
        let change = |gate: &Gate| {
            let after = gate.after(report, is_over.then_some(lease.as_str()), chance, now);
            let without = || after.as_ref().unwrap_or(gate).without(&name, now);
            Ok::<_, Refusal>(if is_gone { Some(without()) } else { after })
        };
        let before = self.gate(provider, now);
        match self.change(provider, before.clone(), now, change).await {
            Ok((after, _)) => log(provider, &before, &after, report),
            Err(error) => {
                tracing::warn!(provider = %provider, error = chain(&error), "gate.not_written");
            }
        }
        if is_gone {
            tracing::error!(
                provider = provider.name(),
                alert = true,
                class = "route_gone",
                reason = name,
                "provider.needs_attention"
            );
        }
    }

    async fn enter(
        &self,
        provider: Provider,
        wish: &Wish<'_>,
        forced: bool,
        now: Timestamp,
    ) -> Result<Option<Refusal>, store::Error> {
        let lease = lease(wish.claim);
        let retry = !wish.job.attempts.is_empty();
        let entry = Entry { lease: &lease, retry, forced, limits: self.limits.of(provider) };
        let fresh = self.seen().fresh.remove(&provider).unwrap_or(0);
        let change = |gate: &Gate| gate.earn(fresh, now).enter(&entry, now);
        let mut gate = self.gate(provider, now);
        if change(&gate).is_err() && !self.is_fresh(provider, now) {
            gate = self.gauges.gate(provider, now).await?;
            self.note(provider, &gate, now);
        }
        let before = gate.clone();
        let (after, refusal) = self.change(provider, gate, now, change).await?;
        if after.version == before.version {
            // Nothing was written: what was earned is still to be told.
            *self.seen().fresh.entry(provider).or_default() += fresh;
        }
        if refusal.is_none() {
            if !retry {
                *self.seen().fresh.entry(provider).or_default() += 1;
            }
            if after.breaker.open.is_some() {
                tracing::info!(provider = %provider, job = %wish.job.id, forced, "provider.probe");
            }
        }
        Ok(refusal)
    }

    async fn change(
        &self,
        provider: Provider,
        seen: Gate,
        now: Timestamp,
        change: impl Fn(&Gate) -> Result<Option<Gate>, Refusal>,
    ) -> Result<(Gate, Option<Refusal>), store::Error> {
        let version = seen.version;
        let (gate, refusal) = self.gauges.change_gate(provider, seen, self.random.u64(), change).await?;
        if gate.version != version {
            self.note(provider, &gate, now);
        }
        Ok((gate, refusal))
    }

    /// Reads all gauges, if that was long ago. If they cannot be read, all is as it was.
    async fn refresh(&self, now: Timestamp) {
        if self.seen().read_at.is_some_and(|at| now.since(at) < CACHED_FOR) {
            return;
        }
        match self.gauges.known(&self.providers).await {
            Ok(known) => {
                let mut seen = self.seen();
                seen.gate_at = self.providers.iter().map(|provider| (*provider, now)).collect();
                seen.read_at = Some(now);
                seen.known = known;
            }
            Err(error) => tracing::warn!(error = chain(&error), "gauges.unreadable"),
        }
    }

    fn standings(&self, now: Timestamp) -> BTreeMap<Provider, Standing> {
        let standing = |known: &Known| {
            let health = known.health.as_ref();
            Standing {
                health: health.map(|gauge| gauge.health).unwrap_or_default(),
                broken: known.gate.as_ref().is_some_and(|gate| gate.breaker.is_shut(now)),
                closed: false,
                latency_ms: health.and_then(|gauge| gauge.latency_ms),
                gone: known.gate.iter().flat_map(|gate| gate.gone_at(now)).collect(),
                simulated: false,
            }
        };
        let seen = self.seen();
        let mut standings: BTreeMap<_, _> =
            seen.known.iter().map(|(provider, known)| (*provider, standing(known))).collect();
        for provider in &self.simulated {
            standings.entry(*provider).or_default().simulated = true;
        }
        standings
    }

    fn gate(&self, provider: Provider, now: Timestamp) -> Gate {
        let gate = self.seen().known.get(&provider).and_then(|known| known.gate.clone());
        gate.unwrap_or_else(|| Gate::new(now))
    }

    fn is_fresh(&self, provider: Provider, now: Timestamp) -> bool {
        self.seen().gate_at.get(&provider).is_some_and(|at| now.since(*at) < REFUSED_FOR)
    }

    fn note(&self, provider: Provider, gate: &Gate, now: Timestamp) {
        let mut seen = self.seen();
        seen.known.entry(provider).or_default().gate = Some(gate.clone());
        seen.gate_at.insert(provider, now);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attempt has shown of its provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    report: Option<Report>,
    /// It gives back its place.
    is_over: bool,
    /// The provider does not have the route.
    is_gone: bool,
}

impl Shown {
    /// No call was made.
    pub(crate) const NOTHING: Self = Self { report: None, is_over: true, is_gone: false };

    /// By the answer to the create call.
    pub(crate) fn by(outcome: &Outcome) -> Self {
        let (report, is_over, class) = match outcome {
            Outcome::Accepted { .. } => (Report::Well, false, None),
            Outcome::Delivered { .. } => (Report::Well, true, None),
            Outcome::Refused { fault, retry_after } => {
                (Report::of(fault.class, *retry_after), true, Some(fault.class))
            }
            Outcome::NotSent(fault) => (Report::of(fault.class, None), true, None),
            // It may run: it keeps its place.
            Outcome::Unknown { .. } => (Report::Ill(ErrorClass::Timeout), false, None),
        };
        Self { report: Some(report), is_over, is_gone: class == Some(ErrorClass::RouteGone) }
    }
}

/// How long a job that found all closed is held back: as long as it was told, and by chance
/// up to half as long again as it has waited, so that a crowd does not come back at once.
pub(crate) fn pause(told: Duration, job: &Job, random: u32, now: Timestamp) -> Duration {
    let ceiling = (now.since(job.updated_at) / 2).clamp(RETRY_BASE, CHECK_EVERY);
    let pause = told.min(CHECK_EVERY) + full_jitter(0, ceiling, ceiling, random);
    // The queue counts whole seconds, and one too early is in vain.
    Duration::from_millis(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).next_multiple_of(1_000))
}

fn log(provider: Provider, before: &Gate, after: &Gate, report: Option<Report>) {
    match (before.breaker.open, after.breaker.open) {
        (None, Some(open)) => {
            let class = open.why.name();
            if matches!(open.why, ErrorClass::Auth | ErrorClass::InsufficientFunds) {
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
