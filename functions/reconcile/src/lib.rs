//! `reconcile`: every active job past its `check_at` gets its next message again, and every one past
//! its deadline expires. This finds jobs whose message was lost in a crash.

use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use domain::catalog::Catalog;
use domain::decide::Event;
use domain::event::Event as Occurrence;
use domain::job::{CHECK_EVERY, Job, NextStep};
use domain::time::Timestamp;
use futures_util::future::join_all;
use futures_util::{StreamExt, join, stream};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::batch::{BoxError, Deadline};
use shared::edge::http::chain;
use shared::edge::invocation;
use shared::provider::{LookUp, adapter};
use shared::store::Error;
use shared::store::alerts::Alerts;
use shared::store::due::{Due, DueJob, PageEnd};
use shared::store::events::EventStore;
use shared::store::jobs::JobStore;
use shared::store::keys::{DUE_SHARDS, EVENT_SHARDS};
use shared::store::purchases::Purchases;
use shared::store::queue::{Message, Queue};
use tracing::Instrument;

mod events;
mod payments;
mod sweep;

use events::Events;
use payments::Payments;
use sweep::{PAGE_MAX, Shard, Swept, sweep};

/// Jobs that are reconciled concurrently.
const CONCURRENCY: usize = 10;
/// Time reserve below which no page is begun, and reserve for the answer.
const STOP_BEFORE: Duration = Duration::from_secs(10);
const ANSWER_BEFORE: Duration = Duration::from_secs(2);

/// How long the message of an event or a purchase that was sent here has before another is sent.
const AGAIN_AFTER: Duration = CHECK_EVERY.saturating_mul(5);

/// A job this long past its check raises an alert: ten runs could not advance it, or none ran.
const OVERDUE: Duration = Duration::from_secs(600);

/// Time for the final poll of a job before it expires, its download included.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(420);

/// Everything `reconcile` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    pub events: EventStore,
    pub purchases: Purchases,
    pub alerts: Alerts,
    pub notify: Queue,
    pub deliver: Queue,
    pub dispatch: Queue,
    pub poll: Queue,
    pub payment: Queue,
    /// For the retention of results.
    pub catalog: Catalog,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            jobs: config::jobs(process, &mut read, &table),
            alerts: Alerts::new(table.clone()),
            purchases: Purchases::new(table.clone()),
            events: EventStore::new(table),
            notify: config::queue(process, &mut read, "NOTIFY_QUEUE_URL"),
            deliver: config::queue(process, &mut read, "DELIVER_QUEUE_URL"),
            dispatch: config::queue(process, &mut read, "DISPATCH_QUEUE_URL"),
            poll: config::queue(process, &mut read, "POLL_QUEUE_URL"),
            payment: config::queue(process, &mut read, "PAYMENT_QUEUE_URL"),
            catalog: config::catalog(&mut read),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<EventBridgeEvent>) -> Result<(), BoxError> {
    let span = invocation(&event.context.request_id, &event.context.env_config.function_name);
    run_all(app, Deadline::of(&event.context)).instrument(span).await
}

async fn run_all(app: &App, deadline: Deadline) -> Result<(), BoxError> {
    let now = app.clock.now();
    let run = Run { app, now, deadline };
    let limit = run.deadline.left(now).saturating_sub(ANSWER_BEFORE);
    let shards = join_all((0..DUE_SHARDS).map(|shard| sweep(Jobs(shard), &run)));
    let events = join_all((0..EVENT_SHARDS).map(|shard| sweep(Events(shard), &run)));
    let payments = Box::pin(sweep(Payments, &run));
    let all = async { join!(shards, events, payments) };
    let (shards, events, payments) = tokio::time::timeout(limit, all).await?;
    let (longest, purchases) = (payments.overdue.as_secs(), payments.count);
    tracing::info!(overdue_max_s = longest, purchases, "purchases.swept");
    let swept: Swept = events.into_iter().collect();
    tracing::info!(overdue_max_s = swept.overdue.as_secs(), events = swept.count, "events.swept");
    let Swept { count: jobs, overdue: longest, failed } = shards.into_iter().collect();
    if let Some(error) = failed {
        return Err(error);
    }
    let overdue_max_s = longest.as_secs();
    // Alarms watch this line: a large value, or a missing line.
    tracing::info!(overdue_max_s, jobs, "jobs.swept");
    if longest >= OVERDUE {
        app.alerts.raise(Occurrence::of_overdue(longest, now)).await;
    }
    swept.failed.or(payments.failed).map_or(Ok(()), Err)
}

/// One run. It may end or crash at any point: the remaining jobs are still due in the next.
struct Run<'a> {
    app: &'a App,
    now: Timestamp,
    deadline: Deadline,
}

/// One shard of the active jobs.
struct Jobs(u8);

impl Shard for Jobs {
    type Due = Due;

    async fn page(
        &self,
        run: &Run<'_>,
        start: Option<PageEnd>,
    ) -> Result<(Vec<Due>, Option<PageEnd>), Error> {
        run.app.jobs.due_page(self.0, run.now, PAGE_MAX, start).await
    }

    fn check_at(due: &Due) -> Timestamp {
        due.check_at
    }

    async fn send(&self, run: &Run<'_>, due: Vec<Due>) -> Result<(), BoxError> {
        run.reconcile(run.app.jobs.read_due(&due).await?).await;
        Ok(())
    }
}

/// The next message of a job.
struct Next {
    due: Due,
    failures: u32,
    /// The final poll before the job expires: its check is moved only after the send.
    final_poll: bool,
    message: Message,
    /// The message group.
    group: String,
}

impl Run<'_> {
    fn is_short_of_time(&self) -> bool {
        self.deadline.left(self.app.clock.now()) <= STOP_BEFORE
    }

    /// Reconciles some jobs. A failure of one does not affect the others.
    async fn reconcile(&self, found: Vec<DueJob>) {
        let mut jobs = Vec::with_capacity(found.len());
        for DueJob { due, failures, job } in found {
            match job {
                Ok(job) => jobs.push((due, failures, job)),
                Err(error) => self.failed(&due, failures, chain(&error)).await,
            }
        }
        // Results that expire first are downloaded first.
        jobs.sort_by_key(|(.., job)| expires_at(&self.app.catalog, job));
        let next = stream::iter(jobs).map(|(due, failures, job)| async move {
            match self.advance(&due, job).await {
                Ok(next) => next.map(|(final_poll, message, group)| Next {
                    due,
                    failures,
                    final_poll,
                    message,
                    group,
                }),
                Err(error) => {
                    self.failed(&due, failures, chain(&*error)).await;
                    None
                }
            }
        });
        let next: Vec<Next> = next.buffered(CONCURRENCY).filter_map(std::future::ready).collect().await;
        let is_dispatch = |next: &Next| matches!(next.message, Message::Dispatch { .. });
        let (dispatch, poll) = next.into_iter().partition(is_dispatch);
        join!(self.send(&self.app.dispatch, dispatch), self.send(&self.app.poll, poll));
    }

    /// Moves a job's check and expires the job if due. Returns the message to send, and whether it is
    /// the final poll.
    async fn advance(&self, due: &Due, mut job: Job) -> Result<Option<(bool, Message, String)>, BoxError> {
        let (app, now) = (self.app, self.now);
        // A job that may have finished is polled once more at its deadline: after an outage of ours,
        // the last poll may be long ago.
        let final_poll = now >= job.deadline() && job.may_have_finished() && due.check_at <= job.deadline();
        if now >= job.deadline() && !final_poll {
            job = app.jobs.advance_from(job, &Event::DeadlinePassed, now).await?.job().clone();
        }
        let step = match job.next_step() {
            NextStep::Wait if can_look_up(&job) => NextStep::Poll(job.current_number()),
            step => step,
        };
        let job_id = job.id().clone();
        let message = match step {
            NextStep::Dispatch => Some((Message::Dispatch { job_id, once: true }, job.account().to_string())),
            NextStep::Poll(attempt) => {
                let group = job.provider_of(attempt).to_owned();
                Some((Message::Poll { job_id, attempt, sequence: None }, group))
            }
            NextStep::Wait | NextStep::Nothing => None,
        };
        // The check is moved before the send, so that only one of two concurrent runs continues. The
        // final poll is sent first: twice is better than never.
        let first_sent = final_poll && message.is_some();
        // A check after the deadline marks that the final poll was sent.
        let check = if final_poll { now + ANSWER_WITHIN } else { job.deadline().min(now + CHECK_EVERY) };
        if !first_sent && !app.jobs.check_again(due, check).await? {
            return Ok(None);
        }
        Ok(message.map(|(message, group)| (final_poll, message, group)))
    }

    async fn send(&self, queue: &Queue, jobs: Vec<Next>) {
        let messages: Vec<_> = jobs.iter().map(|next| (next.message.clone(), next.group.clone())).collect();
        let sent = queue.send_all(&messages).await;
        let done = stream::iter(jobs.into_iter().zip(sent)).map(|(next, sent)| async move {
            let moved = match sent {
                Ok(()) if next.final_poll => {
                    self.app.jobs.check_again(&next.due, self.now + ANSWER_WITHIN).await.map(|_| ())
                }
                sent => sent,
            };
            if let Err(error) = moved {
                self.failed(&next.due, next.failures, chain(&error)).await;
            }
        });
        done.buffered(CONCURRENCY).collect::<()>().await;
    }

    /// Backs off a job that could not be reconciled. An alarm watches the log line.
    async fn failed(&self, due: &Due, failures: u32, error: String) {
        let moved = self.app.jobs.check_failed(due, failures, self.now).await;
        let not_moved = moved.err().map(|error| chain(&error));
        tracing::error!(job = %due.job, failures = failures + 1, error, not_moved, "job.not_looked_after");
    }
}

/// The earliest time at which the provider may delete a job's file.
fn expires_at(catalog: &Catalog, job: &Job) -> Timestamp {
    let expiry = job.current().and_then(|attempt| attempt.file_expires_at(catalog));
    expiry.unwrap_or(Timestamp::from_secs(i64::from(u32::MAX)))
}

/// Whether the provider supports look-ups of an attempt without a known remote job.
fn can_look_up(job: &Job) -> bool {
    let provider = job.current().map(|attempt| attempt.provider);
    provider.is_some_and(|provider| adapter(provider).capabilities().look_up != LookUp::Never)
}
