//! A job, as of one version.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, Phase};
use super::budget::Counter;
use super::credit::{Credits, MicroUsd};
use super::id::{AccountId, JobId};
use super::media::Media;
use super::price_book::PERCENT_DEFAULT;
use super::time::Timestamp;
use super::verdict::{Billed, ErrorClass, Fault};

mod record;
mod state;

pub use state::{CancelRefund, Notifies, State, Stop, UnclearCreate};

/// Maximum number of attempts of one job.
pub const ATTEMPTS_MAX: usize = 4;
/// Interval between the checks of an active job.
pub const CHECK_EVERY: Duration = Duration::from_secs(120);
/// How long a job may wait for an attempt before it fails and is refunded.
pub const QUEUED_MAX: Duration = Duration::from_secs(3_600);
/// How long an attempt with an unknown outcome may still be reported. Longer than the last
/// webhook retry of every provider (fal: two hours), so that nothing is refunded that still bills.
pub const UNCLEAR_MAX: Duration = Duration::from_secs(7_200 + 300);
/// How long a remote job may run before it is canceled.
pub const RUNNING_MAX: Duration = Duration::from_secs(3_600);
/// How long a cancel is repeated before the attempt counts as lost.
pub const STOPPING_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How long the lease of a copy lasts after its last renewal.
pub const COPY_LEASE: Duration = Duration::from_secs(30);
/// How long the download of a billed result is retried.
pub const SETTLING_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A job, as of one version.
///
/// # Guarantees
///
/// - `version` grows by exactly one with every transition; only [`Job::decide`] makes transitions.
/// - It has at most [`ATTEMPTS_MAX`] attempts, and each is sent to its provider at most once.
/// - It ends `failed` or `canceled` with exactly one refund, `succeeded` with none.
/// - It is not refunded while an attempt may still run and bill, unless that attempt's deadline
///   has passed.
///
/// Its fields are private, so that nothing else breaks these:
///
/// ```compile_fail,E0616
/// fn end(job: &mut domain::job::Job) {
///     job.state = domain::job::State::Succeeded;
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub(crate) id: JobId,
    pub(crate) account: AccountId,
    pub(crate) version: u64,
    pub(crate) state: State,
    pub(crate) model: String,
    /// What the caller was charged.
    pub(crate) price: Credits,
    /// Digest of the request; see [`JobRequest::digest`](super::request::JobRequest::digest).
    pub(crate) request_hash: String,
    /// Digest of the request body; `None` for jobs of older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body_digest: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// When it ended, once a later move has changed `updated_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<Timestamp>,
    /// Deadline of the current state.
    pub(crate) deadline: Timestamp,
    /// Number of the current attempt; 0 before the first.
    pub(crate) attempt: u8,
    /// In the order they were made: attempt `n` at index `n - 1`.
    pub(crate) attempts: Vec<Attempt>,
    /// While it is settling: end of the lease of the running copy, or of the back-off before the
    /// next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy_until: Option<Timestamp>,
    /// The lease of that copy: the version that granted it, unique to each copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy_lease: Option<u64>,
    /// Why it is being canceled, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<Stop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media: Option<Media>,
    /// Why it ended without a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
    /// Refund policy, as of the cancel request.
    #[serde(default, skip_serializing_if = "CancelRefund::is_default")]
    pub(crate) cancel_refund: CancelRefund,
    /// The refund; `None` without one, and for ended jobs of older releases, which refunded the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refunded: Option<Credits>,
    /// When its caller had its files deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_at: Option<Timestamp>,
    /// Which of its moves are events. A short name: a finished row nearly has the size of a double write.
    #[serde(rename = "ev", default, skip_serializing_if = "Notifies::is_default")]
    pub(crate) notifies: Notifies,
    /// The counters that its price was charged to, and that its refund goes back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) budgets: Vec<Counter>,
    /// The version of the price book that its price is of; 0 for the catalogue.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) price_version: u32,
    /// What was charged of the listed price, by account or volume, in percent.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub(crate) price_percent: u32,
    /// Whether its account's count of active jobs leaves it out. A short name, as above.
    #[serde(rename = "uc", default, skip_serializing_if = "is_false")]
    pub(crate) uncounted: bool,
}

/// What an active job waits for, and which message advances it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// A `dispatch` message.
    Dispatch,
    /// A `poll` message about this attempt.
    Poll(u8),
    /// A webhook or the deadline: its attempt has no known remote job to poll.
    Wait,
    /// Nothing: it has ended, or a newer release handles it.
    Nothing,
}

impl Job {
    /// A new job that has just been charged.
    pub fn new(
        id: JobId,
        account: AccountId,
        model: String,
        price: Credits,
        request_hash: String,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            account,
            version: 1,
            state: State::Queued,
            model,
            price,
            request_hash,
            body_digest: None,
            created_at: now,
            updated_at: now,
            ended_at: None,
            deadline: now + QUEUED_MAX,
            attempt: 0,
            attempts: Vec::new(),
            copy_until: None,
            copy_lease: None,
            stop: None,
            media: None,
            fault: None,
            cancel_refund: CancelRefund::default(),
            refunded: None,
            deleted_at: None,
            notifies: Notifies::default(),
            budgets: Vec::new(),
            price_version: 0,
            price_percent: PERCENT_DEFAULT,
            uncounted: false,
        }
    }

    /// With events for its moves.
    #[must_use]
    pub fn with_events(self, notifies: Notifies) -> Self {
        Self { notifies, ..self }
    }

    /// Charged to these counters as well.
    #[must_use]
    pub fn with_budgets(self, budgets: Vec<Counter>) -> Self {
        Self { budgets, ..self }
    }

    /// With the version of the price book that its price is of, and the percentage.
    #[must_use]
    pub fn with_price_of(self, price_version: u32, price_percent: u32) -> Self {
        Self { price_version, price_percent, ..self }
    }

    /// Left out of its account's count of active jobs.
    #[must_use]
    pub fn with_uncounted(self, uncounted: bool) -> Self {
        Self { uncounted, ..self }
    }

    /// With the digest of the request body.
    #[must_use]
    pub fn with_body_digest(self, body_digest: Option<String>) -> Self {
        Self { body_digest, ..self }
    }

    pub fn attempt(&self, number: u8) -> Option<&Attempt> {
        self.attempts.get(usize::from(number.checked_sub(1)?))
    }

    /// The name of an attempt's provider: the message group of the attempt.
    pub fn provider_of(&self, number: u8) -> &'static str {
        self.attempt(number).map_or("none", |attempt| attempt.provider.name())
    }

    /// The current attempt.
    pub fn current(&self) -> Option<&Attempt> {
        self.attempt(self.attempt)
    }

    /// Whether it waits for this attempt's file.
    pub fn waits_for_file_of(&self, number: u8) -> bool {
        self.state == State::Settling && self.attempt == number
    }

    /// Whether expiring now could discard a finished attempt.
    pub fn may_have_finished(&self) -> bool {
        match self.state {
            State::Dispatching | State::Settling => true,
            // The first deadline of a running job only cancels it.
            State::Running => self.stop.is_some(),
            State::Queued | State::Succeeded | State::Failed | State::Canceled | State::Other(_) => false,
        }
    }

    pub fn next_step(&self) -> NextStep {
        match self.state {
            State::Queued => NextStep::Dispatch,
            State::Running | State::Settling => NextStep::Poll(self.attempt),
            State::Dispatching => NextStep::Wait,
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => NextStep::Nothing,
        }
    }

    /// Superseded attempts that may still run and be billed. They are found, canceled at the
    /// provider, and their end is recorded as a cost.
    pub fn superseded_attempts(&self) -> impl Iterator<Item = &Attempt> {
        let is_decided = self.state.is_terminal() || self.state == State::Settling;
        let is_awaited = move |attempt: &Attempt| !is_decided && attempt.number == self.attempt;
        self.attempts.iter().filter(move |attempt| attempt.phase.is_open() && !is_awaited(attempt))
    }

    /// The messages that the job needs next. They depend on the job alone, so sending them again
    /// after a repeat is safe.
    pub fn follow_ups(&self) -> Vec<FollowUp> {
        let mut follow_ups = Vec::new();
        if self.state == State::Queued {
            follow_ups.push(FollowUp::Dispatch);
        }
        for attempt in &self.attempts {
            match attempt.phase {
                Phase::Running if self.is_polled(attempt.number, attempt.reports) => {
                    follow_ups.push(FollowUp::Poll(attempt.number));
                }
                Phase::Unclear => follow_ups.push(FollowUp::LookUp(attempt.number)),
                _ => {}
            }
        }
        follow_ups
    }

    /// Whether this attempt must be polled: its provider sends no webhook, or it should stop.
    pub fn is_polled(&self, number: u8, reports: bool) -> bool {
        let running = self.attempt(number).is_some_and(|attempt| attempt.phase == Phase::Running);
        running && (!reports || self.should_stop(number))
    }

    /// Whether this attempt's remote job should be canceled.
    pub fn should_stop(&self, number: u8) -> bool {
        self.stop.is_some() || self.state.is_terminal() || number != self.attempt
    }

    /// The possible cost of all attempts, known or estimated.
    pub fn cost(&self) -> MicroUsd {
        self.cost_of(|attempt| attempt.billed != Billed::No)
    }

    fn cost_of(&self, may_bill: impl Fn(&Attempt) -> bool) -> MicroUsd {
        let billed = self.attempts.iter().filter(|attempt| may_bill(attempt));
        MicroUsd(billed.filter_map(|attempt| attempt.cost).map(|cost| cost.0).sum())
    }

    /// The refund if the job ends without a result now.
    pub(super) fn refund(&self) -> Credits {
        match (self.stop, self.cancel_refund) {
            (Some(Stop::Caller), CancelRefund::LessCost) => self.price.less(self.cost().as_credits()),
            _ => self.price,
        }
    }

    /// The refund of a canceled job, paid or expected; `None` for a success.
    pub fn refund_for_cancel(&self) -> Option<Credits> {
        match self.state {
            State::Succeeded => None,
            State::Failed | State::Canceled => Some(self.refunded.unwrap_or(self.price)),
            _ if self.cancel_refund == CancelRefund::Full => Some(self.price),
            _ => {
                let may_bill = |attempt: &Attempt| {
                    attempt.billed != Billed::No && !(attempt.stop_is_free && attempt.phase.is_open())
                };
                Some(self.price.less(self.cost_of(may_bill).as_credits()))
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(version: &u32) -> bool {
    *version == 0
}

const fn whole() -> u32 {
    PERCENT_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_whole(percent: &u32) -> bool {
    *percent == PERCENT_DEFAULT
}

/// A message that a job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUp {
    /// The job waits for an attempt.
    Dispatch,
    /// Poll this attempt, and cancel it if it should stop.
    Poll(u8),
    /// Look up the remote job of this attempt, whose create answer was lost.
    LookUp(u8),
}

/// The fault of our own timeout.
pub fn timed_out() -> Fault {
    Fault::new(ErrorClass::Timeout, None, Billed::Unknown)
}

#[cfg(test)]
mod tests;
