//! The files of finished attempts: copied, missing, lost.

use std::time::Duration;

use super::{Attempt, Job, Phase, State};
use crate::attempt::{Sighting, WRONG_FILE_AFTER};
use crate::job::COPY_LEASE;
use crate::media::Media;
use crate::time::Timestamp;
use crate::verdict::{Billed, ErrorClass, Fault};

// As in `decide`: each returns whether it changed `self`; `None` means illegal.
impl Job {
    pub(super) fn store(&mut self, number: u8, media: &Media) -> Option<bool> {
        if self.state.is_terminal() {
            return Some(false);
        }
        // A stored file is a result, whichever attempt the job waits for.
        self.attempt(number).filter(|attempt| attempt.phase == Phase::Finished)?;
        self.attempt = number;
        self.media = Some(media.clone());
        (self.copy_until, self.copy_lease) = (None, None);
        self.state = State::Succeeded;
        Some(true)
    }

    /// Gives a copy of the file a lease. The lease is the new version.
    pub(super) fn lease_copy(&mut self, now: Timestamp) {
        self.copy_until = Some(now + COPY_LEASE);
        self.copy_lease = Some(self.version + 1);
    }

    pub(super) fn start_copy(&mut self, number: u8, now: Timestamp) -> Option<bool> {
        let is_last = self.copy_lease.is_none() && now >= self.deadline;
        let is_free = is_last || self.copy_until.is_none_or(|until| until <= now);
        let starts = self.copies_file_of(number)? && is_free;
        if starts {
            self.lease_copy(now);
        }
        Some(starts)
    }

    pub(super) fn renew_copy(&mut self, number: u8, lease: u64, now: Timestamp) -> Option<bool> {
        let (is_own, until) = (self.copy_lease == Some(lease), Some(now + COPY_LEASE));
        let renews = self.copies_file_of(number)? && is_own && self.copy_until < until;
        if renews {
            self.copy_until = until;
        }
        Some(renews)
    }

    pub(super) fn end_copy(&mut self, number: u8, lease: u64) -> Option<bool> {
        let ends = self.copies_file_of(number)? && self.copy_lease == Some(lease);
        if ends {
            (self.copy_until, self.copy_lease) = (None, None);
        }
        Some(ends)
    }

    /// As `end_copy`; the next copy starts after the wait, except the last one.
    pub(super) fn fail_copy(
        &mut self,
        number: u8,
        lease: u64,
        wait: Duration,
        now: Timestamp,
    ) -> Option<bool> {
        let ends = self.end_copy(number, lease)?;
        if ends && !wait.is_zero() {
            self.copy_until = Some(now + wait);
        }
        Some(ends)
    }

    /// Whether the job waits for the file of this finished attempt.
    fn copies_file_of(&self, number: u8) -> Option<bool> {
        self.attempt(number).filter(|attempt| attempt.phase == Phase::Finished)?;
        Some(self.waits_for_file_of(number))
    }

    /// One answer reported the file as not found.
    pub(super) fn record_missing_file(&mut self, number: u8, now: Timestamp) -> Option<bool> {
        let Some(attempt) = self.attempt_awaiting_file(number)? else { return Some(false) };
        match attempt.record_not_found(now) {
            Sighting::Nothing => Some(false),
            Sighting::Noted => Some(true),
            Sighting::Loss => self.lose_file(number, now),
        }
    }

    /// One download was certainly the wrong file. The provider may still replace it.
    pub(super) fn record_wrong_file(&mut self, number: u8, now: Timestamp) -> Option<bool> {
        let Some(attempt) = self.attempt_awaiting_file(number)? else { return Some(false) };
        match attempt.wrong_since {
            None => attempt.wrong_since = Some(now),
            Some(since) if now.since(since) < WRONG_FILE_AFTER => return Some(false),
            Some(_) => {
                let fault = Fault::new(ErrorClass::Unknown, Some("wrong_file"), Billed::Unknown);
                return self.fail_file(number, fault, now);
            }
        }
        Some(true)
    }

    pub(super) fn lose_file(&mut self, number: u8, now: Timestamp) -> Option<bool> {
        self.fail_file(number, Fault::new(ErrorClass::Expired, None, Billed::Yes), now)
    }

    fn fail_file(&mut self, number: u8, fault: Fault, now: Timestamp) -> Option<bool> {
        let Some(attempt) = self.attempt_awaiting_file(number)? else { return Some(false) };
        attempt.billed = fault.billed;
        attempt.fault = Some(fault.clone());
        if number == self.attempt {
            self.fail_over(fault, now);
        }
        Some(true)
    }

    /// The finished attempt, if its file may still arrive.
    fn attempt_awaiting_file(&mut self, number: u8) -> Option<Option<&mut Attempt>> {
        if self.state.is_terminal() {
            return Some(None);
        }
        let attempt = self.attempts.get_mut(usize::from(number.checked_sub(1)?))?;
        if attempt.phase != Phase::Finished {
            return None;
        }
        Some(Some(attempt).filter(|attempt| attempt.fault.is_none()))
    }
}
