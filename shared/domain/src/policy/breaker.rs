//! The circuit breaker of a provider.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::verdict::ErrorClass;

/// Failures within [`WINDOW`] that open a breaker.
pub const FAILURES_MAX: usize = 5;
pub const WINDOW: Duration = Duration::from_secs(60);
/// An open breaker admits a probe after this long, with jitter of up to the same again.
pub const COOL_DOWN: Duration = Duration::from_secs(30);
/// How long a probe without a report blocks the next.
pub const PROBE_MAX: Duration = Duration::from_secs(60);
/// Consecutive successes that close an open breaker.
pub const SUCCESSES_MIN: u8 = 3;

/// A provider's breaker, shared by all instances. A success changes nothing while it is closed,
/// so it costs no write.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breaker {
    /// The latest failures while closed, oldest first, at most [`FAILURES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub since: Timestamp,
    pub why: ErrorClass,
    /// When the next probe is due.
    pub probe_at: Timestamp,
    pub successes: u8,
}

/// What a call shows about its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It works, even if it rejected this request.
    Well,
    /// Rate limited.
    Busy { retry_after: Option<Duration> },
    /// It fails, or rejects our account.
    Ill(ErrorClass),
}

impl Report {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Busy { .. } => "busy",
            Self::Ill(_) => "ill",
        }
    }

    /// What an error of this class shows about the provider.
    pub const fn of(class: ErrorClass, retry_after: Option<Duration>) -> Self {
        match class {
            ErrorClass::InvalidRequest | ErrorClass::ContentPolicy | ErrorClass::RouteGone => Self::Well,
            ErrorClass::RateLimited => Self::Busy { retry_after },
            ErrorClass::Auth
            | ErrorClass::InsufficientFunds
            | ErrorClass::ProviderUnavailable
            | ErrorClass::Timeout
            | ErrorClass::Expired
            | ErrorClass::Stopped
            | ErrorClass::NoOutput
            | ErrorClass::Unknown
            | ErrorClass::Other(_) => Self::Ill(class),
        }
    }
}

impl Breaker {
    /// Whether it is open and no probe is due: only forced attempts are admitted.
    pub fn rejects(&self, now: Timestamp) -> bool {
        self.open.is_some_and(|open| now < open.probe_at)
    }

    /// Takes the probe that is due. The writer of this state makes the probe; others wait.
    #[must_use]
    pub fn probing(&self, now: Timestamp) -> Self {
        let open = self.open.map(|open| Open { probe_at: now + PROBE_MAX, ..open });
        Self { open, ..self.clone() }
    }

    /// The breaker after a report. `chance` is uniform in 0..=`u32::MAX`.
    ///
    /// Five failures within a minute open it; a rejected key or an empty balance opens it at
    /// once. Three consecutive successes close it.
    #[must_use]
    pub fn after(&self, report: Report, chance: u32, now: Timestamp) -> Self {
        let cool_down = COOL_DOWN + COOL_DOWN.mul_f64(f64::from(chance) / f64::from(u32::MAX));
        let probe_at = now + cool_down;
        match (report, self.open) {
            (Report::Busy { .. }, _) | (Report::Well, None) => self.clone(),
            (Report::Well, Some(open)) if open.successes + 1 >= SUCCESSES_MIN => Self::default(),
            (Report::Well, Some(open)) => {
                let open = Open { successes: open.successes + 1, probe_at: now, ..open };
                Self { open: Some(open), ..self.clone() }
            }
            (Report::Ill(why), Some(open)) => {
                Self { open: Some(Open { why, probe_at, successes: 0, ..open }), ..self.clone() }
            }
            (Report::Ill(why), None) => {
                let mut failures = self.failures.clone();
                failures.retain(|at| now.since(*at) < WINDOW);
                failures.push(now);
                let at_once = matches!(why, ErrorClass::Auth | ErrorClass::InsufficientFunds);
                if at_once || failures.len() >= FAILURES_MAX {
                    let open = Open { since: now, why, probe_at, successes: 0 };
                    return Self { failures: Vec::new(), open: Some(open) };
                }
                Self { failures, open: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);
    const ILL: Report = Report::Ill(ErrorClass::ProviderUnavailable);

    fn later(secs: u64) -> Timestamp {
        START + Duration::from_secs(secs)
    }

    fn opened() -> Breaker {
        (0..5).fold(Breaker::default(), |breaker, n| breaker.after(ILL, 0, later(n)))
    }

    #[test]
    fn five_failures_within_a_minute_open_it_and_four_or_slower_ones_do_not() {
        let four = (0..4).fold(Breaker::default(), |breaker, n| breaker.after(ILL, 0, later(n)));
        assert_eq!(four.open, None);
        assert!(opened().rejects(later(5)));
        let slow = (0..50).fold(Breaker::default(), |breaker, n| breaker.after(ILL, 0, later(n * 15)));
        assert_eq!(slow.open, None);
        assert!(slow.failures.len() < FAILURES_MAX);
    }

    #[test]
    fn a_rejected_key_or_an_empty_balance_opens_it_at_once() {
        for class in [ErrorClass::Auth, ErrorClass::InsufficientFunds] {
            let breaker = Breaker::default().after(Report::Ill(class), 0, START);
            assert_eq!(breaker.open.map(|open| open.why), Some(class));
        }
    }

    #[test]
    fn one_probe_is_admitted_after_the_cool_down_and_three_successes_close_it() {
        let breaker = opened();
        assert!(breaker.rejects(later(4 + 29)) && !breaker.rejects(later(4 + 30)));
        let probing = breaker.probing(later(34));
        assert!(probing.rejects(later(34)), "one probe at a time");
        assert!(!probing.rejects(later(34) + PROBE_MAX), "a probe without a report does not block for ever");
        let mut breaker = probing;
        for n in 1..3 {
            breaker = breaker.after(Report::Well, 0, later(34 + n)).probing(later(34 + n));
            assert!(breaker.open.is_some(), "{n}");
        }
        assert_eq!(breaker.after(Report::Well, 0, later(40)), Breaker::default());
    }

    #[test]
    fn a_failed_probe_restarts_the_cool_down_and_the_count() {
        let half = opened().probing(later(40)).after(Report::Well, 0, later(41)).probing(later(41));
        let again = half.after(ILL, 0, later(42));
        let open = again.open.unwrap();
        assert_eq!((open.successes, open.probe_at), (0, later(42) + COOL_DOWN));
    }

    #[test]
    fn after_a_success_the_next_probe_is_due_at_once() {
        let well = opened().probing(later(40)).after(Report::Well, 0, later(41));
        assert!(!well.rejects(later(41)));
    }

    #[test]
    fn an_open_breaker_keeps_the_latest_reason() {
        let refused = Report::Ill(ErrorClass::Auth);
        let open = opened().probing(later(40)).after(refused, 0, later(41)).open.unwrap();
        assert_eq!((open.why, open.since), (ErrorClass::Auth, later(4)));
    }

    #[test]
    fn failures_count_for_a_minute_and_a_silent_probe_blocks_for_one() {
        let four = (0..4).fold(Breaker::default(), |breaker, _| breaker.after(ILL, 0, START));
        assert!(four.after(ILL, 0, later(59)).open.is_some());
        assert!(four.after(ILL, 0, later(60)).open.is_none());
        let probing = opened().probing(later(40));
        assert!(probing.rejects(later(99)) && !probing.rejects(later(100)));
    }

    proptest! {
        #[test]
        fn probes_of_a_failing_provider_are_30_to_60_s_apart(
            steps in prop::collection::vec((0_u64..20_000, any::<u32>()), 1..200),
        ) {
            let (mut breaker, mut now) = (opened(), later(4));
            let mut last = later(4);
            for (gap, chance) in steps {
                now = now + Duration::from_millis(gap);
                if breaker.rejects(now) {
                    prop_assert!(now.since(last) < 2 * COOL_DOWN);
                } else {
                    prop_assert!(now.since(last) >= COOL_DOWN);
                    breaker = breaker.probing(now).after(ILL, chance, now);
                    last = now;
                }
            }
        }

        #[test]
        fn success_writes_nothing_while_closed_and_busy_never_opens(chance in any::<u32>()) {
            let closed = Breaker::default().after(ILL, chance, START);
            for report in [Report::Well, Report::Busy { retry_after: None }] {
                prop_assert_eq!(closed.after(report, chance, later(1)), closed.clone());
            }
        }
    }
}
