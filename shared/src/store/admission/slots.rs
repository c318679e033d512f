//! Release of the concurrency slot of an ended attempt.

use super::super::Error;
use super::AdmissionStore;
use domain::attempt::{Attempt, Phase};
use domain::policy::admission::Admission;
use domain::policy::breaker::Report;
use domain::policy::limit::{LimitTable, slot_name};
use domain::time::Timestamp;
use domain::verdict::ErrorClass;

impl AdmissionStore {
    /// Releases the slot of an ended attempt if its provider has a concurrency limit, and reports
    /// a failure of the provider. If the write fails, the slot expires. `chance` and `stamp` are
    /// random.
    pub async fn release_slot(
        &self,
        limits: &LimitTable,
        attempt: &Attempt,
        (chance, stamp): (u32, u64),
        now: Timestamp,
    ) {
        let failed = attempt.phase == Phase::Broke;
        let class = attempt.fault.as_ref().map(|fault| fault.class).filter(|_| failed);
        let report = class.filter(|class| *class == ErrorClass::ProviderUnavailable).map(Report::Ill);
        if report.is_none() && limits.of(attempt.provider).at_once.is_none() {
            return;
        }
        if let Err(error) = self.release(attempt, report, (chance, stamp), now).await {
            tracing::warn!(provider = %attempt.provider, error = error.with_causes(), "gate.not_written");
        }
    }

    async fn release(
        &self,
        attempt: &Attempt,
        report: Option<Report>,
        (chance, stamp): (u32, u64),
        now: Timestamp,
    ) -> Result<(), Error> {
        let slot = slot_name(attempt.claim);
        let seen = self.admission(attempt.provider, now).await?;
        let was_open = seen.breaker.open.is_some();
        let after = |admission: &Admission| Ok::<_, Error>(admission.after(report, Some(&slot), chance, now));
        let (admission, _) = self.change(attempt.provider, seen, stamp, after).await?;
        if !was_open && admission.breaker.open.is_some() {
            tracing::warn!(provider = %attempt.provider, "breaker.opened");
        }
        Ok(())
    }
}
