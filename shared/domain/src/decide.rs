//! How a job moves: the whole state machine, on one page.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempt::{Attempt, News, Phase};
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
    /// A dispatcher is about to call this route. Whoever wins this move makes the call;
    /// `claim` is random, so that two rivals never write the same attempt.
    Claimed(Claim),
    /// No route is left to try; the class says why.
    NoRoute { class: ErrorClass },
    /// News of one attempt.
    Attempt { number: u8, news: News },
    /// The answer to an attempt's create call was the media, and it is in our bucket.
    Delivered { number: u8, cost: Option<MicroUsd>, media: Media },
    /// An attempt's media is in our bucket.
    Stored { number: u8, media: Media },
    /// A copy of an attempt's media is about to start. Its lease is the version that this makes.
    CopyStarted { number: u8 },
    /// The copy with this lease goes on.
    CopyRenewed { number: u8, lease: u64 },
    /// The copy with this lease has failed, and another may start after this wait.
    CopyFailed { number: u8, lease: u64, wait: Duration },
    /// As `CopyFailed`, and the source says that there is no such file.
    AssetLost { number: u8, lease: u64 },
    /// As `CopyFailed`, and what is there is certainly not what was sold.
    WrongFile { number: u8, lease: u64 },
    /// The caller wants it ended, and gets back so much.
    CancelRequested(CancelRefund),
    /// The present state has lasted too long.
    DeadlinePassed,
}

/// What a dispatcher knows of the attempt that it is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Random: identifies the dispatcher.
    pub id: u64,
    pub provider: Provider,
    pub route: String,
    pub cost: Option<MicroUsd>,
    pub key_mark: Option<u32>,
    /// The provider is given a callback URL.
    pub reports: bool,
    /// The provider bills nothing for a remote job that is stopped before its end.
    pub stop_is_free: bool,
    /// The provider is a simulator.
    pub simulated: bool,
}

/// A legal move, not yet written. Its fields are private: only [`Job::decide`] makes one.
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

    /// The ledger line that belongs to the move and is written with it or not at all.
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// What its attempts may have cost us and the caller no longer pays for.
    pub fn at_risk(&self) -> MicroUsd {
        self.at_risk
    }

    /// The attempt whose remote job is first recorded by this move.
    pub fn named(&self) -> Option<&Attempt> {
        let was_nameless = |attempt: &Attempt| {
            self.before.attempt(attempt.number).is_none_or(|before| before.remote.is_none())
        };
        self.after.attempts.iter().find(|attempt| attempt.remote.is_some() && was_nameless(attempt))
    }

    pub fn into_after(self) -> Job {
        self.after
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Move(Box<Transition>),
    /// Already true: a repeat, or news that changes nothing.
    Stay,
}

/// An event that cannot happen to a job in this state: a defect, never a race.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {state} job cannot be told `{event}`")]
pub struct Illegal {
    pub state: &'static str,
    pub event: &'static str,
}

impl Job {
    /// What this event makes of the job. Pure; the one place that moves jobs.
    pub fn decide(&self, event: &Event, now: Timestamp) -> Result<Decision, Illegal> {
        if matches!(self.state, State::Other(_)) {
            return Ok(Decision::Stay); // left to the release that knows it
        }
        let mut after = self.clone();
        let moved = match event {
            Event::Claimed(claim) => after.claim(claim, now),
            Event::NoRoute { class } => after.give_up(*class, now),
            Event::Attempt { number, news } => after.hear(*number, news, now),
            Event::Delivered { number, cost, media } => {
                let verdict = Verdict::Finished { asset_url: String::new(), cost: *cost };
                let heard = after.hear(*number, &News::Ended { remote: None, verdict }, now);
                heard.and_then(|heard| Some(after.store(*number, media)? || heard))
            }
            Event::Stored { number, media } => after.store(*number, media),
            Event::CopyStarted { number } => after.start_copy(*number, now),
            Event::CopyRenewed { number, lease } => after.renew_copy(*number, *lease, now),
            Event::CopyFailed { number, lease, wait } => after.fail_copy(*number, *lease, *wait, now),
            Event::AssetLost { number, lease } => {
                let ended = after.end_copy(*number, *lease);
                ended.and_then(|ended| Some(after.miss_asset(*number, now)? || ended))
            }
            Event::WrongFile { number, lease } => {
                let ended = after.end_copy(*number, *lease);
                ended.and_then(|ended| Some(after.see_wrong_file(*number, now)? || ended))
            }
            Event::CancelRequested(refund) => after.ask_to_stop(*refund, now),
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

    // Each of these changes `self` and says whether it did; `None` means illegal.

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

    fn give_up(&mut self, class: ErrorClass, now: Timestamp) -> Option<bool> {
        if self.state != State::Queued {
            return Some(false);
        }
        self.fail(Fault::new(class, None, Billed::No), now);
        Some(true)
    }

    fn hear(&mut self, number: u8, news: &News, now: Timestamp) -> Option<bool> {
        let attempt = self.attempts.get_mut(usize::from(number.checked_sub(1)?))?;
        if !attempt.learn(news, now)? {
            // A result that its provider has dropped before we had it is lost for good.
            let gone = matches!(news, News::Ended { verdict: Verdict::Gone, .. });
            return if gone && attempt.phase == Phase::Finished {
                self.miss_asset(number, now)
            } else {
                Some(false)
            };
        }
        let (phase, fault) = (attempt.phase, attempt.fault.clone());
        if attempt.missing.is_some() {
            return Some(true); // "not found", and not yet a loss
        }
        match self.state {
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => {}
            // Whichever attempt succeeds first wins; a second success is recorded as a cost.
            _ if phase == Phase::Finished => {
                if self.state != State::Settling && fault.is_none() {
                    self.attempt = number;
                    self.enter(State::Settling, now);
                    self.lease_copy(now);
                }
            }
            State::Queued if phase == Phase::Running => {
                // It was taken for refused, and runs.
                self.attempt = number;
                self.enter(State::Running, now);
            }
            _ if number != self.attempt || phase == Phase::Unclear => {}
            State::Dispatching if phase == Phase::Running => self.enter(State::Running, now),
            State::Running if phase == Phase::Running => {} // it was missing, and runs after all
            State::Queued => {}
            State::Dispatching | State::Running | State::Settling => {
                self.go_on_without(fault.unwrap_or_else(timed_out), now);
            }
        }
        Some(true)
    }

    fn ask_to_stop(&mut self, refund: CancelRefund, now: Timestamp) -> Option<bool> {
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
            // Settling is too late: the provider was paid, and the caller gets the result.
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
            // A remote job that we know is asked to stop first; then its verdict decides.
            State::Running if self.stop.is_none() => {
                self.stop = Some(Stop::Deadline);
                self.deadline = now + STOPPING_MAX;
            }
            State::Dispatching | State::Running => {
                let number = usize::from(self.attempt);
                let attempt = self.attempts.get_mut(number.checked_sub(1)?)?;
                attempt.end(Phase::Lost, Some(timed_out()), None, now);
                self.go_on_without(timed_out(), now);
            }
            State::Settling => return self.lose_asset(self.attempt, now),
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => {}
        }
        Some(true)
    }

    /// The current attempt gave nothing. Another that has finished, or else one that may still
    /// run, becomes the current one; else the job is queued again where that makes sense and
    /// nothing was billed, and else it ends.
    fn go_on_without(&mut self, fault: Fault, now: Timestamp) {
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
        // What may have been billed is not paid for again, unless its owner accepts that risk.
        let is_free =
            |attempt: &Attempt| attempt.billed == Billed::No || attempt.phase == Phase::PresumedRefused;
        let unpaid = self.attempts.iter().all(is_free);
        let again = unpaid && fault.class.fails_over() && self.attempts.len() < ATTEMPTS_MAX;
        if again && self.stop.is_none() {
            self.enter(State::Queued, now);
        } else {
            self.fail(fault, now);
        }
    }

    /// Ends the job without a result. Only where no attempt is open.
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
        let lasts = match state {
            State::Queued => QUEUED_MAX,
            State::Dispatching => UNCLEAR_MAX,
            State::Running if self.stop.is_some() => STOPPING_MAX,
            State::Running => RUNNING_MAX,
            State::Settling => SETTLING_MAX,
            State::Succeeded | State::Failed | State::Canceled | State::Other(_) => std::time::Duration::ZERO,
        };
        self.state = state;
        (self.copy_until, self.copy_lease) = (None, None);
        self.deadline = now + lasts;
    }
}

impl Event {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claimed(_) => "claimed",
            Self::NoRoute { .. } => "no_route",
            Self::Attempt { news, .. } => news.name(),
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
