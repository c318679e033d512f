//! Requests the cancel of a job. `poll` sends it to the provider; the refund follows the provider's verdict.

use domain::decide::Event;
use domain::job::{CHECK_EVERY, CancelRefund, Job, State};
use domain::time::Timestamp;

use crate::store::jobs::{Advance, JobStore};
use crate::store::outbox::Outbox;
use crate::store::polls::Polls;
use crate::store::queue::Queue;
use crate::store::{Error, Table};

/// What a cancel needs.
#[derive(Debug)]
pub struct Cancel {
    pub jobs: JobStore,
    /// When attempts were last polled.
    pub polls: Polls,
    pub outbox: Outbox,
    /// The refund policy.
    pub refund: CancelRefund,
}

/// The result of a cancel.
#[derive(Debug)]
pub enum Canceled {
    /// It is canceled, or will be.
    Requested(Job),
    /// It has ended, or its file is being copied.
    TooLate(Job),
}

impl Cancel {
    /// `jobs` announces the events of its moves.
    pub fn new(jobs: JobStore, table: Table, poll: Queue, refund: CancelRefund) -> Self {
        let outbox = Outbox { dispatch: None, poll: Some(poll) };
        Self { jobs, polls: Polls::new(table), outbox, refund }
    }

    /// Requests the cancel of a job that was just read.
    pub async fn request(&self, job: Job, now: Timestamp) -> Result<Canceled, Error> {
        let advance = self.jobs.advance_from(job, &Event::CancelRequested(self.refund), now).await?;
        match advance.job().state() {
            State::Settling | State::Succeeded | State::Failed => {
                return Ok(Canceled::TooLate(advance.into_job()));
            }
            State::Queued | State::Dispatching | State::Running | State::Canceled | State::Other(_) => {}
        }
        if matches!(advance, Advance::Moved(_)) || self.is_stalled(advance.job(), now).await? {
            self.outbox.send_all(advance.job()).await;
        }
        Ok(Canceled::Requested(advance.into_job()))
    }

    /// Whether the messages of an earlier call may be lost, so that a repeat sends them again: nothing
    /// has changed for one interval of `reconcile`.
    async fn is_stalled(&self, job: &Job, now: Timestamp) -> Result<bool, Error> {
        if now.since(job.updated_at()) < CHECK_EVERY {
            return Ok(false);
        }
        let last = self.polls.last(job.id(), job.current_number()).await?;
        Ok(last.is_none_or(|last| now.since(last) >= CHECK_EVERY))
    }
}
