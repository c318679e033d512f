//! The state machine of a job.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempt::{Attempt, AttemptEvent, Phase};
use super::credit::{Entry, MicroUsd};
use super::effect::Effect;
use super::job::{
    ATTEMPTS_MAX, CancelRefund, Job, QUEUED_MAX, RUNNING_MAX, SETTLING_MAX, STOPPING_MAX, State, Stop,
    UNCLEAR_MAX, timed_out,
};
use super::time::Timestamp;
use super::verdict::{Billed, ErrorClass, Fault, Verdict};

mod event;
mod files;

pub use event::{Claim, Event};

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
        let effect = match event {
            Event::Claimed(claim) => after.claim(claim, now),
            Event::NoRoute { class } => after.fail_without_route(*class, now),
            Event::Attempt { number, event } => after.apply_attempt_event(*number, event, now),
            Event::Delivered { number, cost, media } => {
                let verdict = Verdict::Finished { asset_url: String::new(), cost: *cost };
                let ended = AttemptEvent::Ended { remote: None, verdict };
                after.apply_attempt_event(*number, &ended, now).and(|| after.store(*number, media))
            }
            Event::Stored { number, media } => after.store(*number, media),
            Event::CopyStarted { number } => after.start_copy(*number, now),
            Event::CopyRenewed { number, lease } => after.renew_copy(*number, *lease, now),
            Event::CopyFailed { number, lease, wait } => {
                let next = (!wait.is_zero()).then(|| now + *wait);
                after.end_copy(*number, *lease, next)
            }
            Event::AssetLost { number, lease } => {
                after.end_copy(*number, *lease, None).and(|| after.record_missing_file(*number, now))
            }
            Event::WrongFile { number, lease } => {
                after.end_copy(*number, *lease, None).and(|| after.record_wrong_file(*number, now))
            }
            Event::CancelRequested(refund) => after.request_cancel(*refund, now),
            Event::DeadlinePassed => after.expire(now),
            Event::Deleted => after.delete(now),
        };
        match effect {
            Effect::Moved => {}
            Effect::Unchanged => return Ok(Decision::Stay),
            Effect::Illegal => return Err(Illegal { state: self.state.name(), event: event.name() }),
        }
        after.version += 1;
        after.ended_at = self.ended_at();
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

    fn claim(&mut self, claim: &Claim, now: Timestamp) -> Effect {
        if self.state != State::Queued {
            return Effect::Unchanged;
        }
        let Some(number) = self.next_number() else { return Effect::Illegal };
        self.attempt = number;
        self.attempts.push(Attempt {
            number,
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
        Effect::Moved
    }

    /// The number of the next attempt; `None` after the last.
    fn next_number(&self) -> Option<u8> {
        if self.attempts.len() >= ATTEMPTS_MAX {
            return None;
        }
        u8::try_from(self.attempts.len() + 1).ok()
    }

    fn attempt_mut(&mut self, number: u8) -> Option<&mut Attempt> {
        self.attempts.get_mut(usize::from(number.checked_sub(1)?))
    }

    fn fail_without_route(&mut self, class: ErrorClass, now: Timestamp) -> Effect {
        if self.state != State::Queued {
            return Effect::Unchanged;
        }
        self.fail(Fault::new(class, None, Billed::No), now);
        Effect::Moved
    }

    fn apply_attempt_event(&mut self, number: u8, event: &AttemptEvent, now: Timestamp) -> Effect {
        let Some(attempt) = self.attempt_mut(number) else { return Effect::Illegal };
        match attempt.apply(event, now) {
            Effect::Moved => {}
            Effect::Unchanged => {
                // The provider dropped the result before it was stored: the file is lost.
                let not_found = matches!(event, AttemptEvent::Ended { verdict: Verdict::Gone, .. });
                return if not_found && attempt.phase == Phase::Finished {
                    self.record_missing_file(number, now)
                } else {
                    Effect::Unchanged
                };
            }
            Effect::Illegal => return Effect::Illegal,
        }
        let (phase, fault) = (attempt.phase, attempt.fault.clone());
        if attempt.missing.is_some() {
            return Effect::Moved; // not found, and not yet a loss
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
        Effect::Moved
    }

    fn request_cancel(&mut self, refund: CancelRefund, now: Timestamp) -> Effect {
        match self.state {
            State::Queued => {
                self.stop = Some(Stop::Caller);
                self.cancel_refund = refund;
                self.fail(Fault::new(ErrorClass::Stopped, None, Billed::No), now);
                Effect::Moved
            }
            State::Dispatching | State::Running if self.stop != Some(Stop::Caller) => {
                if self.state == State::Running {
                    self.deadline = now + STOPPING_MAX;
                }
                self.stop = Some(Stop::Caller);
                self.cancel_refund = refund;
                Effect::Moved
            }
            // Settling is too late: the provider has billed, and the caller gets the result.
            State::Dispatching
            | State::Running
            | State::Settling
            | State::Succeeded
            | State::Failed
            | State::Canceled
            | State::Other(_) => Effect::Unchanged,
        }
    }

    fn expire(&mut self, now: Timestamp) -> Effect {
        if now < self.deadline || self.state.is_terminal() {
            return Effect::Unchanged;
        }
        match self.state {
            State::Queued => self.fail(timed_out(), now),
            // A known remote job is canceled first; then its verdict decides.
            State::Running if self.stop.is_none() => {
                self.stop = Some(Stop::Deadline);
                self.deadline = now + STOPPING_MAX;
            }
            State::Dispatching | State::Running => {
                let Some(attempt) = self.attempt_mut(self.attempt) else { return Effect::Illegal };
                attempt.end(Phase::Lost, Some(timed_out()), None, now);
                self.fail_over(timed_out(), now);
            }
            State::Settling => return self.lose_file(self.attempt, now),
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => {}
        }
        Effect::Moved
    }

    /// A live job may still get a file: it is not deleted.
    fn delete(&mut self, now: Timestamp) -> Effect {
        if !self.state.is_terminal() || self.deleted_at.is_some() {
            return Effect::Unchanged;
        }
        self.deleted_at = Some(now);
        Effect::Moved
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
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => Duration::ZERO,
        };
        self.state = state;
        (self.copy_until, self.copy_lease) = (None, None);
        self.deadline = now + time_limit;
    }
}

#[cfg(test)]
mod tests;
