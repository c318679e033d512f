//! Whether a provider is well: what a series of pings says.

use serde::{Deserialize, Serialize};

use crate::route::Health;
use crate::time::Timestamp;

/// Failures in a row after which a provider counts as down.
pub const DOWN_AFTER: u32 = 3;

/// A provider's health as the table keeps it, shared by all instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    pub version: u64,
    pub health: Health,
    /// Pings in a row that failed.
    pub failures: u32,
    /// Of the latest ping that was answered, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Since when it has been in this health.
    pub since: Timestamp,
    pub checked_at: Timestamp,
    /// When its price list was last asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priced_at: Option<Timestamp>,
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
            failures: 0,
            latency_ms: None,
            since: now,
            checked_at: now,
            priced_at: None,
        }
    }

    /// One failure makes a provider degraded, [`DOWN_AFTER`] in a row make it down, one
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_are_down_and_one_answer_is_well_again() {
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
}
