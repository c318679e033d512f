//! Health of a provider: from its pings, and from what its creates and completions did lately.
//!
//! Routing goes by the pings and, apart from them, by the circuit breaker: one that both lowered would never be
//! probed while another provider is well. What people see, and are alerted of, is the [`Condition`].

use serde::{Deserialize, Serialize};

use super::alarm::{Alarm, Sight, Turn};
use super::breaker::Open;
use crate::route::Health;
use crate::time::Timestamp;
use crate::verdict::ErrorClass;

/// Consecutive failures after which a provider is down.
pub const DOWN_AFTER: u32 = 3;
/// How long a change is kept, in seconds.
pub const CHANGES_KEPT_S: i64 = 30 * 24 * 3_600;

/// How a provider is, the worst last: what only the operator can mend is worse than what may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Healthy,
    /// A ping failed, or it answers pings and its circuit breaker is open.
    Degraded,
    /// [`DOWN_AFTER`] pings in a row failed.
    Down,
    /// Its account is empty.
    NoBalance,
    /// It refuses our key.
    KeyRefused,
}

impl Condition {
    pub const ALL: [Self; 5] = [Self::Healthy, Self::Degraded, Self::Down, Self::NoBalance, Self::KeyRefused];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::NoBalance => "no_balance",
            Self::KeyRefused => "key_refused",
            Self::Down => "down",
        }
    }

    /// The class of error that only the operator can mend, if it is one.
    pub const fn needs(self) -> Option<ErrorClass> {
        match self {
            Self::NoBalance => Some(ErrorClass::InsufficientFunds),
            Self::KeyRefused => Some(ErrorClass::Auth),
            Self::Healthy | Self::Degraded | Self::Down => None,
        }
    }

    /// What an error shows that the operator must mend; of any other, `otherwise`.
    fn of_class(class: ErrorClass, otherwise: Self) -> Self {
        match class {
            ErrorClass::Auth => Self::KeyRefused,
            ErrorClass::InsufficientFunds => Self::NoBalance,
            _ => otherwise,
        }
    }
}

impl From<Health> for Condition {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Healthy,
            Health::Degraded => Self::Degraded,
            Health::Down => Self::Down,
        }
    }
}

/// A change of a provider's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub at: Timestamp,
    pub from: Condition,
    pub to: Condition,
}

/// The stored health of a provider, shared by all instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    pub version: u64,
    /// By the pings alone: routing goes by it.
    pub health: Health,
    /// `None` in an item of an older release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
    /// Consecutive failed pings.
    pub failures: u32,
    /// Of the latest successful ping, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// When the condition last changed.
    pub since: Timestamp,
    pub checked_at: Timestamp,
    /// When its price list was last requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priced_at: Option<Timestamp>,
    #[serde(flatten)]
    pub alarm: Alarm,
}

/// One ping: how long its answer took, or that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ping {
    Answered { latency_ms: u64 },
    Failed,
}

impl Gauge {
    /// The gauge before the first ping.
    pub fn new(now: Timestamp) -> Self {
        Self {
            version: 0,
            health: Health::Healthy,
            condition: None,
            failures: 0,
            latency_ms: None,
            since: now,
            checked_at: now,
            priced_at: None,
            alarm: Alarm::default(),
        }
    }

    pub fn condition(&self) -> Condition {
        self.condition.unwrap_or_else(|| self.health.into())
    }

    /// One failure makes a provider degraded, [`DOWN_AFTER`] consecutive ones make it down, one
    /// answer makes it healthy.
    #[must_use]
    pub fn after(&self, ping: Ping, now: Timestamp) -> Self {
        let failures = match ping {
            Ping::Answered { .. } => 0,
            Ping::Failed => self.failures.saturating_add(1),
        };
        let health = match failures {
            0 => Health::Healthy,
            n if n < DOWN_AFTER => Health::Degraded,
            _ => Health::Down,
        };
        Self {
            version: self.version + 1,
            health,
            failures,
            latency_ms: match ping {
                Ping::Answered { latency_ms } => Some(latency_ms),
                Ping::Failed => self.latency_ms,
            },
            checked_at: now,
            ..self.clone()
        }
    }

    /// With the condition that the pings and the circuit breaker show, and the alert that it calls for. `refusal` is
    /// the class of the last ping's error.
    ///
    /// Pings that fail once or twice are no alert and end none.
    #[must_use]
    pub fn judged(
        self,
        refusal: Option<ErrorClass>,
        open: Option<Open>,
        now: Timestamp,
    ) -> (Self, Option<Turn>) {
        let of_pings = match (self.health, refusal) {
            (Health::Down, Some(class)) => Condition::of_class(class, Condition::Down),
            (health, _) => health.into(),
        };
        let of_breaker =
            open.map_or(Condition::Healthy, |open| Condition::of_class(open.why, Condition::Degraded));
        let condition = of_pings.max(of_breaker);
        let sight = match condition {
            Condition::Healthy => Sight::Calm,
            Condition::Degraded if open.is_none() => Sight::Unsure,
            condition => Sight::Bad(condition as u8),
        };
        let since = if condition == self.condition() { self.since } else { now };
        let (alarm, turn) = self.alarm.after(sight, now);
        (Self { condition: Some(condition), since, alarm, ..self }, turn)
    }

    /// The change from `before`, if there is one.
    pub fn change_from(&self, before: &Self) -> Option<Change> {
        let (from, to) = (before.condition(), self.condition());
        (from != to).then_some(Change { at: self.checked_at, from, to })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANSWERED: Ping = Ping::Answered { latency_ms: 20 };

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_secs(minute * 60)
    }

    /// What a provider shows in minutes that follow each other: its condition, and the alert of that minute.
    #[derive(Default)]
    struct Watched(Option<Gauge>, i64);

    impl Watched {
        fn minute(&mut self, ping: Ping, open: Option<ErrorClass>) -> (Condition, Option<Turn>) {
            self.1 += 1;
            let now = at(self.1);
            let open = open.map(|why| Open { since: now, why, probe_at: now, successes: 0 });
            let before = self.0.take().unwrap_or_else(|| Gauge::new(now));
            let refusal = (ping == Ping::Failed).then_some(ErrorClass::ProviderUnavailable);
            let (gauge, turn) = before.after(ping, now).judged(refusal, open, now);
            let condition = gauge.condition();
            self.0 = Some(gauge);
            (condition, turn)
        }
    }

    #[test]
    fn three_consecutive_failures_are_down_and_one_answer_is_healthy() {
        let (mut watched, mut seen) = (Watched::default(), Vec::new());
        for ping in [Ping::Failed, ANSWERED, Ping::Failed, Ping::Failed, Ping::Failed, Ping::Failed, ANSWERED]
        {
            let (condition, _) = watched.minute(ping, None);
            let gauge = watched.0.as_ref().unwrap();
            assert_eq!(condition, gauge.health.into());
            seen.push((condition, gauge.since.as_secs() / 60));
        }
        use Condition::{Degraded, Down, Healthy};
        let want =
            [(Degraded, 1), (Healthy, 2), (Degraded, 3), (Degraded, 3), (Down, 5), (Down, 5), (Healthy, 7)];
        assert_eq!(seen, want);
        let gauge = watched.0.unwrap();
        assert_eq!((gauge.version, gauge.latency_ms), (7, Some(20)));
    }

    #[test]
    fn one_alert_says_down_and_one_recovered() {
        let mut watched = Watched::default();
        let pings = [[Ping::Failed; 5].as_slice(), &[ANSWERED; 4]].concat();
        let turns: Vec<_> = pings.iter().map(|ping| watched.minute(*ping, None).1).collect();
        let (raised, cleared) = (Some(Turn::Raised), Some(Turn::Cleared));
        assert_eq!(turns, [None, None, raised, None, None, None, None, cleared, None]);
    }

    #[test]
    fn a_provider_that_answers_pings_and_makes_nothing_is_degraded_and_routed_by_its_pings() {
        let mut watched = Watched::default();
        let ill = Some(ErrorClass::ProviderUnavailable);
        assert_eq!(watched.minute(ANSWERED, ill), (Condition::Degraded, Some(Turn::Raised)));
        assert_eq!(watched.0.as_ref().unwrap().health, Health::Healthy);
        assert_eq!(watched.minute(ANSWERED, None), (Condition::Healthy, None));
        // Down is worse, and known before it is over.
        let turns: Vec<_> = (0..3).map(|_| watched.minute(Ping::Failed, ill).1).collect();
        assert_eq!(turns, [None, None, Some(Turn::Raised)]);
    }

    #[test]
    fn an_empty_account_and_a_refused_key_are_conditions_of_their_own() {
        let mut watched = Watched::default();
        let (funds, auth) = (Some(ErrorClass::InsufficientFunds), Some(ErrorClass::Auth));
        assert_eq!(watched.minute(ANSWERED, funds), (Condition::NoBalance, Some(Turn::Raised)));
        assert_eq!(watched.minute(ANSWERED, auth), (Condition::KeyRefused, Some(Turn::Raised)));
        // A ping that is refused is one too, at the third.
        let mut gauge = Gauge::new(at(0));
        for (minute, want) in (1..).zip([Condition::Degraded, Condition::Degraded, Condition::KeyRefused]) {
            gauge = gauge.after(Ping::Failed, at(minute)).judged(auth, None, at(minute)).0;
            assert_eq!(gauge.condition(), want);
        }
        assert_eq!(
            gauge.change_from(&Gauge::new(at(0))).map(|change| change.to),
            Some(Condition::KeyRefused)
        );
    }

    #[test]
    fn pings_that_fail_now_and_then_are_no_alert() {
        let mut watched = Watched::default();
        for _ in 0..10 {
            for ping in [Ping::Failed, Ping::Failed, ANSWERED] {
                assert_eq!(watched.minute(ping, None).1, None);
            }
        }
        let gauge = watched.0.unwrap();
        assert_eq!(gauge.since, gauge.checked_at + Duration::ZERO);
    }

    #[test]
    fn an_item_of_an_older_release_has_the_condition_of_its_pings() {
        let old = serde_json::json!({
            "version": 7, "health": "down", "failures": 3, "since": at(1), "checked_at": at(2),
            "is_alerted": true, "alerted_at": at(1),
        });
        let gauge: Gauge = serde_json::from_value(old).unwrap();
        assert_eq!((gauge.condition(), gauge.alarm.raised_at()), (Condition::Down, Some(at(1))));
    }
}
