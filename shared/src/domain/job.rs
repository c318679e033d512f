//! A job: what it is, as of one version.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, Phase};
use super::credit::{Credits, MicroUsd};
use super::id::{AccountId, JobId};
use super::time::Timestamp;
use super::verdict::{Billed, ErrorClass, Fault};

/// Attempts that one job may make, whatever happens.
pub const ATTEMPTS_MAX: usize = 4;
/// How long a live job may go without being looked after.
pub const CHECK_EVERY: Duration = Duration::from_secs(120);
/// How long a job may wait for an attempt before it is given up and refunded.
pub const QUEUED_MAX: Duration = Duration::from_secs(3_600);
/// How long an attempt with an unknown fate may still be heard of. Past the last webhook
/// retry of every provider (fal: two hours), so that nothing is refunded that still bills.
pub const UNCLEAR_MAX: Duration = Duration::from_secs(7_200 + 300);
/// How long a remote job may run before it is asked to stop.
pub const RUNNING_MAX: Duration = Duration::from_secs(3_600);
/// How long we ask a remote job to stop, or its provider to answer, before we let it go.
pub const STOPPING_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How long a paid result is fetched before it is given up.
pub const SETTLING_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A job, as of one version.
///
/// # Guarantees
///
/// - `version` grows by exactly one with every move; moves come from [`Job::decide`] alone.
/// - It has at most [`ATTEMPTS_MAX`] attempts, and each is sent to its provider at most once.
/// - It ends `failed` or `canceled` with exactly one refund, `succeeded` with none.
/// - It does not end so while an attempt may still run and bill, unless that attempt's
///   deadline has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub account: AccountId,
    pub version: u64,
    pub state: State,
    pub model: String,
    /// What the caller was charged.
    pub price: Credits,
    /// Digest of the request; see [`JobRequest::digest`](super::request::JobRequest::digest).
    pub request_hash: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the present state has lasted too long.
    pub deadline: Timestamp,
    /// Number of the attempt that the state is about; 0 before the first.
    pub attempt: u8,
    /// In the order they were made: attempt `n` at index `n - 1`.
    pub attempts: Vec<Attempt>,
    /// Who asked for an end, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Why it ended without a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for an attempt.
    Queued,
    /// An attempt is being sent, or was sent and its fate is unknown.
    Dispatching,
    /// A remote job is known and may run.
    Running,
    /// A remote job is done and paid; its media is being fetched.
    Settling,
    Succeeded,
    Failed,
    Canceled,
}

impl State {
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Dispatching,
        Self::Running,
        Self::Settling,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
    ];

    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dispatching => "dispatching",
            Self::Running => "running",
            Self::Settling => "settling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// Who asked a job to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    Caller,
    Deadline,
}

/// A finished job's file in our bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    pub key: String,
    pub bytes: u64,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
    pub content_type: String,
}

/// What a live job waits for, and so which message brings it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// A `dispatch` message.
    Dispatch,
    /// A `poll` message about this attempt.
    Poll(u8),
    /// A webhook, or the deadline: its attempt has no name that we could ask by.
    Wait,
    /// Nothing: it has ended.
    Nothing,
}

impl Job {
    /// A job that was just paid for.
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
            created_at: now,
            updated_at: now,
            deadline: now + QUEUED_MAX,
            attempt: 0,
            attempts: Vec::new(),
            stop: None,
            media: None,
            fault: None,
        }
    }

    pub fn attempt(&self, number: u8) -> Option<&Attempt> {
        self.attempts.get(usize::from(number.checked_sub(1)?))
    }

    /// The attempt that the state is about.
    pub fn current(&self) -> Option<&Attempt> {
        self.attempt(self.attempt)
    }

    /// Whether its deadline would give up an attempt that a provider may have finished, or has.
    pub fn awaits_word(&self) -> bool {
        match self.state {
            State::Dispatching | State::Settling => true,
            // The first deadline of a run only has it stopped.
            State::Running => self.stop.is_some(),
            State::Queued | State::Succeeded | State::Failed | State::Canceled => false,
        }
    }

    pub fn next_step(&self) -> NextStep {
        match self.state {
            State::Queued => NextStep::Dispatch,
            State::Running | State::Settling => NextStep::Poll(self.attempt),
            State::Dispatching => NextStep::Wait,
            State::Succeeded | State::Failed | State::Canceled => NextStep::Nothing,
        }
    }

    /// Attempts that nobody waits for any more and that may still run and bill: to be
    /// stopped at their providers, and their end recorded as a cost.
    pub fn loose_attempts(&self) -> impl Iterator<Item = &Attempt> {
        let decided = self.state.is_terminal() || self.state == State::Settling;
        self.attempts.iter().filter(move |attempt| decided && attempt.phase == Phase::Running)
    }

    /// Whether we have to ask about this attempt: nobody reports its end, or nobody wants it.
    pub fn is_polled(&self, number: u8, reports: bool) -> bool {
        let running = self.attempt(number).is_some_and(|attempt| attempt.phase == Phase::Running);
        running && (!reports || self.is_unwanted(number))
    }

    /// Whether this attempt's remote job is no longer wanted.
    pub fn is_unwanted(&self, number: u8) -> bool {
        self.stop.is_some() || self.state.is_terminal() || number != self.attempt
    }

    /// What all attempts may have cost us, known or estimated.
    pub fn cost(&self) -> MicroUsd {
        let billed = self.attempts.iter().filter(|attempt| attempt.billed != Billed::No);
        MicroUsd(billed.filter_map(|attempt| attempt.cost).map(|cost| cost.0).sum())
    }
}

/// A timeout of ours, as the reason of a failure.
pub fn timed_out() -> Fault {
    Fault { class: ErrorClass::Timeout, code: None, billed: Billed::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_fate_is_waited_for_past_the_last_webhook_of_any_provider() {
        let fal_retries = Duration::from_secs(2 * 3_600);
        assert!(UNCLEAR_MAX > fal_retries);
        assert!(STOPPING_MAX > RUNNING_MAX && SETTLING_MAX >= Duration::from_secs(24 * 3_600));
    }
}
