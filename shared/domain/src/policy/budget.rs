//! The retry budget: a tenth of the traffic, and a small reserve.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Thousandths of a retry that each first attempt earns: one retry in ten.
const EARNED: u32 = 100;
const RETRY: u32 = 1_000;
/// The reserve: available before any traffic, and refilled over time.
const RESERVE: u32 = 5 * RETRY;
/// Cap on accumulated retries.
const SAVED_MAX: u32 = 100 * RETRY;
/// How long one retry of the reserve takes to refill while the breaker is open.
pub const REFILL_OPEN: Duration = Duration::from_secs(60);
/// The same while the breaker is closed: waiting jobs are sent within a minute or two.
pub const REFILL_CLOSED: Duration = Duration::from_secs(2);

/// Retries that a provider's traffic has earned and not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// In thousandths of a retry.
    pub left: u32,
    /// When the reserve was last refilled.
    pub at: Timestamp,
}

impl Budget {
    pub const fn new(now: Timestamp) -> Self {
        Self { left: RESERVE, at: now }
    }

    /// The budget after first attempts and elapsed time; one retry refills in `interval`.
    #[must_use]
    pub fn earn(self, first_attempts: u32, interval: Duration, now: Timestamp) -> Self {
        let spans = now.since(self.at).as_secs() / interval.as_secs().max(1);
        let grown = u32::try_from(spans).unwrap_or(u32::MAX).saturating_mul(RETRY);
        let left = self.left.max(self.left.saturating_add(grown).min(RESERVE));
        let left = left.saturating_add(first_attempts.saturating_mul(EARNED)).min(SAVED_MAX);
        let at = if spans > 0 { now } else { self.at };
        Self { left, at }
    }

    /// Spends one retry, if there is one.
    pub fn spend(self) -> Option<Self> {
        self.left.checked_sub(RETRY).map(|left| Self { left, ..self })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    proptest! {
        #[test]
        fn retries_are_bounded_by_traffic_reserve_and_refill(
            steps in prop::collection::vec((0_u64..40, 0_u32..30, any::<bool>()), 1..300),
        ) {
            let (mut budget, mut now) = (Budget::new(START), START);
            let (mut first, mut retries) = (0_u64, 0_u64);
            for (gap, fresh, retry) in steps {
                now = now + Duration::from_secs(gap);
                first += u64::from(fresh);
                budget = budget.earn(fresh, REFILL_OPEN, now);
                if retry && let Some(spent) = budget.spend() {
                    budget = spent;
                    retries += 1;
                }
                let by_time = now.since(START).as_secs() / REFILL_OPEN.as_secs();
                prop_assert!(retries <= 5 + first / 10 + by_time);
            }
        }
    }

    #[test]
    fn the_reserve_refills_and_no_further() {
        let mut budget = Budget::new(START);
        for _ in 0..5 {
            budget = budget.spend().unwrap();
        }
        assert_eq!(budget.spend(), None);
        assert!(budget.earn(0, REFILL_OPEN, START + REFILL_OPEN).spend().is_some());
        assert_eq!(budget.earn(0, REFILL_OPEN, START + Duration::from_secs(86_400)).left, RESERVE);
        assert_eq!(budget.earn(u32::MAX, REFILL_OPEN, START).left, SAVED_MAX);
    }

    fn spent() -> Budget {
        (0..5).fold(Budget::new(START), |budget, _| budget.spend().unwrap())
    }

    #[test]
    fn the_reserve_refills_by_one_a_minute_however_often_it_is_computed() {
        let later = |secs| START + Duration::from_secs(secs);
        assert!(spent().earn(0, REFILL_OPEN, later(59)).spend().is_none());
        let mut budget = spent();
        let mut retries = 0;
        for secs in (0..=600).step_by(20) {
            budget = budget.earn(0, REFILL_OPEN, later(secs));
            if let Some(after) = budget.spend() {
                budget = after;
                retries += 1;
            }
        }
        assert_eq!(retries, 10);
    }

    #[test]
    fn while_closed_a_hundred_waiting_jobs_are_sent_within_four_minutes() {
        let mut budget = spent();
        let mut retries = 0;
        for secs in 1..=240 {
            budget = budget.earn(0, REFILL_CLOSED, START + Duration::from_secs(secs));
            if let Some(after) = budget.spend() {
                budget = after;
                retries += 1;
            }
        }
        assert_eq!(retries, 120);
    }

    #[test]
    fn ten_first_attempts_earn_one_retry_and_at_most_a_hundred_are_saved() {
        let retries = |mut budget: Budget| {
            let mut retries = 0;
            while let Some(after) = budget.spend() {
                budget = after;
                retries += 1;
            }
            retries
        };
        assert_eq!(retries(spent().earn(9, REFILL_OPEN, START)), 0);
        assert_eq!(retries(spent().earn(10, REFILL_OPEN, START)), 1);
        assert_eq!(retries(spent().earn(999, REFILL_OPEN, START)), 99);
        assert_eq!(retries(spent().earn(u32::MAX, REFILL_OPEN, START)), 100);
    }
}
