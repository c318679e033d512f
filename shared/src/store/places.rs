//! What the end of an attempt means for its provider's gate.

use super::Error;
use super::gauges::Gauges;
use domain::attempt::{Attempt, Phase};
use domain::policy::breaker::Report;
use domain::policy::gate::Gate;
use domain::policy::limit::{LimitTable, lease};
use domain::time::Timestamp;
use domain::verdict::ErrorClass;

impl Gauges {
    /// Gives back the ended attempt's place, where its provider counts them, and reports a
    /// failure of the provider's own. If that cannot be written, the place lapses. `chance` and
    /// `stamp` are random.
    pub async fn leave(
        &self,
        limits: &LimitTable,
        attempt: &Attempt,
        (chance, stamp): (u32, u64),
        now: Timestamp,
    ) {
        let broke = attempt.phase == Phase::Broke;
        let class = attempt.fault.as_ref().map(|fault| fault.class).filter(|_| broke);
        let ill = class.filter(|class| *class == ErrorClass::ProviderUnavailable).map(Report::Ill);
        if ill.is_none() && limits.of(attempt.provider).at_once.is_none() {
            return;
        }
        if let Err(error) = self.give_back(attempt, ill, (chance, stamp), now).await {
            tracing::warn!(provider = %attempt.provider, error = error.with_causes(), "gate.not_written");
        }
    }

    async fn give_back(
        &self,
        attempt: &Attempt,
        report: Option<Report>,
        (chance, stamp): (u32, u64),
        now: Timestamp,
    ) -> Result<(), Error> {
        let lease = lease(attempt.claim);
        let seen = self.gate(attempt.provider, now).await?;
        let was_open = seen.breaker.open.is_some();
        let after = |gate: &Gate| Ok::<_, Error>(gate.after(report, Some(&lease), chance, now));
        let (gate, _) = self.change_gate(attempt.provider, seen, stamp, after).await?;
        if !was_open && gate.breaker.open.is_some() {
            tracing::warn!(provider = %attempt.provider, "breaker.opened");
        }
        Ok(())
    }
}
