//! The gate before a provider: one item that all instances share, changed by one
//! conditional write. It holds the breaker, the limits' use, the retry budget and the
//! operator's lever.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::breaker::{Breaker, Report};
use super::budget::{Budget, GROWS_BACK, GROWS_BACK_WELL};
use super::limit::{Limits, Usage};
use super::losses::Losses;
use crate::time::Timestamp;

/// How long who is held back by a pause waits before it looks again.
const PAUSED_LOOK: Duration = Duration::from_secs(60);
/// How long a provider is left alone that said "too fast" and not for how long.
const BUSY: Duration = Duration::from_secs(2);

/// How long a route is left aside that its provider did not have.
const GONE_FOR: Duration = Duration::from_secs(3_600);

/// A provider's gate, as of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    pub version: u64,
    /// Random: tells one writer's version from a rival's that would look the same.
    pub stamp: u64,
    /// Since when an operator keeps new attempts out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    #[serde(default)]
    pub breaker: Breaker,
    pub budget: Budget,
    #[serde(default)]
    pub usage: Usage,
    /// Until when the provider asked to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_until: Option<Timestamp>,
    /// Routes that it did not have, and until when they are left aside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gone: BTreeMap<String, Timestamp>,
    /// Remote jobs that it no longer knew.
    #[serde(default, skip_serializing_if = "Losses::is_empty")]
    pub losses: Losses,
}

/// An attempt that wants through.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Names the attempt; one name holds one lease.
    pub lease: &'a str,
    /// Not the job's first attempt: it costs a retry of the budget.
    pub retry: bool,
    /// All that could be asked looks down, and this is the least bad: an open breaker lets
    /// it through, for a retry of the budget.
    pub forced: bool,
    pub limits: Limits,
}

/// Why an attempt must stay outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The breaker is open, and somebody else has the probe.
    Shut,
    /// Paused, asked to be left alone, full, or out of retries: not before this long.
    Wait(Duration),
}

impl Gate {
    /// The gate before anything was written of it: open to all.
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

    /// Lets an attempt through: the gate to write before it is made, or `None` where nothing
    /// changes: a first attempt at a provider that is well and has no limits costs no write.
    pub fn enter(&self, entry: &Entry<'_>, now: Timestamp) -> Result<Option<Self>, Refusal> {
        if self.paused_at.is_some() {
            return Err(Refusal::Wait(PAUSED_LOOK));
        }
        if let Some(until) = self.busy_until.filter(|until| *until > now) {
            return Err(Refusal::Wait(until.since(now)));
        }
        let shut = self.breaker.is_shut(now);
        if shut && !entry.forced {
            return Err(Refusal::Shut);
        }
        let mut after = self.clone();
        if self.breaker.open.is_some() && !shut {
            after.breaker = self.breaker.probing(now);
        }
        if entry.retry || shut {
            after.budget = self.budget.spend().ok_or(Refusal::Wait(self.retry_pace()))?;
        }
        after.usage = self.usage.take(entry.lease, entry.limits, now).map_err(Refusal::Wait)?;
        Ok(Some(after).filter(|after| after != self))
    }

    /// The gate after a report about an attempt; `over` names the lease that it gives back.
    /// `None` where nothing changes.
    pub fn after(
        &self,
        report: Option<Report>,
        over: Option<&str>,
        chance: u32,
        now: Timestamp,
    ) -> Option<Self> {
        let mut after = self.clone();
        if let Some(report) = report {
            after.breaker = self.breaker.after(report, chance, now);
            if let Report::Busy { retry_after } = report {
                let until = now + retry_after.unwrap_or(BUSY);
                after.busy_until = Some(self.busy_until.map_or(until, |known| known.max(until)));
            }
        }
        if let Some(lease) = over {
            after.usage.leases.remove(lease);
        }
        Some(after).filter(|after| after != self)
    }

    /// Leaves a route aside that the provider did not have.
    #[must_use]
    pub fn without(&self, route: &str, now: Timestamp) -> Self {
        let mut gone = self.gone.clone();
        gone.retain(|_, until| *until > now);
        gone.insert(route.to_owned(), now + GONE_FOR);
        Self { gone, ..self.clone() }
    }

    /// The routes that are left aside now.
    pub fn gone_at(&self, now: Timestamp) -> impl Iterator<Item = String> {
        self.gone.iter().filter(move |(_, until)| **until > now).map(|(name, _)| name.clone())
    }

    /// Counts one more remote job that the provider no longer knows: the gate to write.
    #[must_use]
    pub fn lose(&self, now: Timestamp) -> Self {
        Self { losses: self.losses.one_more(now), ..self.clone() }
    }

    /// How long one retry takes to grow back: soon at a provider that works.
    pub fn retry_pace(&self) -> Duration {
        if self.breaker.open.is_none() { GROWS_BACK_WELL } else { GROWS_BACK }
    }

    /// The gate with what so many first attempts and the time have earned.
    #[must_use]
    pub fn earn(&self, first_attempts: u32, now: Timestamp) -> Self {
        Self { budget: self.budget.earn(first_attempts, self.retry_pace(), now), ..self.clone() }
    }

    /// The gate after an operator's word; `None` where it is so already.
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
    const FIRST: Entry<'static> = Entry {
        lease: "a",
        retry: false,
        forced: false,
        limits: Limits { per_minute: None, burst: None, at_once: None },
    };

    fn later(secs: u64) -> Timestamp {
        START + Duration::from_secs(secs)
    }

    fn broken() -> Gate {
        (0..5).fold(Gate::new(START), |gate, _| gate.after(Some(ILL), None, 0, START).unwrap())
    }

    #[test]
    fn the_success_path_of_a_well_provider_without_limits_writes_nothing() {
        let gate = Gate::new(START);
        assert_eq!(gate.enter(&FIRST, START), Ok(None));
        assert_eq!(gate.after(Some(Report::Well), Some("a"), 0, START), None);
    }

    #[test]
    fn an_open_breaker_elects_one_probe() {
        let gate = broken();
        assert_eq!(gate.enter(&FIRST, later(29)), Err(Refusal::Shut));
        let probing = gate.enter(&FIRST, later(30)).unwrap().unwrap();
        assert_eq!(probing.enter(&Entry { lease: "b", ..FIRST }, later(30)), Err(Refusal::Shut));
        assert_eq!(probing.budget, gate.budget, "a probe by a first attempt is no retry");
    }

    #[test]
    fn when_all_is_down_the_least_bad_is_tried_as_long_as_the_budget_lasts() {
        let mut gate = broken();
        let forced = Entry { forced: true, ..FIRST };
        for _ in 0..5 {
            gate = gate.enter(&forced, later(1)).unwrap().unwrap();
        }
        assert!(matches!(gate.enter(&forced, later(1)), Err(Refusal::Wait(_))));
    }

    #[test]
    fn a_retry_costs_a_tenth_of_the_traffic_and_a_first_attempt_nothing() {
        let mut gate = Gate::new(START);
        let retry = Entry { retry: true, ..FIRST };
        for _ in 0..5 {
            gate = gate.enter(&retry, START).unwrap().unwrap();
        }
        assert!(matches!(gate.enter(&retry, START), Err(Refusal::Wait(_))));
        assert_eq!(gate.enter(&FIRST, START), Ok(None));
        gate = gate.earn(10, START);
        assert!(gate.enter(&retry, START).is_ok());
    }

    #[test]
    fn who_is_asked_to_come_later_comes_later_and_the_longest_word_counts() {
        let busy = |secs| Some(Report::Busy { retry_after: Some(Duration::from_secs(secs)) });
        let gate = Gate::new(START).after(busy(30), None, 0, START).unwrap();
        assert_eq!(gate.after(busy(5), None, 0, START), None);
        assert_eq!(gate.enter(&FIRST, later(10)), Err(Refusal::Wait(Duration::from_secs(20))));
        assert_eq!(gate.enter(&FIRST, later(30)), Ok(None));
    }

    #[test]
    fn a_pause_keeps_new_attempts_out_and_lets_running_ones_end() {
        let limits = Limits { at_once: Some(1), ..Limits::default() };
        let running = Gate::new(START).enter(&Entry { limits, ..FIRST }, START).unwrap().unwrap();
        let paused = running.paused(true, START).unwrap();
        assert_eq!(paused.paused(true, later(1)), None);
        assert_eq!(
            paused.enter(&Entry { forced: true, ..FIRST }, START),
            Err(Refusal::Wait(Duration::from_secs(60)))
        );
        let ended = paused.after(Some(Report::Well), Some("a"), 0, later(1)).unwrap();
        assert!(ended.usage.leases.is_empty() && ended.paused_at.is_some());
        assert!(ended.paused(false, later(2)).unwrap().enter(&FIRST, later(2)).is_ok());
    }

    #[test]
    fn a_full_provider_holds_back_until_a_place_is_given_back() {
        let limits = Limits { at_once: Some(1), ..Limits::default() };
        let full = Gate::new(START).enter(&Entry { limits, ..FIRST }, START).unwrap().unwrap();
        let second = Entry { lease: "b", limits, ..FIRST };
        assert!(matches!(full.enter(&second, later(1)), Err(Refusal::Wait(_))));
        let free = full.after(None, Some("a"), 0, later(1)).unwrap();
        assert!(free.enter(&second, later(1)).is_ok());
    }

    #[test]
    fn who_is_forced_through_does_not_put_off_the_probe() {
        let gate = broken();
        let forced = gate.enter(&Entry { forced: true, ..FIRST }, later(10)).unwrap().unwrap();
        assert_eq!(forced.breaker, gate.breaker);
        assert!(forced.enter(&FIRST, later(30)).is_ok());
    }

    #[test]
    fn who_says_too_fast_and_not_for_how_long_is_left_alone_for_two_seconds() {
        let gate = Gate::new(START).after(Some(Report::Busy { retry_after: None }), None, 0, START).unwrap();
        assert_eq!(gate.enter(&FIRST, START), Err(Refusal::Wait(Duration::from_secs(2))));
        assert_eq!(gate.enter(&FIRST, later(2)), Ok(None));
    }
}
