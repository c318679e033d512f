//! Health of a provider, from its pings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::route::Health;
use crate::time::Timestamp;

/// Consecutive failures after which a provider is down.
pub const DOWN_AFTER: u32 = 3;

/// The stored health of a provider, shared by all instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    pub version: u64,
    pub health: Health,
    /// Consecutive failed pings.
    pub failures: u32,
    /// Of the latest successful ping, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// When `health` last changed.
    pub since: Timestamp,
    pub checked_at: Timestamp,
    /// When its price list was last requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priced_at: Option<Timestamp>,
    /// Whether the operator was alerted that it is down, and not yet that it has recovered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_alerted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerted_at: Option<Timestamp>,
}

/// An alert for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    Down,
    Recovered,
}

/// How long after an alert no other says that the provider is down.
pub const COOLDOWN: Duration = Duration::from_secs(15 * 60);

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
            failures: 0,
            latency_ms: None,
            since: now,
            checked_at: now,
            priced_at: None,
            is_alerted: false,
            alerted_at: None,
        }
    }

    /// The alert that its change to `self` calls for, with the gauge that records it. One that is down
    /// again within [`COOLDOWN`] is reported when that has passed, if it still is.
    #[must_use]
    pub fn with_alert(self, now: Timestamp) -> (Self, Option<Alert>) {
        let is_quiet = self.alerted_at.is_some_and(|at| now.since(at) < COOLDOWN);
        match self.health {
            Health::Down if !self.is_alerted && !is_quiet => {
                (Self { is_alerted: true, alerted_at: Some(now), ..self }, Some(Alert::Down))
            }
            Health::Healthy if self.is_alerted => {
                (Self { is_alerted: false, ..self }, Some(Alert::Recovered))
            }
            _ => (self, None),
        }
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
            since: if health == self.health { self.since } else { now },
            checked_at: now,
            priced_at: self.priced_at,
            is_alerted: self.is_alerted,
            alerted_at: self.alerted_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_consecutive_failures_are_down_and_one_answer_is_healthy() {
        let at = Timestamp::from_secs;
        let mut gauge = Gauge::new(at(0));
        let mut seen = Vec::new();
        for (second, ping) in (1..).zip([
            Ping::Failed,
            Ping::Answered { latency_ms: 20 },
            Ping::Failed,
            Ping::Failed,
            Ping::Failed,
            Ping::Failed,
            Ping::Answered { latency_ms: 30 },
        ]) {
            gauge = gauge.after(ping, at(second));
            seen.push((gauge.health, gauge.since.as_secs()));
        }
        use Health::{Degraded, Down, Healthy};
        let want =
            [(Degraded, 1), (Healthy, 2), (Degraded, 3), (Degraded, 3), (Down, 5), (Down, 5), (Healthy, 7)];
        assert_eq!(seen, want);
        assert_eq!((gauge.version, gauge.latency_ms), (7, Some(30)));
    }

    #[test]
    fn one_alert_says_down_and_one_recovered_and_none_flaps() {
        let (mut gauge, mut alerts) = (Gauge::new(Timestamp::from_secs(0)), Vec::new());
        let answered = Ping::Answered { latency_ms: 20 };
        let mut minute = |pings: &[Ping], alerts: &mut Vec<(i64, Alert)>| {
            for ping in pings {
                let now = gauge.checked_at + Duration::from_secs(60);
                let (next, alert) = gauge.after(*ping, now).with_alert(now);
                gauge = next;
                alerts.extend(alert.map(|alert| (now.as_secs() / 60, alert)));
            }
        };
        minute(&[Ping::Failed; 5], &mut alerts);
        minute(&[answered; 2], &mut alerts);
        assert_eq!(alerts, [(3, Alert::Down), (6, Alert::Recovered)]);
        // Down again at once: the operator hears of it when the cooldown has passed, and only then.
        minute(&[Ping::Failed; 20], &mut alerts);
        minute(&[answered], &mut alerts);
        assert_eq!(alerts[2..], [(18, Alert::Down), (28, Alert::Recovered)]);
    }
}
