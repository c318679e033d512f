//! The files of finished attempts: copied, missing, lost.

use super::{Job, Phase, State};
use crate::domain::attempt::Sighting;
use crate::domain::job::{COPY_LEASE, Media};
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault};

// As in `decide`: each changes `self` and says whether it did; `None` means illegal.
impl Job {
    pub(super) fn store(&mut self, number: u8, media: &Media) -> Option<bool> {
        if self.state.is_terminal() {
            return Some(false);
        }
        // Whatever the job waits for by now: a file that we have is a result.
        self.attempt(number).filter(|attempt| attempt.phase == Phase::Finished)?;
        self.attempt = number;
        self.media = Some(media.clone());
        self.copy_until = None;
        self.state = State::Succeeded;
        Some(true)
    }

    /// Takes the lease on the copy of its file, unless another copy has it.
    pub(super) fn start_copy(&mut self, number: u8, now: Timestamp) -> Option<bool> {
        self.attempt(number).filter(|attempt| attempt.phase == Phase::Finished)?;
        let is_leased = self.copy_until.is_some_and(|until| now < until);
        if !self.waits_for_file_of(number) || is_leased {
            return Some(false);
        }
        self.copy_until = Some(now + COPY_LEASE);
        Some(true)
    }

    /// Gives the lease on the copy of its file back.
    pub(super) fn end_copy(&mut self, number: u8) -> Option<bool> {
        self.attempt(number).filter(|attempt| attempt.phase == Phase::Finished)?;
        Some(self.waits_for_file_of(number) && self.copy_until.take().is_some())
    }

    /// Its file is not there, as far as one answer says.
    pub(super) fn miss_asset(&mut self, number: u8, now: Timestamp) -> Option<bool> {
        if self.state.is_terminal() {
            return Some(false);
        }
        let attempt = self.attempts.get_mut(usize::from(number.checked_sub(1)?))?;
        if attempt.phase != Phase::Finished {
            return None;
        }
        if attempt.fault.is_some() {
            return Some(false);
        }
        match attempt.miss(now) {
            Sighting::Nothing => Some(false),
            Sighting::Noted => Some(true),
            Sighting::Loss => self.lose_asset(number, now),
        }
    }

    pub(super) fn lose_asset(&mut self, number: u8, now: Timestamp) -> Option<bool> {
        if self.state.is_terminal() {
            return Some(false);
        }
        let attempt = self.attempts.get_mut(usize::from(number.checked_sub(1)?))?;
        if attempt.phase != Phase::Finished {
            return None;
        }
        if attempt.fault.is_some() {
            return Some(false);
        }
        let fault = Fault::new(ErrorClass::Expired, None, Billed::Yes);
        attempt.fault = Some(fault.clone());
        if number == self.attempt {
            self.go_on_without(fault, now);
        }
        Some(true)
    }
}
