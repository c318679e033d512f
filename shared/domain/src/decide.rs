//! The state machine of a job.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempt::{Attempt, AttemptEvent, Phase};
use super::credit::{Entry, MicroUsd};
use super::job::{
    ATTEMPTS_MAX, CancelRefund, Job, QUEUED_MAX, RUNNING_MAX, SETTLING_MAX, STOPPING_MAX, State, Stop,
    UNCLEAR_MAX, timed_out,
};
use super::media::Media;
use super::provider::Provider;
use super::time::Timestamp;
use super::verdict::{Billed, ErrorClass, Fault, Verdict};

mod files;

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A dispatcher is about to call this route. The winner of this transition makes the call;
    /// the claim's random id distinguishes concurrent dispatchers.
    Claimed(Claim),
    /// No route is left to try, for this reason.
    NoRoute { class: ErrorClass },
    /// A report about one attempt.
    Attempt { number: u8, event: AttemptEvent },
    /// The create call returned the media, and it is stored.
    Delivered { number: u8, cost: Option<MicroUsd>, media: Media },
    /// An attempt's media is stored.
    Stored { number: u8, media: Media },
    /// A copy of an attempt's media is about to start. Its lease is the new version.
    CopyStarted { number: u8 },
    /// The copy with this lease is still running.
    CopyRenewed { number: u8, lease: u64 },
    /// The copy with this lease has failed; another may start after this wait.
    CopyFailed { number: u8, lease: u64, wait: Duration },
    /// As `CopyFailed`, and the source reports the file as not found.
    AssetLost { number: u8, lease: u64 },
    /// As `CopyFailed`, and the file is certainly the wrong one.
    WrongFile { number: u8, lease: u64 },
    /// The caller canceled the job, with this refund.
    CancelRequested(CancelRefund),
    /// The deadline of the current state has passed.
    DeadlinePassed,
}

/// The attempt that a dispatcher is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Random: identifies the dispatcher.
    pub id: u64,
    pub provider: Provider,
    pub route: String,
    pub cost: Option<MicroUsd>,
    pub key_mark: Option<u32>,
    /// The provider gets a callback URL.
    pub reports: bool,
    /// The provider does not bill a remote job that is canceled before its end.
    pub stop_is_free: bool,
    /// The provider is a simulator.
    pub simulated: bool,
}

/// A legal transition, not yet written. Only [`Job::decide`] creates one.
///
/// ```compile_fail
/// fn forge(job: domain::job::Job) -> domain::decide::Transition {
///     domain::decide::Transition { before: job.clone(), after: job, entry: None, at_risk: Default::default() }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    before: Job,
    after: Job,
    entry: Option<Entry>,
    at_risk: MicroUsd,
}

impl Transition {
    pub fn before(&self) -> &Job {
        &self.before
    }

    pub fn after(&self) -> &Job {
        &self.after
    }

    /// The ledger line that is written atomically with the transition.
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Possible provider cost that the caller does not pay.
    pub fn at_risk(&self) -> MicroUsd {
        self.at_risk
    }

    /// The attempt whose remote job this transition records first.
    pub fn named(&self) -> Option<&Attempt> {
        let had_no_remote = |attempt: &Attempt| {
            self.before.attempt(attempt.number).is_none_or(|before| before.remote.is_none())
        };
        self.after.attempts.iter().find(|attempt| attempt.remote.is_some() && had_no_remote(attempt))
    }

    pub fn into_after(self) -> Job {
        self.after
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Move(Box<Transition>),
    /// A repeat, or an event that changes nothing.
    Stay,
}

/// An event that is illegal in this state: a defect, not a race.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("illegal event `{event}` for a {state} job")]
pub struct Illegal {
    pub state: &'static str,
    pub event: &'static str,
}

impl Job {
    /// Applies an event to the job. Pure; the only code that changes the state of jobs.
    pub fn decide(&self, event: &Event, now: Timestamp) -> Result<Decision, Illegal> {
        if matches!(self.state, State::Other(_)) {
            return Ok(Decision::Stay); // handled by the newer release
        }
        let mut after = self.clone();
        let moved = match event {
            Event::Claimed(claim) => after.claim(claim, now),
            Event::NoRoute { class } => after.fail_without_route(*class, now),
            Event::Attempt { number, event } => after.apply_attempt_event(*number, event, now),
            Event::Delivered { number, cost, media } => {
                let verdict = Verdict::Finished { asset_url: String::new(), cost: *cost };
                let ended = AttemptEvent::Ended { remote: None, verdict };
                let moved = after.apply_attempt_event(*number, &ended, now);
                moved.and_then(|moved| Some(after.store(*number, media)? || moved))
            }
            Event::Stored { number, media } => after.store(*number, media),
            Event::CopyStarted { number } => after.start_copy(*number, now),
            Event::CopyRenewed { number, lease } => after.renew_copy(*number, *lease, now),
            Event::CopyFailed { number, lease, wait } => after.fail_copy(*number, *lease, *wait, now),
            Event::AssetLost { number, lease } => {
                let ended = after.end_copy(*number, *lease);
                ended.and_then(|ended| Some(after.record_missing_file(*number, now)? || ended))
            }
            Event::WrongFile { number, lease } => {
                let ended = after.end_copy(*number, *lease);
                ended.and_then(|ended| Some(after.record_wrong_file(*number, now)? || ended))
            }
            Event::CancelRequested(refund) => after.request_cancel(*refund, now),
            Event::DeadlinePassed => after.expire(now),
        }
        .ok_or_else(|| Illegal { state: self.state.name(), event: event.name() })?;
        if !moved {
            return Ok(Decision::Stay);
        }
        after.version += 1;
        after.updated_at = now;
        let mut transition = Transition { before: self.clone(), after, entry: None, at_risk: MicroUsd(0) };
        let after = &mut transition.after;
        if matches!(after.state, State::Failed | State::Canceled) && !self.state.is_terminal() {
            let amount = after.refund();
            after.refunded = Some(amount);
            let kept = self.price.less(amount).as_usd();
            transition.at_risk = MicroUsd(after.cost().0.saturating_sub(kept.0));
            transition.entry = Some(Entry::Refund { job: self.id.clone(), amount });
        }
        Ok(Decision::Move(Box::new(transition)))
    }

    // Each of these returns whether it changed `self`; `None` means illegal.

    fn claim(&mut self, claim: &Claim, now: Timestamp) -> Option<bool> {
        if self.state != State::Queued {
            return Some(false);
        }
        if self.attempts.len() >= ATTEMPTS_MAX {
            return None;
        }
        self.attempt = u8::try_from(self.attempts.len() + 1).ok()?;
        self.attempts.push(Attempt {
            number: self.attempt,
            claim: claim.id,
            key_mark: claim.key_mark,
            reports: claim.reports,
            stop_is_free: claim.stop_is_free,
            simulated: claim.simulated,
            provider: claim.provider,
            route: claim.route.clone(),
            phase: Phase::Sending,
            remote: None,
            cost: claim.cost,
            billed: Billed::Unknown,
            fault: None,
            started_at: now,
            ended_at: None,
            missing: None,
            wrong_since: None,
            rest: BTreeMap::new(),
        });
        self.enter(State::Dispatching, now);
        Some(true)
    }

    fn fail_without_route(&mut self, class: ErrorClass, now: Timestamp) -> Option<bool> {
        if self.state != State::Queued {
            return Some(false);
        }
        self.fail(Fault::new(class, None, Billed::No), now);
        Some(true)
    }

    fn apply_attempt_event(&mut self, number: u8, event: &AttemptEvent, now: Timestamp) -> Option<bool> {
        let attempt = self.attempts.get_mut(usize::from(number.checked_sub(1)?))?;
        if !attempt.apply(event, now)? {
            // The provider dropped the result before it was stored: the file is lost.
            let not_found = matches!(event, AttemptEvent::Ended { verdict: Verdict::Gone, .. });
            return if not_found && attempt.phase == Phase::Finished {
                self.record_missing_file(number, now)
            } else {
                Some(false)
            };
        }
        let (phase, fault) = (attempt.phase, attempt.fault.clone());
        if attempt.missing.is_some() {
            return Some(true); // not found, and not yet a loss
        }
        match self.state {
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => {}
            // The first attempt that succeeds wins; a second success is recorded as a cost.
            _ if phase == Phase::Finished => {
                if self.state != State::Settling && fault.is_none() {
                    self.attempt = number;
                    self.enter(State::Settling, now);
                    self.lease_copy(now);
                }
            }
            State::Queued if phase == Phase::Running => {
                // It was presumed rejected, but runs.
                self.attempt = number;
                self.enter(State::Running, now);
            }
            _ if number != self.attempt || phase == Phase::Unclear => {}
            State::Dispatching if phase == Phase::Running => self.enter(State::Running, now),
            State::Running if phase == Phase::Running => {} // it was not found before, but runs
            State::Queued => {}
            State::Dispatching | State::Running | State::Settling => {
                self.fail_over(fault.unwrap_or_else(timed_out), now);
            }
        }
        Some(true)
    }

    fn request_cancel(&mut self, refund: CancelRefund, now: Timestamp) -> Option<bool> {
        match self.state {
            State::Queued => {
                self.stop = Some(Stop::Caller);
                self.cancel_refund = refund;
                self.fail(Fault::new(ErrorClass::Stopped, None, Billed::No), now);
                Some(true)
            }
            State::Dispatching | State::Running if self.stop != Some(Stop::Caller) => {
                if self.state == State::Running {
                    self.deadline = now + STOPPING_MAX;
                }
                self.stop = Some(Stop::Caller);
                self.cancel_refund = refund;
                Some(true)
            }
            // Settling is too late: the provider has billed, and the caller gets the result.
            State::Dispatching
            | State::Running
            | State::Settling
            | State::Succeeded
            | State::Failed
            | State::Canceled
            | State::Other(_) => Some(false),
        }
    }

    fn expire(&mut self, now: Timestamp) -> Option<bool> {
        if now < self.deadline || self.state.is_terminal() {
            return Some(false);
        }
        match self.state {
            State::Queued => self.fail(timed_out(), now),
            // A known remote job is canceled first; then its verdict decides.
            State::Running if self.stop.is_none() => {
                self.stop = Some(Stop::Deadline);
                self.deadline = now + STOPPING_MAX;
            }
            State::Dispatching | State::Running => {
                let number = usize::from(self.attempt);
                let attempt = self.attempts.get_mut(number.checked_sub(1)?)?;
                attempt.end(Phase::Lost, Some(timed_out()), None, now);
                self.fail_over(timed_out(), now);
            }
            State::Settling => return self.lose_file(self.attempt, now),
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => {}
        }
        Some(true)
    }

    /// Replaces the failed current attempt: by another that has finished, or else by one that may
    /// still run. Otherwise the job is queued again if nothing was billed and another route may
    /// succeed. Otherwise it ends.
    fn fail_over(&mut self, fault: Fault, now: Timestamp) {
        let has_result = |attempt: &&Attempt| attempt.phase == Phase::Finished && attempt.fault.is_none();
        let open = || self.attempts.iter().find(|attempt| attempt.phase.is_open());
        if let Some(next) = self.attempts.iter().find(has_result).or_else(open) {
            self.attempt = next.number;
            let state = if next.phase == Phase::Finished {
                State::Settling
            } else if next.phase == Phase::Running {
                State::Running
            } else {
                State::Dispatching
            };
            return self.enter(state, now);
        }
        // An attempt that may have been billed rules out another, unless the operator accepts that.
        let is_free =
            |attempt: &Attempt| attempt.billed == Billed::No || attempt.phase == Phase::PresumedRefused;
        let unpaid = self.attempts.iter().all(is_free);
        let retry = unpaid && fault.class.fails_over() && self.attempts.len() < ATTEMPTS_MAX;
        if retry && self.stop.is_none() {
            self.enter(State::Queued, now);
        } else {
            self.fail(fault, now);
        }
    }

    /// Ends the job without a result. Requires that no attempt is open.
    fn fail(&mut self, fault: Fault, now: Timestamp) {
        let (state, fault) = match self.stop {
            Some(Stop::Caller) => (State::Canceled, Fault { class: ErrorClass::Stopped, ..fault }),
            Some(Stop::Deadline | Stop::Other(_)) => {
                (State::Failed, Fault { class: ErrorClass::Timeout, ..fault })
            }
            None => (State::Failed, fault),
        };
        self.fault = Some(fault);
        self.enter(state, now);
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        let time_limit = match state {
            State::Queued => QUEUED_MAX,
            State::Dispatching => UNCLEAR_MAX,
            State::Running if self.stop.is_some() => STOPPING_MAX,
            State::Running => RUNNING_MAX,
            State::Settling => SETTLING_MAX,
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => std::time::Duration::ZERO,
        };
        self.state = state;
        (self.copy_until, self.copy_lease) = (None, None);
        self.deadline = now + time_limit;
    }
}

impl Event {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claimed(_) => "claimed",
            Self::NoRoute { .. } => "no_route",
            Self::Attempt { event, .. } => event.name(),
            Self::Delivered { .. } => "delivered",
            Self::Stored { .. } => "stored",
            Self::CopyStarted { .. } => "copy_started",
            Self::CopyRenewed { .. } => "copy_renewed",
            Self::CopyFailed { .. } => "copy_failed",
            Self::AssetLost { .. } => "asset_lost",
            Self::WrongFile { .. } => "wrong_file",
            Self::CancelRequested(_) => "cancel_requested",
            Self::DeadlinePassed => "deadline_passed",
        }
    }
}

#[cfg(test)]
mod tests;
