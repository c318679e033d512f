//! Sends the follow-ups of a job: the only code that maps them to queues, delays and groups.

use std::time::Duration;

use super::polls::PollSequence;
use super::queue::{Message, Queue};
use domain::job::{FollowUp, Job};
use domain::policy::backoff::POLL_FIRST;

/// Delay after the claim before an attempt with a lost create answer is looked up: until then,
/// answers of concurrent attempts with the same input may still arrive.
pub const LOOK_UP_AFTER: Duration = Duration::from_secs(130);

/// The queues for follow-ups.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// `None` in a function that never queues a job.
    pub dispatch: Option<Queue>,
    /// `None` in a function that never starts an attempt.
    pub poll: Option<Queue>,
}

impl Outbox {
    /// Sends all follow-ups of the job. `reconcile` sends lost ones again at the job's next check.
    pub async fn send_all(&self, job: &Job) {
        for follow_up in job.follow_ups() {
            self.send(job, follow_up, pause(job, follow_up)).await;
        }
    }

    /// As [`send_all`](Self::send_all), with another pause before the job's dispatch.
    pub async fn send_all_after(&self, job: &Job, before_dispatch: Duration) {
        for follow_up in job.follow_ups() {
            let pause = match follow_up {
                FollowUp::Dispatch => before_dispatch,
                FollowUp::Poll(_) | FollowUp::LookUp(_) => pause(job, follow_up),
            };
            self.send(job, follow_up, pause).await;
        }
    }

    async fn send(&self, job: &Job, follow_up: FollowUp, pause: Duration) {
        let job_id = job.id().clone();
        let (queue, group, message) = match follow_up {
            FollowUp::Dispatch => {
                (self.dispatch.as_ref(), job.account().as_str(), Message::Dispatch { job_id, once: false })
            }
            FollowUp::Poll(attempt) | FollowUp::LookUp(attempt) => (
                self.poll.as_ref(),
                job.provider_of(attempt),
                Message::Poll { job_id, attempt, sequence: Some(PollSequence::FIRST) },
            ),
        };
        let Some(queue) = queue else { return };
        if let Err(error) = queue.send(&message, Some(group), pause).await {
            tracing::warn!(job = %job.id(), error = error.with_causes(), "message.not_queued");
        }
    }
}

fn pause(job: &Job, follow_up: FollowUp) -> Duration {
    match follow_up {
        FollowUp::Dispatch => Duration::ZERO,
        FollowUp::Poll(attempt) if job.should_stop(attempt) => Duration::ZERO,
        FollowUp::Poll(_) => POLL_FIRST,
        FollowUp::LookUp(_) => LOOK_UP_AFTER,
    }
}
