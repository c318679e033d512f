//! How much a provider takes: a rate by GCRA, and attempts at once by leases.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::RUNNING_MAX;
use crate::provider::Provider;
use crate::time::Timestamp;

/// How long an attempt keeps its place if nobody gives it back: as long as it may run.
pub const LEASE: Duration = RUNNING_MAX;
/// When to look again after a provider that had no place free.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const MINUTE_MS: u64 = 60_000;

/// What the providers say of themselves, by name. One that queues whatever it gets (fal,
/// Runway) has no limit here: holding a job back on our side would win nothing.
const KNOWN: [(&str, Limits); 1] =
    [("replicate", Limits { per_minute: Some(600), burst: None, at_once: None })];

/// What a provider takes from us. A limit that is absent is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Creates a minute, 1 to 60,000.
    pub per_minute: Option<u32>,
    /// Creates that may come together; without it, five seconds' worth.
    pub burst: Option<u32>,
    /// Attempts that may run at once.
    pub at_once: Option<u32>,
}

/// The limits of all providers: the known ones, overridden by what an operator says, as
/// `runway=per_minute:60,burst:5;fal=at_once:40`. Naming a provider replaces all its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitTable(BTreeMap<Provider, Limits>);

/// A text that is no table of limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not like `runway=per_minute:60,burst:5,at_once:10`")]
pub struct NoLimits(String);

impl Default for LimitTable {
    fn default() -> Self {
        let known = KNOWN.iter().filter_map(|(name, limits)| Some((name.parse().ok()?, *limits)));
        Self(known.collect())
    }
}

impl LimitTable {
    pub fn of(&self, provider: Provider) -> Limits {
        self.0.get(&provider).copied().unwrap_or_default()
    }
}

impl FromStr for LimitTable {
    type Err = NoLimits;

    fn from_str(text: &str) -> Result<Self, NoLimits> {
        let mut table = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (provider, limits) = parse(part).ok_or_else(|| NoLimits(part.chars().take(60).collect()))?;
            table.0.insert(provider, limits);
        }
        Ok(table)
    }
}

fn parse(part: &str) -> Option<(Provider, Limits)> {
    let (provider, settings) = part.split_once('=')?;
    let mut limits = Limits::default();
    for setting in settings.split(',').map(str::trim).filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once(':')?;
        let value = value.trim().parse().ok().filter(|value| (1..=60_000).contains(value))?;
        let field = match name.trim() {
            "per_minute" => &mut limits.per_minute,
            "burst" => &mut limits.burst,
            "at_once" => &mut limits.at_once,
            _ => return None,
        };
        *field = Some(value);
    }
    Some((provider.trim().parse().ok()?, limits))
}

/// The name of an attempt's lease, from its claim: random, so that rivals differ.
pub fn lease(claim: u64) -> String {
    format!("{claim:016x}")
}

/// How much of the limits is used up, as the table keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// When the bucket is empty again (the "theoretical arrival time"); the past if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_until: Option<Timestamp>,
    /// Attempts that hold a place, and when each lapses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<String, Timestamp>,
}

impl Usage {
    /// Takes a place for this attempt; or says when to ask again. Within any span `s` at most
    /// `burst + s × rate` attempts are let through, and never more than `at_once` hold a
    /// lease. Asking again for the same attempt takes no second lease.
    pub fn take(&self, lease: &str, limits: Limits, now: Timestamp) -> Result<Self, Duration> {
        let mut after = self.clone();
        if let Some(rate) = limits.per_minute {
            after.full_until = Some(self.pass(u64::from(rate), limits.burst, now)?);
        }
        if let Some(most) = limits.at_once {
            after.leases.retain(|_, lapses| *lapses > now);
            let places = usize::try_from(most).unwrap_or(usize::MAX);
            if !after.leases.contains_key(lease) && after.leases.len() >= places {
                let first = after.leases.values().min().map_or(LOOK_AGAIN, |lapses| lapses.since(now));
                return Err(first.min(LOOK_AGAIN));
            }
            after.leases.insert(lease.to_owned(), now + LEASE);
        }
        Ok(after)
    }

    fn pass(&self, per_minute: u64, burst: Option<u32>, now: Timestamp) -> Result<Timestamp, Duration> {
        let each = (MINUTE_MS / per_minute.max(1)).max(1);
        let burst = burst.map_or((per_minute / 12).max(1), u64::from);
        let slack = Duration::from_millis(each.saturating_mul(burst.saturating_sub(1)));
        let full_until = self.full_until.map_or(now, |until| until.max(now));
        let ahead = full_until.since(now);
        if ahead > slack {
            return Err(ahead - slack);
        }
        Ok(full_until + Duration::from_millis(each))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn limits(per_minute: Option<u32>, burst: Option<u32>, at_once: Option<u32>) -> Limits {
        Limits { per_minute, burst, at_once }
    }

    proptest! {
        #[test]
        fn no_span_sees_more_than_burst_and_rate(
            rate in 1_u32..2_000,
            burst in 1_u32..20,
            gaps in prop::collection::vec(0_u64..3_000, 1..200),
        ) {
            let limits = limits(Some(rate), Some(burst), None);
            let each = u64::from((60_000 / rate).max(1));
            let (mut usage, mut now, mut passed) = (Usage::default(), START, Vec::new());
            for gap in gaps {
                now = now + Duration::from_millis(gap);
                if let Ok(after) = usage.take("a", limits, now) {
                    usage = after;
                    passed.push(now);
                }
            }
            for (i, first) in passed.iter().enumerate() {
                for (j, last) in passed.iter().enumerate().skip(i) {
                    let span = u64::try_from(last.since(*first).as_millis()).unwrap();
                    prop_assert!((j - i + 1) as u64 <= u64::from(burst) + span / each);
                }
            }
        }

        #[test]
        fn who_waits_as_long_as_it_is_told_gets_through(rate in 1_u32..2_000, burst in 1_u32..20) {
            let limits = limits(Some(rate), Some(burst), None);
            let mut usage = Usage::default();
            for _ in 0..burst {
                usage = usage.take("a", limits, START).unwrap();
            }
            let wait = usage.take("a", limits, START).unwrap_err();
            prop_assert!(usage.take("a", limits, START + (wait - Duration::from_millis(1))).is_err());
            prop_assert!(usage.take("a", limits, START + wait).is_ok());
        }

        #[test]
        fn never_more_hold_a_lease_than_may(
            most in 1_u32..5,
            steps in prop::collection::vec((0_u64..2_400, 0_u8..12, any::<bool>()), 1..100),
        ) {
            let limits = limits(None, None, Some(most));
            let (mut usage, mut now) = (Usage::default(), START);
            let mut running: BTreeMap<String, Timestamp> = BTreeMap::new();
            for (gap, name, ends) in steps {
                now = now + Duration::from_secs(gap);
                running.retain(|_, until| *until > now);
                let name = name.to_string();
                if ends {
                    usage.leases.remove(&name);
                    running.remove(&name);
                } else {
                    let room = running.contains_key(&name) || running.len() < most as usize;
                    match usage.take(&name, limits, now) {
                        Ok(after) => {
                            prop_assert!(room);
                            usage = after;
                            running.insert(name, now + LEASE);
                        }
                        Err(wait) => prop_assert!(!room && wait > Duration::ZERO),
                    }
                }
                prop_assert!(running.len() <= most as usize);
            }
        }
    }

    #[test]
    fn no_limit_takes_nothing_down() {
        assert_eq!(Usage::default().take("a", Limits::default(), START), Ok(Usage::default()));
    }

    #[test]
    fn an_operator_overrides_the_known_limits_and_is_told_of_nonsense() {
        let table: LimitTable = "runway=per_minute:60,burst:5; fal=at_once:40;".parse().unwrap();
        assert_eq!(table.of(Provider::Runway), limits(Some(60), Some(5), None));
        assert_eq!(table.of(Provider::Fal), limits(None, None, Some(40)));
        let none: LimitTable = "runway=".parse().unwrap();
        assert_eq!(none.of(Provider::Runway), Limits::default());
        for text in
            ["runway", "nobody=at_once:1", "fal=at_once:0", "fal=at_once", "fal=soon:1", "fal=burst:-1"]
        {
            assert!(text.parse::<LimitTable>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_of_sixty_a_minute_lets_one_through_each_second() {
        let passes = |limits: Limits, gap_ms: u64| {
            let mut usage = Usage::default();
            let mut passes = 0;
            for n in 0..10 {
                if let Ok(after) = usage.take("a", limits, START + Duration::from_millis(n * gap_ms)) {
                    usage = after;
                    passes += 1;
                }
            }
            passes
        };
        let one = limits(Some(60), Some(1), None);
        assert_eq!((passes(one, 0), passes(one, 999), passes(one, 1_000)), (1, 5, 10));
        // Without a burst, five seconds' worth come together, and one at the least.
        assert_eq!(passes(limits(Some(60), None, None), 0), 5);
        assert_eq!(passes(limits(Some(1), None, None), 0), 1);
    }

    #[test]
    fn a_place_lapses_with_its_hour_and_a_full_provider_is_looked_at_again_soon() {
        let limits = limits(None, None, Some(1));
        let full = Usage::default().take("a", limits, START).unwrap();
        let hour = Duration::from_secs(3_600);
        assert_eq!(full.take("b", limits, START), Err(Duration::from_secs(2)));
        let nearly = START + (hour - Duration::from_millis(1));
        assert_eq!(full.take("b", limits, nearly), Err(Duration::from_millis(1)));
        assert!(full.take("b", limits, START + hour).is_ok());
    }

    #[test]
    fn rivals_have_leases_of_their_own() {
        assert_eq!(lease(7), lease(7));
        assert_ne!(lease(7), lease(8));
        assert!(!lease(7).is_empty());
    }
}
