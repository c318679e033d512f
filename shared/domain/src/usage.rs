//! Usage: sums over jobs, by the time at which they were charged.
//!
//! A job belongs to the hour and the day of its charge with all that becomes of it, however late. So what is
//! charged less what is refunded is what a [budget](super::budget) of the same period counts.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::credit::{Credits, MicroUsd};
use super::id::KeyId;
use super::job::{Job, State};
use super::provider::Provider;
use super::request::{JobRequest, METADATA_KEY_CHARS_MAX};
use super::time::Timestamp;
use super::verdict::Billed;

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Hour,
    Day,
}

impl Width {
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    const fn secs(self) -> u64 {
        match self {
            Self::Hour => 3_600,
            Self::Day => 24 * 3_600,
        }
    }

    /// This many of them.
    pub const fn times(self, count: u32) -> Duration {
        Duration::from_secs(self.secs().saturating_mul(count as u64))
    }

    /// The start of the bucket of a time, in UTC.
    pub fn start(self, at: Timestamp) -> Timestamp {
        let width = self.times(1).as_millis();
        let width = i64::try_from(width).expect("a day has few milliseconds");
        Timestamp::from_millis(at.as_millis().div_euclid(width) * width)
    }

    /// The start of the first bucket that begins at a time or later.
    pub fn start_from(self, at: Timestamp) -> Timestamp {
        let start = self.start(at);
        if start == at { at } else { start + self.times(1) }
    }
}

/// By what jobs are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    Model,
    /// Of the current attempt: of a success, the one that made it.
    Provider,
    Key,
    Status,
    /// The value of this name in the metadata of the request.
    Metadata(String),
}

impl Group {
    /// The names of groups, as errors list them.
    pub const NAMES: [&str; 5] = ["model", "provider", "key", "status", "metadata.<name>"];
    const METADATA: &str = "metadata.";
}

/// A text that names no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a group of usage")]
pub struct InvalidGroup;

impl FromStr for Group {
    type Err = InvalidGroup;

    fn from_str(text: &str) -> Result<Self, InvalidGroup> {
        match text {
            "model" => Ok(Self::Model),
            "provider" => Ok(Self::Provider),
            "key" => Ok(Self::Key),
            "status" => Ok(Self::Status),
            _ => {
                let name = text.strip_prefix(Self::METADATA).ok_or(InvalidGroup)?;
                let is_name = (1..=METADATA_KEY_CHARS_MAX).contains(&name.chars().count());
                if is_name { Ok(Self::Metadata(name.to_owned())) } else { Err(InvalidGroup) }
            }
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => f.write_str("model"),
            Self::Provider => f.write_str("provider"),
            Self::Key => f.write_str("key"),
            Self::Status => f.write_str("status"),
            Self::Metadata(name) => write!(f, "{}{name}", Self::METADATA),
        }
    }
}

/// A job with what usage needs of it beside itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub job: Job,
    pub request: JobRequest,
    /// The key that ordered it; `None` for jobs of older releases.
    pub key: Option<KeyId>,
}

impl Record {
    fn value(&self, group: &Group) -> Option<String> {
        match group {
            Group::Model => Some(self.job.model().to_owned()),
            Group::Provider => self.job.current().map(|attempt| attempt.provider.name().to_owned()),
            Group::Key => self.key.as_ref().map(ToString::to_string),
            Group::Status => Some(self.job.state().name().to_owned()),
            Group::Metadata(name) => self.request.metadata.get(name).cloned(),
        }
    }
}

/// Sums over jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    pub jobs: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub canceled: u64,
    /// Ordered seconds of the videos that succeeded.
    pub seconds: u64,
    /// In micro-credits.
    pub charged: u64,
    /// In micro-credits.
    pub refunded: u64,
    /// What all attempts may have cost us.
    pub cost: MicroUsd,
    /// The part of it that brought no result.
    pub lost: MicroUsd,
}

impl Sums {
    /// The names of [`values`](Self::values), in the API and everywhere else.
    pub const NAMES: [&str; 7] = [
        "jobs",
        "succeeded",
        "failed",
        "canceled",
        "seconds",
        "charged_micro_credits",
        "refunded_micro_credits",
    ];

    /// What a caller sees.
    pub const fn values(&self) -> [u64; 7] {
        let Self { jobs, succeeded, failed, canceled, seconds, charged, refunded, .. } = *self;
        [jobs, succeeded, failed, canceled, seconds, charged, refunded]
    }

    fn add(&mut self, record: &Record) {
        let job = &record.job;
        self.jobs += 1;
        match job.state() {
            State::Succeeded => {
                self.succeeded += 1;
                self.seconds += u64::from(record.request.duration_s.unwrap_or(0));
            }
            State::Failed => self.failed += 1,
            State::Canceled => self.canceled += 1,
            State::Queued | State::Dispatching | State::Running | State::Settling | State::Other(_) => {}
        }
        self.charged += job.price().micros();
        if matches!(job.state(), State::Failed | State::Canceled) {
            self.refunded += job.refunded().unwrap_or(job.price()).micros();
        }
        for (_, cost, is_lost) in costs(job) {
            self.cost.0 += cost.0;
            self.lost.0 += if is_lost { cost.0 } else { 0 };
        }
    }

    /// What is left of the charges, in micro-credits.
    pub const fn net(&self) -> u64 {
        self.charged.saturating_sub(self.refunded)
    }

    /// What is left of the charges after the cost, in micro-dollars.
    pub fn margin_micro_usd(&self) -> i128 {
        i128::from(Credits::from_micros(self.net()).as_usd().0) - i128::from(self.cost.0)
    }
}

/// The attempts of a job that may be billed: provider, cost, and whether it brought no result.
fn costs(job: &Job) -> impl Iterator<Item = (Provider, MicroUsd, bool)> {
    // The current attempt of an active job may still bring one.
    let is_without = matches!(job.state(), State::Failed | State::Canceled);
    let made = (!is_without).then(|| job.current_number());
    let billed = job.attempts().iter().filter(|attempt| attempt.billed != Billed::No);
    billed.filter_map(move |attempt| Some((attempt.provider, attempt.cost?, made != Some(attempt.number))))
}

/// The attempts at one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AtProvider {
    pub attempts: u64,
    /// What they may have cost us.
    pub cost: MicroUsd,
    /// The part of it that brought no result.
    pub lost: MicroUsd,
}

/// Sums by bucket and group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    width: Width,
    groups: Vec<Group>,
    /// By the start of the bucket, then by the values of the groups.
    buckets: BTreeMap<Timestamp, BTreeMap<Vec<Option<String>>, Sums>>,
    providers: BTreeMap<Provider, AtProvider>,
}

impl Usage {
    pub const fn new(width: Width, groups: Vec<Group>) -> Self {
        Self { width, groups, buckets: BTreeMap::new(), providers: BTreeMap::new() }
    }

    pub fn add(&mut self, record: &Record) {
        let values = self.groups.iter().map(|group| record.value(group)).collect();
        let bucket = self.buckets.entry(self.width.start(record.job.created_at())).or_default();
        bucket.entry(values).or_default().add(record);
        for attempt in record.job.attempts() {
            self.providers.entry(attempt.provider).or_default().attempts += 1;
        }
        for (provider, cost, is_lost) in costs(&record.job) {
            let at = self.providers.entry(provider).or_default();
            at.cost.0 += cost.0;
            at.lost.0 += if is_lost { cost.0 } else { 0 };
        }
    }

    /// The results of the bucket that starts then, each with the values of the groups; none of an empty one.
    pub fn results(&self, start: Timestamp) -> impl Iterator<Item = (&[Option<String>], &Sums)> {
        let results = self.buckets.get(&start).into_iter().flatten();
        results.map(|(values, sums)| (values.as_slice(), sums))
    }

    pub const fn providers(&self) -> &BTreeMap<Provider, AtProvider> {
        &self.providers
    }

    /// The sum of all net charges, in micro-credits.
    pub fn net(&self) -> u64 {
        self.buckets.values().flat_map(BTreeMap::values).map(Sums::net).sum()
    }
}

/// What a period will have come to if it goes on as it began.
pub fn project(spent: u64, start: Timestamp, now: Timestamp, end: Timestamp) -> u64 {
    let (elapsed, whole) = (now.since(start).as_millis(), end.since(start).as_millis());
    let projected = u128::from(spent).saturating_mul(whole).checked_div(elapsed).unwrap_or(0);
    u64::try_from(projected).unwrap_or(u64::MAX).max(spent)
}

/// A cell of a CSV file (RFC 4180). A spreadsheet takes it for no formula.
pub fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests;
