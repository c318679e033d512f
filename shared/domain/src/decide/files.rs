//! The files of finished attempts: copied, missing, lost.

use super::{Attempt, Effect, Job, Phase, State};
use crate::attempt::{Sighting, WRONG_FILE_AFTER};
use crate::job::COPY_LEASE;
use crate::media::Media;
use crate::time::Timestamp;
use crate::verdict::{Billed, ErrorClass, Fault};

impl Job {
    pub(super) fn store(&mut self, number: u8, media: &Media) -> Effect {
        if self.state.is_terminal() {
            return Effect::Unchanged;
        }
        // A stored file is a result, whichever attempt the job waits for.
        if !self.has_finished(number) {
            return Effect::Illegal;
        }
        self.attempt = number;
        self.media = Some(media.clone());
        (self.copy_until, self.copy_lease) = (None, None);
        self.state = State::Succeeded;
        Effect::Moved
    }

    /// Gives a copy of the file a lease. The lease is the new version.
    pub(super) fn lease_copy(&mut self, now: Timestamp) {
        self.copy_until = Some(now + COPY_LEASE);
        self.copy_lease = Some(self.version + 1);
    }

    pub(super) fn start_copy(&mut self, number: u8, now: Timestamp) -> Effect {
        let is_last = self.copy_lease.is_none() && now >= self.deadline;
        let is_free = is_last || self.copy_until.is_none_or(|until| until <= now);
        self.change_copy(number, is_free, |job| job.lease_copy(now))
    }

    pub(super) fn renew_copy(&mut self, number: u8, lease: u64, now: Timestamp) -> Effect {
        let until = Some(now + COPY_LEASE);
        let renews = self.copy_lease == Some(lease) && self.copy_until < until;
        self.change_copy(number, renews, |job| job.copy_until = until)
    }

    /// Releases the lease. The next copy may start at `next`, or at once; the last one at any time.
    pub(super) fn end_copy(&mut self, number: u8, lease: u64, next: Option<Timestamp>) -> Effect {
        let is_own = self.copy_lease == Some(lease);
        self.change_copy(number, is_own, |job| (job.copy_until, job.copy_lease) = (next, None))
    }

    /// Changes the copy of this finished attempt's file, if it may and the job waits for that file.
    fn change_copy(&mut self, number: u8, may: bool, change: impl FnOnce(&mut Self)) -> Effect {
        if !self.has_finished(number) {
            return Effect::Illegal;
        }
        if !may || !self.waits_for_file_of(number) {
            return Effect::Unchanged;
        }
        change(self);
        Effect::Moved
    }

    fn has_finished(&self, number: u8) -> bool {
        self.attempt(number).is_some_and(|attempt| attempt.phase == Phase::Finished)
    }

    /// One answer reported the file as not found.
    pub(super) fn record_missing_file(&mut self, number: u8, now: Timestamp) -> Effect {
        let attempt = match self.attempt_awaiting_file(number) {
            Ok(attempt) => attempt,
            Err(effect) => return effect,
        };
        match attempt.record_not_found(now) {
            Sighting::Nothing => Effect::Unchanged,
            Sighting::Noted => Effect::Moved,
            Sighting::Loss => self.lose_file(number, now),
        }
    }

    /// One download was certainly the wrong file. The provider may still replace it.
    pub(super) fn record_wrong_file(&mut self, number: u8, now: Timestamp) -> Effect {
        let attempt = match self.attempt_awaiting_file(number) {
            Ok(attempt) => attempt,
            Err(effect) => return effect,
        };
        match attempt.wrong_since {
            None => attempt.wrong_since = Some(now),
            Some(since) if now.since(since) < WRONG_FILE_AFTER => return Effect::Unchanged,
            Some(_) => {
                let fault = Fault::new(ErrorClass::Unknown, Some("wrong_file"), Billed::Unknown);
                return self.fail_file(number, fault, now);
            }
        }
        Effect::Moved
    }

    pub(super) fn lose_file(&mut self, number: u8, now: Timestamp) -> Effect {
        self.fail_file(number, Fault::new(ErrorClass::Expired, None, Billed::Yes), now)
    }

    fn fail_file(&mut self, number: u8, fault: Fault, now: Timestamp) -> Effect {
        let attempt = match self.attempt_awaiting_file(number) {
            Ok(attempt) => attempt,
            Err(effect) => return effect,
        };
        attempt.billed = fault.billed;
        attempt.fault = Some(fault.clone());
        if number == self.attempt {
            self.fail_over(fault, now);
        }
        Effect::Moved
    }

    /// The finished attempt whose file may still arrive, or the effect of news about any other.
    fn attempt_awaiting_file(&mut self, number: u8) -> Result<&mut Attempt, Effect> {
        if self.state.is_terminal() {
            return Err(Effect::Unchanged);
        }
        match self.attempt_mut(number) {
            Some(attempt) if attempt.phase == Phase::Finished && attempt.fault.is_none() => Ok(attempt),
            Some(attempt) if attempt.phase == Phase::Finished => Err(Effect::Unchanged),
            Some(_) | None => Err(Effect::Illegal),
        }
    }
}
