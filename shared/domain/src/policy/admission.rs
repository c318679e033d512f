//! Admission control of a provider: one item that all instances share, changed by one
//! conditional write. It holds the circuit breaker, the use of the limits, the retry budget and
//! the operator's pause.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::breaker::{Breaker, Report};
use super::budget::{Budget, REFILL_CLOSED, REFILL_OPEN};
use super::limit::{Limits, Usage};
use super::losses::Losses;
use crate::time::Timestamp;

/// How long a job waits before it re-checks a paused provider.
const PAUSE_RECHECK: Duration = Duration::from_secs(60);
/// Back-off after a rate limit without `Retry-After`.
const DEFAULT_BACK_OFF: Duration = Duration::from_secs(2);

/// How long a route is not used after its provider reported that it does not exist.
const ROUTE_MISSING_FOR: Duration = Duration::from_secs(3_600);

/// The admission control of one provider, as of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    pub version: u64,
    /// Random: distinguishes concurrent writers of the same version.
    pub stamp: u64,
    /// Since when an operator has paused new attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    #[serde(default)]
    pub breaker: Breaker,
    pub budget: Budget,
    #[serde(default)]
    pub usage: Usage,
    /// End of the back-off that the provider asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_until: Option<Timestamp>,
    /// Routes that the provider did not have, and until when they are not used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gone: BTreeMap<String, Timestamp>,
    /// Remote jobs that the provider reported as not found.
    #[serde(default, skip_serializing_if = "Losses::is_empty")]
    pub losses: Losses,
}

/// An attempt to admit.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionRequest<'a> {
    /// The concurrency slot of the attempt. A repeated request takes no second slot.
    pub slot: &'a str,
    /// Not the job's first attempt: it costs one retry of the budget.
    pub retry: bool,
    /// Every candidate looks down and this is the best of them: an open breaker admits the
    /// attempt for one retry of the budget.
    pub forced: bool,
    pub limits: Limits,
}

/// Why an attempt was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The breaker is open and no probe is due.
    BreakerOpen,
    /// Paused, backing off, at a limit or out of retries: try again after this long.
    Wait(Duration),
}

impl Admission {
    /// The state before the first write: everything is admitted.
    pub fn new(now: Timestamp) -> Self {
        Self {
            version: 0,
            stamp: 0,
            paused_at: None,
            breaker: Breaker::default(),
            budget: Budget::new(now),
            usage: Usage::default(),
            busy_until: None,
            gone: BTreeMap::new(),
            losses: Losses::default(),
        }
    }

    /// Admits an attempt. Returns the state to write before the call, or `None` if nothing
    /// changes: a first attempt at a healthy provider without limits costs no write.
    pub fn admit(&self, request: &AdmissionRequest<'_>, now: Timestamp) -> Result<Option<Self>, NotAdmitted> {
        if self.paused_at.is_some() {
            return Err(NotAdmitted::Wait(PAUSE_RECHECK));
        }
        if let Some(until) = self.busy_until.filter(|until| *until > now) {
            return Err(NotAdmitted::Wait(until.since(now)));
        }
        let rejects = self.breaker.rejects(now);
        if rejects && !request.forced {
            return Err(NotAdmitted::BreakerOpen);
        }
        let mut after = self.clone();
        if self.breaker.open.is_some() && !rejects {
            after.breaker = self.breaker.probing(now);
        }
        if request.retry || rejects {
            after.budget = self.budget.spend().ok_or(NotAdmitted::Wait(self.retry_interval()))?;
        }
        after.usage = self.usage.take(request.slot, request.limits, now).map_err(NotAdmitted::Wait)?;
        Ok(Some(after).filter(|after| after != self))
    }

    /// The state after a report about an attempt; `released` is the slot that it releases.
    /// `None` if nothing changes.
    pub fn after(
        &self,
        report: Option<Report>,
        released: Option<&str>,
        chance: u32,
        now: Timestamp,
    ) -> Option<Self> {
        let mut after = self.clone();
        if let Some(report) = report {
            after.breaker = self.breaker.after(report, chance, now);
            if let Report::Busy { retry_after } = report {
                let until = now + retry_after.unwrap_or(DEFAULT_BACK_OFF);
                after.busy_until = Some(self.busy_until.map_or(until, |known| known.max(until)));
            }
        }
        if let Some(slot) = released {
            after.usage.leases.remove(slot);
        }
        Some(after).filter(|after| after != self)
    }

    /// The state with a route marked as missing at the provider.
    #[must_use]
    pub fn without_route(&self, route: &str, now: Timestamp) -> Self {
        let mut gone = self.gone.clone();
        gone.retain(|_, until| *until > now);
        gone.insert(route.to_owned(), now + ROUTE_MISSING_FOR);
        Self { gone, ..self.clone() }
    }

    /// Routes that are marked as missing now.
    pub fn missing_routes(&self, now: Timestamp) -> impl Iterator<Item = String> {
        self.gone.iter().filter(move |(_, until)| **until > now).map(|(name, _)| name.clone())
    }

    /// The state with one more remote job that the provider reported as not found.
    #[must_use]
    pub fn count_loss(&self, now: Timestamp) -> Self {
        Self { losses: self.losses.one_more(now), ..self.clone() }
    }

    /// How long one retry takes to grow back: less while the breaker is closed.
    pub fn retry_interval(&self) -> Duration {
        if self.breaker.open.is_none() { REFILL_CLOSED } else { REFILL_OPEN }
    }

    /// The state with the retries that first attempts and elapsed time have earned.
    #[must_use]
    pub fn earn(&self, first_attempts: u32, now: Timestamp) -> Self {
        Self { budget: self.budget.earn(first_attempts, self.retry_interval(), now), ..self.clone() }
    }

    /// The state after an operator's pause or resume; `None` if it already holds.
    pub fn paused(&self, pause: bool, now: Timestamp) -> Option<Self> {
        let paused_at = pause.then_some(now);
        (self.paused_at.is_some() != pause).then(|| Self { paused_at, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::ErrorClass;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);
    const ILL: Report = Report::Ill(ErrorClass::ProviderUnavailable);
    const FIRST: AdmissionRequest<'static> = AdmissionRequest {
        slot: "a",
        retry: false,
        forced: false,
        limits: Limits { per_minute: None, burst: None, at_once: None },
    };

    fn later(secs: u64) -> Timestamp {
        START + Duration::from_secs(secs)
    }

    fn broken() -> Admission {
        (0..5).fold(Admission::new(START), |admission, _| admission.after(Some(ILL), None, 0, START).unwrap())
    }

    #[test]
    fn the_success_path_of_a_healthy_provider_without_limits_writes_nothing() {
        let admission = Admission::new(START);
        assert_eq!(admission.admit(&FIRST, START), Ok(None));
        assert_eq!(admission.after(Some(Report::Well), Some("a"), 0, START), None);
    }

    #[test]
    fn an_open_breaker_elects_one_probe() {
        let admission = broken();
        assert_eq!(admission.admit(&FIRST, later(29)), Err(NotAdmitted::BreakerOpen));
        let probing = admission.admit(&FIRST, later(30)).unwrap().unwrap();
        assert_eq!(
            probing.admit(&AdmissionRequest { slot: "b", ..FIRST }, later(30)),
            Err(NotAdmitted::BreakerOpen)
        );
        assert_eq!(probing.budget, admission.budget, "a probe by a first attempt is no retry");
    }

    #[test]
    fn a_forced_attempt_is_admitted_until_the_budget_is_spent() {
        let mut admission = broken();
        let forced = AdmissionRequest { forced: true, ..FIRST };
        for _ in 0..5 {
            admission = admission.admit(&forced, later(1)).unwrap().unwrap();
        }
        assert!(matches!(admission.admit(&forced, later(1)), Err(NotAdmitted::Wait(_))));
    }

    #[test]
    fn ten_first_attempts_pay_for_one_retry_and_cost_nothing_themselves() {
        let mut admission = Admission::new(START);
        let retry = AdmissionRequest { retry: true, ..FIRST };
        for _ in 0..5 {
            admission = admission.admit(&retry, START).unwrap().unwrap();
        }
        assert!(matches!(admission.admit(&retry, START), Err(NotAdmitted::Wait(_))));
        assert_eq!(admission.admit(&FIRST, START), Ok(None));
        admission = admission.earn(10, START);
        assert!(admission.admit(&retry, START).is_ok());
    }

    #[test]
    fn the_longest_reported_back_off_counts() {
        let busy = |secs| Some(Report::Busy { retry_after: Some(Duration::from_secs(secs)) });
        let admission = Admission::new(START).after(busy(30), None, 0, START).unwrap();
        assert_eq!(admission.after(busy(5), None, 0, START), None);
        assert_eq!(admission.admit(&FIRST, later(10)), Err(NotAdmitted::Wait(Duration::from_secs(20))));
        assert_eq!(admission.admit(&FIRST, later(30)), Ok(None));
    }

    #[test]
    fn a_pause_rejects_new_attempts_and_lets_running_ones_end() {
        let limits = Limits { at_once: Some(1), ..Limits::default() };
        let running =
            Admission::new(START).admit(&AdmissionRequest { limits, ..FIRST }, START).unwrap().unwrap();
        let paused = running.paused(true, START).unwrap();
        assert_eq!(paused.paused(true, later(1)), None);
        assert_eq!(
            paused.admit(&AdmissionRequest { forced: true, ..FIRST }, START),
            Err(NotAdmitted::Wait(Duration::from_secs(60)))
        );
        let ended = paused.after(Some(Report::Well), Some("a"), 0, later(1)).unwrap();
        assert!(ended.usage.leases.is_empty() && ended.paused_at.is_some());
        assert!(ended.paused(false, later(2)).unwrap().admit(&FIRST, later(2)).is_ok());
    }

    #[test]
    fn a_full_provider_admits_nothing_until_a_slot_is_released() {
        let limits = Limits { at_once: Some(1), ..Limits::default() };
        let full =
            Admission::new(START).admit(&AdmissionRequest { limits, ..FIRST }, START).unwrap().unwrap();
        let second = AdmissionRequest { slot: "b", limits, ..FIRST };
        assert!(matches!(full.admit(&second, later(1)), Err(NotAdmitted::Wait(_))));
        let free = full.after(None, Some("a"), 0, later(1)).unwrap();
        assert!(free.admit(&second, later(1)).is_ok());
    }

    #[test]
    fn a_forced_attempt_does_not_delay_the_probe() {
        let admission = broken();
        let forced =
            admission.admit(&AdmissionRequest { forced: true, ..FIRST }, later(10)).unwrap().unwrap();
        assert_eq!(forced.breaker, admission.breaker);
        assert!(forced.admit(&FIRST, later(30)).is_ok());
    }

    #[test]
    fn a_rate_limit_without_retry_after_backs_off_for_two_seconds() {
        let admission =
            Admission::new(START).after(Some(Report::Busy { retry_after: None }), None, 0, START).unwrap();
        assert_eq!(admission.admit(&FIRST, START), Err(NotAdmitted::Wait(Duration::from_secs(2))));
        assert_eq!(admission.admit(&FIRST, later(2)), Ok(None));
    }
}
