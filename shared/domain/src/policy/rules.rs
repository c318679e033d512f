//! What the operator is alerted of beside providers, by rules that are data.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::alarm::{Sight, Turn};
use crate::credit::MicroUsd;
use crate::event::EventType;
use crate::job::{Job, State};
use crate::verdict::ErrorClass;

/// Thresholds over the jobs that were submitted within a window. `None` switches a rule off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRules {
    pub window: Duration,
    /// Ended jobs below which neither rate nor latency is judged.
    pub jobs_min: u32,
    /// Of the ended jobs, without those that their caller spoilt or canceled.
    pub success_percent_min: Option<u32>,
    /// From submit to success.
    pub latency_p95_max: Option<Duration>,
    /// What the attempts may have cost.
    pub spend_max: Option<MicroUsd>,
}

impl Default for AlertRules {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(3_600),
            jobs_min: 20,
            success_percent_min: Some(80),
            latency_p95_max: Some(Duration::from_secs(1_800)),
            spend_max: None,
        }
    }
}

/// A field of the rules that cannot be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    #[error("must be a JSON object")]
    NoObject,
    #[error("{0}: there is no such field; the fields are {known}", known = FIELDS.join(", "))]
    Unknown(String),
    #[error("{name} must be a whole number from {min} to {max}{or_null}")]
    Field { name: &'static str, min: u64, max: u64, or_null: &'static str },
}

const FIELDS: [&str; 5] =
    ["window_s", "jobs_min", "success_percent_min", "latency_p95_s_max", "spend_usd_max"];

/// A number of a field; `None` for null.
fn number(name: &'static str, value: &Value, range: RangeInclusive<u64>) -> Result<Option<u64>, BadRules> {
    let is_required = ["window_s", "jobs_min"].contains(&name);
    if value.is_null() && !is_required {
        return Ok(None);
    }
    let (min, max, or_null) = (*range.start(), *range.end(), if is_required { "" } else { ", or null" });
    let number = value.as_u64().filter(|number| range.contains(number));
    number.map(Some).ok_or(BadRules::Field { name, min, max, or_null })
}

impl FromStr for AlertRules {
    type Err = BadRules;

    fn from_str(text: &str) -> Result<Self, BadRules> {
        let given: Map<String, Value> = serde_json::from_str(text).map_err(|_none| BadRules::NoObject)?;
        let known = given.keys().find(|name| !FIELDS.contains(&name.as_str()));
        if let Some(unknown) = known {
            return Err(BadRules::Unknown(unknown.chars().take(40).collect()));
        }
        let mut rules = Self::default();
        let read =
            |name: &'static str, range| given.get(name).map(|value| number(name, value, range)).transpose();
        if let Some(Some(window)) = read("window_s", 300..=86_400)? {
            rules.window = Duration::from_secs(window);
        }
        if let Some(Some(jobs)) = read("jobs_min", 1..=1_000)? {
            rules.jobs_min = u32::try_from(jobs).unwrap_or(u32::MAX);
        }
        if let Some(percent) = read("success_percent_min", 1..=100)? {
            rules.success_percent_min = percent.and_then(|percent| u32::try_from(percent).ok());
        }
        if let Some(seconds) = read("latency_p95_s_max", 1..=86_400)? {
            rules.latency_p95_max = seconds.map(Duration::from_secs);
        }
        if let Some(dollars) = read("spend_usd_max", 1..=1_000_000_000)? {
            rules.spend_max = dollars.map(|dollars| MicroUsd(dollars * 1_000_000));
        }
        Ok(rules)
    }
}

/// What the jobs of a window say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    pub succeeded: u32,
    pub failed: u32,
    /// From the submit to the end of the attempt that succeeded, in 95 of 100.
    pub latency_p95: Option<Duration>,
    pub spend: MicroUsd,
}

impl Window {
    /// Of `listed` jobs these were read: all, or an even sample of them, whose spend stands for that of all.
    pub fn of(jobs: &[Job], listed: usize) -> Self {
        let mut took = Self::times_to_done(jobs);
        took.sort();
        let cost: u128 = jobs.iter().map(|job| u128::from(job.cost().0)).sum();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let scaled = cost * u128::try_from(listed.max(jobs.len())).unwrap_or(1)
            / u128::try_from(jobs.len().max(1)).unwrap_or(1);
        Self {
            succeeded: count(took.len()),
            failed: count(jobs.iter().filter(|job| is_our_failure(job)).count()),
            latency_p95: percentile(&took, 95),
            spend: MicroUsd(u64::try_from(scaled).unwrap_or(u64::MAX)),
        }
    }

    /// From the submit to the end of the attempt that succeeded, of each success.
    pub fn times_to_done(jobs: &[Job]) -> Vec<Duration> {
        let succeeded = jobs.iter().filter(|job| job.state() == State::Succeeded);
        succeeded.filter_map(|job| Some(job.ended_at()?.since(job.created_at()))).collect()
    }

    /// Successes of the ended jobs.
    pub fn percent(&self) -> u32 {
        (self.succeeded * 100).checked_div(self.succeeded + self.failed).unwrap_or(100)
    }
}

/// What so many percent are at most; `None` of nothing.
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

/// A request that no provider could serve says nothing about the service.
fn is_our_failure(job: &Job) -> bool {
    let class = job.fault().map(|fault| fault.class);
    let by_caller = matches!(class, Some(ErrorClass::InvalidRequest | ErrorClass::ContentPolicy));
    job.state() == State::Failed && !by_caller
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    SuccessRate,
    Latency,
    Spend,
}

impl Rule {
    pub const ALL: [Self; 3] = [Self::SuccessRate, Self::Latency, Self::Spend];

    /// The type of its event; also the name of its alarm.
    pub const fn event(self) -> &'static str {
        match self {
            Self::SuccessRate => EventType::SUCCESS_RATE,
            Self::Latency => EventType::LATENCY,
            Self::Spend => EventType::SPEND,
        }
    }

    /// What a window shows of it. Too few jobs raise nothing, and end nothing while they are bad; a rule that is off is
    /// calm.
    pub fn sight(self, rules: &AlertRules, window: &Window) -> Sight {
        let is_bad = |enough: bool, is_bad: Option<bool>| match is_bad {
            Some(true) if !enough => Sight::Unsure,
            Some(true) => Sight::Bad(1),
            Some(false) | None => Sight::Calm,
        };
        match self {
            Self::SuccessRate => is_bad(
                window.succeeded + window.failed >= rules.jobs_min,
                rules.success_percent_min.map(|min| window.percent() < min),
            ),
            Self::Latency => is_bad(
                window.succeeded >= rules.jobs_min,
                rules.latency_p95_max.map(|max| window.latency_p95 > Some(max)),
            ),
            Self::Spend => is_bad(true, rules.spend_max.map(|max| window.spend > max)),
        }
    }

    /// What its event says.
    pub fn data(self, rules: &AlertRules, window: &Window, turn: Turn) -> Value {
        let mut data = json!({"status": turn.name(), "window_s": rules.window.as_secs()});
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs());
        let own = match self {
            Self::SuccessRate => json!({
                "jobs": window.succeeded + window.failed,
                "success_percent": window.percent(),
                "success_percent_min": rules.success_percent_min,
            }),
            Self::Latency => json!({
                "jobs": window.succeeded,
                "latency_p95_s": seconds(window.latency_p95),
                "latency_p95_s_max": seconds(rules.latency_p95_max),
            }),
            Self::Spend => json!({
                "spend_micro_usd": window.spend.0,
                "spend_micro_usd_max": rules.spend_max.map(|max| max.0),
            }),
        };
        if let (Value::Object(data), Value::Object(own)) = (&mut data, own) {
            data.extend(own);
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_over_the_defaults_and_null_switches_one_off() {
        assert_eq!("{}".parse(), Ok(AlertRules::default()));
        let text = r#"{"window_s": 900, "jobs_min": 5, "success_percent_min": null, "spend_usd_max": 40}"#;
        let want = AlertRules {
            window: Duration::from_secs(900),
            jobs_min: 5,
            success_percent_min: None,
            spend_max: Some(MicroUsd(40_000_000)),
            ..AlertRules::default()
        };
        assert_eq!(text.parse(), Ok(want));
    }

    #[test]
    fn a_field_that_cannot_be_so_is_named_with_what_it_may_be() {
        for (text, says) in [
            ("", "must be a JSON object"),
            ("[]", "must be a JSON object"),
            (r#"{"window": 1}"#, "window: there is no such field; the fields are window_s, jobs_min,"),
            (r#"{"window_s": null}"#, "window_s must be a whole number from 300 to 86400"),
            (r#"{"jobs_min": 0}"#, "jobs_min must be a whole number from 1 to 1000"),
            (
                r#"{"success_percent_min": 101}"#,
                "success_percent_min must be a whole number from 1 to 100, or null",
            ),
            (
                r#"{"latency_p95_s_max": "9"}"#,
                "latency_p95_s_max must be a whole number from 1 to 86400, or null",
            ),
            (
                r#"{"spend_usd_max": 0.5}"#,
                "spend_usd_max must be a whole number from 1 to 1000000000, or null",
            ),
        ] {
            let wrong = text.parse::<AlertRules>().unwrap_err().to_string();
            assert!(wrong.starts_with(says), "{text}: {wrong}");
        }
    }

    fn window(succeeded: u32, failed: u32, p95_s: u64, dollars: u64) -> Window {
        let latency_p95 = (succeeded > 0).then_some(Duration::from_secs(p95_s));
        Window { succeeded, failed, latency_p95, spend: MicroUsd(dollars * 1_000_000) }
    }

    #[test]
    fn a_rule_is_judged_by_enough_jobs_only() {
        let rules = AlertRules { spend_max: Some(MicroUsd(10_000_000)), ..AlertRules::default() };
        let sights = |window: Window| Rule::ALL.map(|rule| rule.sight(&rules, &window));
        use Sight::{Bad, Calm, Unsure};
        assert_eq!(sights(window(16, 4, 1_800, 10)), [Calm, Calm, Calm]);
        assert_eq!(sights(window(15, 5, 1_800, 11)), [Bad(1), Calm, Bad(1)]);
        assert_eq!(sights(window(10, 0, 1_801, 0)), [Calm, Unsure, Calm], "few, and bad: an alarm stays");
        assert_eq!(sights(window(20, 4, 1_801, 0)), [Calm, Bad(1), Calm]);
        assert_eq!(sights(window(0, 19, 0, 0)), [Unsure, Calm, Calm]);
        assert_eq!(sights(window(0, 20, 0, 0)), [Bad(1), Calm, Calm]);
        assert_eq!(sights(window(0, 0, 0, 0)), [Calm; 3], "nothing is bad");
        let off = AlertRules { success_percent_min: None, latency_p95_max: None, ..AlertRules::default() };
        assert_eq!(Rule::ALL.map(|rule| rule.sight(&off, &window(0, 99, 0, 99))), [Calm; 3]);
    }
}
