//! Limits of a provider: a rate limit by GCRA, and concurrency slots held by leases.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::RUNNING_MAX;
use crate::provider::Provider;
use crate::time::Timestamp;

/// How long an attempt holds its concurrency slot if it is not released: as long as it may run.
pub const SLOT_TTL: Duration = RUNNING_MAX;
/// When to re-check a provider without a free slot.
const RECHECK: Duration = Duration::from_secs(2);
const MINUTE_MS: u64 = 60_000;

/// Limits that the providers publish. A provider that queues every request (fal, Runway) needs
/// no limit here.
const KNOWN: [(&str, Limits); 1] =
    [("replicate", Limits { per_minute: Some(600), burst: None, at_once: None })];

/// Limits of one provider. An absent limit does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Creates a minute, 1 to 60,000.
    pub per_minute: Option<u32>,
    /// Creates in one burst; by default, five seconds' worth.
    pub burst: Option<u32>,
    /// Concurrency slots.
    pub at_once: Option<u32>,
}

/// The limits of all providers: the published ones, overridden by the operator's setting, as
/// `runway=per_minute:60,burst:5;fal=at_once:40`. Naming a provider replaces all its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitTable(BTreeMap<Provider, Limits>);

/// An invalid table of limits.
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

/// The name of an attempt's concurrency slot. The claim is random: each attempt has its own slot.
pub fn slot_name(claim: u64) -> String {
    format!("{claim:016x}")
}

/// The stored use of the limits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The theoretical arrival time of the GCRA; in the past if the bucket is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_until: Option<Timestamp>,
    /// Concurrency slots in use, and when each lease expires.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<String, Timestamp>,
}

impl Usage {
    /// Takes a concurrency slot and a token of the rate limit, or returns when to try again.
    /// Within any span `s` at most `burst + s × rate` attempts are admitted, and never more than
    /// `at_once` hold a slot. A repeat for the same slot takes no second one.
    pub fn take(&self, slot: &str, limits: Limits, now: Timestamp) -> Result<Self, Duration> {
        let mut after = self.clone();
        if let Some(rate) = limits.per_minute {
            after.full_until = Some(self.take_token(u64::from(rate), limits.burst, now)?);
        }
        if let Some(most) = limits.at_once {
            after.leases.retain(|_, expires| *expires > now);
            let slots = usize::try_from(most).unwrap_or(usize::MAX);
            if !after.leases.contains_key(slot) && after.leases.len() >= slots {
                let first = after.leases.values().min().map_or(RECHECK, |expires| expires.since(now));
                return Err(first.min(RECHECK));
            }
            after.leases.insert(slot.to_owned(), now + SLOT_TTL);
        }
        Ok(after)
    }

    fn take_token(&self, per_minute: u64, burst: Option<u32>, now: Timestamp) -> Result<Timestamp, Duration> {
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
        fn the_returned_wait_is_exact(rate in 1_u32..2_000, burst in 1_u32..20) {
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
        fn never_more_slots_are_held_than_configured(
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
                            running.insert(name, now + SLOT_TTL);
                        }
                        Err(wait) => prop_assert!(!room && wait > Duration::ZERO),
                    }
                }
                prop_assert!(running.len() <= most as usize);
            }
        }
    }

    #[test]
    fn without_limits_nothing_is_recorded() {
        assert_eq!(Usage::default().take("a", Limits::default(), START), Ok(Usage::default()));
    }

    #[test]
    fn an_operator_overrides_the_published_limits_and_invalid_text_is_rejected() {
        let table: LimitTable = "runway=per_minute:60,burst:5; fal=at_once:40;".parse().unwrap();
        assert_eq!(table.of(Provider::Runway), limits(Some(60), Some(5), None));
        assert_eq!(table.of(Provider::Fal), limits(None, None, Some(40)));
        let none: LimitTable = "runway=".parse().unwrap();
        assert_eq!(none.of(Provider::Runway), Limits::default());
        for text in
            ["runway", "unknown=at_once:1", "fal=at_once:0", "fal=at_once", "fal=soon:1", "fal=burst:-1"]
        {
            assert!(text.parse::<LimitTable>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_of_sixty_a_minute_admits_one_each_second() {
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
    fn a_slot_expires_after_an_hour_and_a_full_provider_is_rechecked_soon() {
        let limits = limits(None, None, Some(1));
        let full = Usage::default().take("a", limits, START).unwrap();
        let hour = Duration::from_secs(3_600);
        assert_eq!(full.take("b", limits, START), Err(Duration::from_secs(2)));
        let nearly = START + (hour - Duration::from_millis(1));
        assert_eq!(full.take("b", limits, nearly), Err(Duration::from_millis(1)));
        assert!(full.take("b", limits, START + hour).is_ok());
    }

    #[test]
    fn each_claim_has_its_own_slot() {
        assert_eq!(slot_name(7), slot_name(7));
        assert_ne!(slot_name(7), slot_name(8));
        assert!(!slot_name(7).is_empty());
    }
}
