//! The state of the providers, and their pause.

use domain::policy::admission::Admission;
use domain::policy::breaker::Open;
use domain::policy::health::Condition;
use domain::provider::Provider;
use domain::time::Timestamp;

use crate::store::Error;
use crate::store::admission::{AdmissionStore, ProviderState};

/// What an operator sees of a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    pub provider: Provider,
    /// `None` before the first ping.
    pub health: Option<Condition>,
    /// The breaker, if it is open.
    pub open: Option<Open>,
    pub paused_at: Option<Timestamp>,
    /// Used concurrency slots.
    pub slots: usize,
    /// Remaining retries.
    pub retries: u64,
}

impl Overview {
    pub fn new(provider: Provider, state: ProviderState, now: Timestamp) -> Self {
        let admission = state.admission.unwrap_or_else(|| Admission::new(now));
        Self {
            provider,
            health: state.health.map(|gauge| gauge.condition()),
            open: admission.breaker.open,
            paused_at: admission.paused_at,
            slots: admission.usage.leases.values().filter(|lapses| **lapses > now).count(),
            retries: u64::from(admission.earn(0, now).budget.left / 1_000),
        }
    }
}

/// Every provider, in the order in which they are listed everywhere.
pub async fn list(store: &AdmissionStore, now: Timestamp) -> Result<Vec<Overview>, Error> {
    let mut known = store.states(Provider::ALL).await?;
    let of = |provider: &Provider| Overview::new(*provider, known.remove(provider).unwrap_or_default(), now);
    Ok(Provider::ALL.iter().map(of).collect())
}

/// Pauses or resumes a provider; idempotent. Returns whether that changed anything.
pub async fn pause(
    store: &AdmissionStore,
    provider: Provider,
    pause: bool,
    stamp: u64,
    now: Timestamp,
) -> Result<bool, Error> {
    let before = store.admission(provider, now).await?;
    let change = |admission: &Admission| Ok::<_, Error>(admission.paused(pause, now));
    let (after, _) = store.change(provider, before.clone(), stamp, change).await?;
    Ok(after.version != before.version)
}
