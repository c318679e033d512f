//! A job: what it is, as of one version.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::EnumString;

use super::attempt::{Attempt, Phase};
use super::credit::{Credits, MicroUsd};
use super::id::{AccountId, JobId};
use super::media::Media;
use super::time::Timestamp;
use super::verdict::{Billed, ErrorClass, Fault};
use super::word::stored_by_word;

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
/// How long a copy of a file keeps others from starting after it has last said that it goes on.
pub const COPY_LEASE: Duration = Duration::from_secs(30);
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
    /// Digest of the body as it was sent; `None` for jobs from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_digest: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the present state has lasted too long.
    pub deadline: Timestamp,
    /// Number of the attempt that the state is about; 0 before the first.
    pub attempt: u8,
    /// In the order they were made: attempt `n` at index `n - 1`.
    pub attempts: Vec<Attempt>,
    /// While it is settling: until then, one copy of its file may run and no other; or none, where
    /// the file's server wants to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_until: Option<Timestamp>,
    /// The version by which that copy got its lease: no two copies have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_lease: Option<u64>,
    /// Who asked for an end, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Why it ended without a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What its caller gets back if the caller cancels it, as of the cancel request.
    #[serde(default, skip_serializing_if = "CancelRefund::is_default")]
    pub cancel_refund: CancelRefund,
    /// What its caller got back; `None` while it lives, after a success, and for jobs that ended
    /// before this was recorded: those got back the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Credits>,
}

/// What becomes of a job whose create call was answered with a server error, which may hide an
/// accepted order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum UnclearCreate {
    /// It waits until its webhook, a look-up or its deadline decides.
    #[default]
    Wait,
    /// It is taken for refused and tried again: it may be made, and paid, twice.
    Failover,
}

/// What a caller gets back who cancels a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CancelRefund {
    /// The price, less what the job's attempts may have cost.
    #[default]
    LessCost,
    /// The whole price, whatever the providers bill.
    Full,
}

impl CancelRefund {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// A word of a newer release, which alone moves such a job.
    Other(&'static str),
}

stored_by_word!(State);

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
            Self::Other(word) => word,
        }
    }
}

/// Who asked a job to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    Caller,
    Deadline,
    /// A word of a newer release.
    Other(&'static str),
}

stored_by_word!(Stop);

impl Stop {
    const ALL: [Self; 2] = [Self::Caller, Self::Deadline];

    const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Deadline => "deadline",
            Self::Other(word) => word,
        }
    }
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
    /// Nothing: it has ended, or a newer release moves it.
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
            body_digest: None,
            created_at: now,
            updated_at: now,
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
        }
    }

    pub fn attempt(&self, number: u8) -> Option<&Attempt> {
        self.attempts.get(usize::from(number.checked_sub(1)?))
    }

    /// The name of an attempt's provider, by which messages about it are grouped.
    pub fn provider_of(&self, number: u8) -> &'static str {
        self.attempt(number).map_or("none", |attempt| attempt.provider.name())
    }

    /// The attempt that the state is about.
    pub fn current(&self) -> Option<&Attempt> {
        self.attempt(self.attempt)
    }

    /// Whether it waits for this attempt's file.
    pub fn waits_for_file_of(&self, number: u8) -> bool {
        self.state == State::Settling && self.attempt == number
    }

    /// Whether its deadline would give up an attempt that a provider may have finished, or has.
    pub fn awaits_word(&self) -> bool {
        match self.state {
            State::Dispatching | State::Settling => true,
            // The first deadline of a run only has it stopped.
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

    /// Attempts that the job no longer waits for and that may still run and bill: to be found,
    /// stopped at their providers, and their end recorded as a cost.
    pub fn loose_attempts(&self) -> impl Iterator<Item = &Attempt> {
        let decided = self.state.is_terminal() || self.state == State::Settling;
        let waited_for = move |attempt: &Attempt| !decided && attempt.number == self.attempt;
        self.attempts.iter().filter(move |attempt| attempt.phase.is_open() && !waited_for(attempt))
    }

    /// What must be sent for the job to go on. The same after every move, whoever made it, and
    /// after a repeat that moved nothing: every receiver tolerates repeats.
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
        self.cost_of(|attempt| attempt.billed != Billed::No)
    }

    fn cost_of(&self, may_bill: impl Fn(&Attempt) -> bool) -> MicroUsd {
        let billed = self.attempts.iter().filter(|attempt| may_bill(attempt));
        MicroUsd(billed.filter_map(|attempt| attempt.cost).map(|cost| cost.0).sum())
    }

    /// What its caller gets back if it ends without a result now.
    pub(super) fn refund(&self) -> Credits {
        match (self.stop, self.cancel_refund) {
            (Some(Stop::Caller), CancelRefund::LessCost) => self.price.less(self.cost().as_credits()),
            _ => self.price,
        }
    }

    /// What its caller got back, or gets back once its provider has stopped it; `None` for a
    /// success.
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

/// A message that a job calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUp {
    /// It waits for an attempt.
    Dispatch,
    /// Ask the provider about this attempt, and ask it to stop if it is no longer wanted.
    Poll(u8),
    /// Look for the remote job of this attempt, whose create answer was lost.
    LookUp(u8),
}

/// A timeout of ours, as the reason of a failure.
pub fn timed_out() -> Fault {
    Fault::new(ErrorClass::Timeout, None, Billed::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_fate_is_waited_for_past_the_last_webhook_of_any_provider() {
        let fal_retries = Duration::from_secs(2 * 3_600);
        assert!(UNCLEAR_MAX > fal_retries);
    }

    #[test]
    fn each_wait_is_as_long_as_the_readme_says() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        assert_eq!(CHECK_EVERY, 2 * minute);
        assert_eq!((QUEUED_MAX, UNCLEAR_MAX, RUNNING_MAX), (hour, 2 * hour + 5 * minute, hour));
        assert_eq!((STOPPING_MAX, SETTLING_MAX), (24 * hour, 24 * hour));
    }
}
