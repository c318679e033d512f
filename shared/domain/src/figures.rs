//! What the jobs of a time say in numbers: how many succeeded, how long it took, what it cost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempt::Phase;
use super::credit::{Credits, MicroUsd};
use super::delivery::Delivery;
use super::job::{Job, State};
use super::policy::rules::{Window, percentile};
use super::time::Timestamp;

/// Median and 95th percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spread {
    pub count: usize,
    pub p50: Option<Duration>,
    pub p95: Option<Duration>,
}

impl Spread {
    pub fn of(mut spans: Vec<Duration>) -> Self {
        spans.sort();
        Self { count: spans.len(), p50: percentile(&spans, 50), p95: percentile(&spans, 95) }
    }
}

/// The numbers of some jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Jobs that were submitted in the time.
    pub submitted: usize,
    /// Those that were read, all or an even sample; the other numbers are of these.
    pub read: usize,
    /// By status.
    pub jobs: BTreeMap<&'static str, u32>,
    /// Of the ended jobs, without those that their caller spoilt or canceled; `None` without any.
    pub success_percent: Option<u32>,
    /// From the submit to success.
    pub time_to_done: Spread,
    /// From the submit to the first attempt.
    pub queue_wait: Spread,
    /// Failed jobs by the class of their error.
    pub errors: BTreeMap<&'static str, u32>,
    /// Attempts whose outcome is unknown, or was to the end.
    pub unknown_attempts: u32,
    pub refunds: u32,
    pub refunded: Credits,
    /// What the attempts may have cost.
    pub cost: MicroUsd,
    /// From an event to its arrival, retries included.
    pub callback_lag: Spread,
    /// Since when the longest overdue check is due.
    pub overdue_jobs: Duration,
    pub overdue_events: Duration,
}

impl Figures {
    /// The numbers of jobs, of which `submitted` were listed.
    pub fn of(jobs: &[Job], submitted: usize, deliveries: &[Delivery]) -> Self {
        let mut figures = Self { submitted, read: jobs.len(), ..Self::default() };
        for job in jobs {
            figures.add(job);
        }
        let window = Window::of(jobs, jobs.len());
        figures.success_percent = (window.succeeded + window.failed > 0).then(|| window.percent());
        figures.time_to_done = Spread::of(Window::times_to_done(jobs));
        let first = |job: &Job| Some(job.attempt(1)?.started_at.since(job.created_at()));
        figures.queue_wait = Spread::of(jobs.iter().filter_map(first).collect());
        let lag = |delivery: &Delivery| Some(delivery.arrived_at()?.since(delivery.created_at));
        figures.callback_lag = Spread::of(deliveries.iter().filter_map(lag).collect());
        figures
    }

    fn add(&mut self, job: &Job) {
        *self.jobs.entry(job.state().name()).or_default() += 1;
        if job.state() == State::Failed
            && let Some(fault) = job.fault()
        {
            *self.errors.entry(fault.class.name()).or_default() += 1;
        }
        let is_unknown =
            |phase: Phase| matches!(phase, Phase::Unclear | Phase::Lost | Phase::PresumedRefused);
        for _ in job.attempts().iter().filter(|attempt| is_unknown(attempt.phase)) {
            self.unknown_attempts += 1;
        }
        if matches!(job.state(), State::Failed | State::Canceled) {
            let refunded = job.refunded().unwrap_or(job.price());
            self.refunds += u32::from(refunded > Credits::ZERO);
            self.refunded = self.refunded.checked_add(refunded).unwrap_or(self.refunded);
        }
        self.cost.0 = self.cost.0.saturating_add(job.cost().0);
    }

    /// With what is overdue.
    #[must_use]
    pub fn overdue(self, job: Option<Timestamp>, event: Option<Timestamp>, now: Timestamp) -> Self {
        let since = |at: Option<Timestamp>| at.map_or(Duration::ZERO, |at| now.since(at));
        Self { overdue_jobs: since(job), overdue_events: since(event), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_and_nearly_all_are_at_most_so_long() {
        let secs = |secs| Duration::from_secs(secs);
        let spread = Spread::of((1..=100).rev().map(secs).collect());
        assert_eq!(spread, Spread { count: 100, p50: Some(secs(50)), p95: Some(secs(95)) });
        let one = Spread { count: 1, p50: Some(secs(7)), p95: Some(secs(7)) };
        assert_eq!(Spread::of(vec![secs(7)]), one);
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn without_jobs_there_is_no_rate() {
        let at = Timestamp::from_secs(100);
        let figures = Figures::of(&[], 0, &[]).overdue(Some(at), None, at + Duration::from_secs(9));
        assert_eq!((figures.success_percent, figures.read), (None, 0));
        assert_eq!((figures.overdue_jobs, figures.overdue_events), (Duration::from_secs(9), Duration::ZERO));
    }
}
