//! `reconcile`: every live job past its `check_at` gets its next message again, and every
//! one past its deadline is told so. What a crash between a write and a send has left
//! behind is found here.

use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use domain::catalog::Catalog;
use domain::decide::Event;
use domain::job::{CHECK_EVERY, Job, NextStep};
use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::future::join_all;
use futures_util::{StreamExt, join, stream};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::batch::{BoxError, Deadline};
use shared::edge::http::chain;
use shared::edge::invocation;
use shared::provider::{LookUp, adapter};
use shared::store::due::{Due, DueJob};
use shared::store::jobs::JobStore;
use shared::store::keys::DUE_SHARDS;
use shared::store::queue::{Message, Queue};
use tracing::Instrument;

/// Jobs of one shard that are read together: as many as one batch read takes.
const PAGE_MAX: i32 = 100;
/// Of those, jobs that are looked after at one time.
const AT_ONCE: usize = 10;
/// A run begins no page when it has less time than this, and answers with this to spare.
const STOP_BEFORE: Duration = Duration::from_secs(10);
const ANSWER_BEFORE: Duration = Duration::from_secs(2);

/// How long the answer to the last question about a job may take, its file included.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(420);

/// Everything `reconcile` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    pub dispatch: Queue,
    pub poll: Queue,
    /// Says how long providers keep results.
    pub catalog: Catalog,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let app = Self {
            jobs: JobStore::new(config::table(process, &mut read)),
            dispatch: config::queue(process, &mut read, "DISPATCH_QUEUE_URL"),
            poll: config::queue(process, &mut read, "POLL_QUEUE_URL"),
            catalog: Catalog::for_providers(Provider::ALL),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<EventBridgeEvent>) -> Result<(), BoxError> {
    let span = invocation(&event.context.request_id);
    sweep_all(app, Deadline::of(&event.context)).instrument(span).await
}

async fn sweep_all(app: &App, deadline: Deadline) -> Result<(), BoxError> {
    let now = app.clock.now();
    let run = Run { app, now, deadline };
    let limit = run.deadline.left(now).saturating_sub(ANSWER_BEFORE);
    let shards = join_all((0..DUE_SHARDS).map(|shard| run.sweep(shard)));
    let shards = tokio::time::timeout(limit, shards).await?;
    let swept: Vec<Swept> = shards.into_iter().collect::<Result<_, _>>()?;
    let overdue_max_s = swept.iter().map(|swept| swept.overdue).max().unwrap_or_default().as_secs();
    let jobs: usize = swept.iter().map(|swept| swept.jobs).sum();
    // An alarm waits for this line: that it is too large, or that it stays away.
    tracing::info!(overdue_max_s, jobs, "jobs.swept");
    Ok(())
}

/// What a run found in one shard: how many jobs were due, and for how long the first had been.
#[derive(Debug, Default)]
struct Swept {
    jobs: usize,
    overdue: Duration,
}

/// One run. It may end or die anywhere: what it did not get to is still due in the next.
struct Run<'a> {
    app: &'a App,
    now: Timestamp,
    deadline: Deadline,
}

/// A job whose next message is to be sent.
struct Next {
    due: Due,
    failures: u32,
    /// The last question before its deadline counts: its check is moved only when it is sent.
    last_ask: bool,
    message: Message,
    /// What the message's queue is fair between.
    group: String,
}

impl Run<'_> {
    /// Looks after one shard's due jobs, longest overdue first, each once.
    async fn sweep(&self, shard: u8) -> Result<Swept, BoxError> {
        let (mut swept, mut start) = (Swept::default(), None);
        while self.deadline.left(self.app.clock.now()) > STOP_BEFORE {
            let (due, end) = self.app.jobs.due_page(shard, self.now, PAGE_MAX, start).await?;
            let first = due.first().map_or(Duration::ZERO, |first| self.now.since(first.check_at));
            swept.overdue = swept.overdue.max(first);
            swept.jobs += due.len();
            self.look_after(self.app.jobs.read_due(&due).await?).await;
            if end.is_none() {
                break;
            }
            // Not from the beginning: one that could not be looked after may still stand there.
            start = end;
        }
        Ok(swept)
    }

    /// Looks after some jobs. One that cannot be helped keeps no other from being helped.
    async fn look_after(&self, found: Vec<DueJob>) {
        let mut jobs = Vec::with_capacity(found.len());
        for DueJob { due, failures, job } in found {
            match job {
                Ok(job) => jobs.push((due, failures, job)),
                Err(error) => self.failed(&due, failures, chain(&error)).await,
            }
        }
        // What its provider drops soonest is fetched first.
        jobs.sort_by_key(|(.., job)| expires_at(&self.app.catalog, job));
        let next = stream::iter(jobs).map(|(due, failures, job)| async move {
            match self.bring_on(&due, job).await {
                Ok(next) => {
                    next.map(|(last_ask, message, group)| Next { due, failures, last_ask, message, group })
                }
                Err(error) => {
                    self.failed(&due, failures, chain(&*error)).await;
                    None
                }
            }
        });
        let next: Vec<Next> = next.buffered(AT_ONCE).filter_map(std::future::ready).collect().await;
        let is_dispatch = |next: &Next| matches!(next.message, Message::Dispatch { .. });
        let (dispatch, poll) = next.into_iter().partition(is_dispatch);
        join!(self.send(&self.app.dispatch, dispatch), self.send(&self.app.poll, poll));
    }

    /// Moves a job's check and decides about it; what is to be sent for it then, and whether that
    /// is its last question.
    async fn bring_on(&self, due: &Due, mut job: Job) -> Result<Option<(bool, Message, String)>, BoxError> {
        let (app, now) = (self.app, self.now);
        // Nothing is given up that could still be heard of: whoever waits for a provider's word at
        // its deadline is asked about once more. After an outage of ours, nobody has asked for long.
        let last_ask = now >= job.deadline && job.may_have_finished() && due.check_at <= job.deadline;
        if now >= job.deadline && !last_ask {
            job = app.jobs.advance_from(job, &Event::DeadlinePassed, now).await?.job().clone();
        }
        let step = match job.next_step() {
            NextStep::Wait if can_be_found(&job) => NextStep::Poll(job.attempt),
            step => step,
        };
        let job_id = job.id.clone();
        let message = match step {
            NextStep::Dispatch => Some((Message::Dispatch { job_id, once: true }, job.account.to_string())),
            NextStep::Poll(attempt) => {
                let group = job.provider_of(attempt).to_owned();
                Some((Message::Poll { job_id, attempt, round: None }, group))
            }
            NextStep::Wait | NextStep::Nothing => None,
        };
        // The check is moved before anything is sent: of two runs at once, one alone goes on. But the
        // last question goes first: asked twice is better than never.
        let first_sent = last_ask && message.is_some();
        // A check after the deadline says that its last question was asked.
        let check = if last_ask { now + ANSWER_WITHIN } else { job.deadline.min(now + CHECK_EVERY) };
        if !first_sent && !app.jobs.check_again(due, check).await? {
            return Ok(None);
        }
        Ok(message.map(|(message, group)| (last_ask, message, group)))
    }

    async fn send(&self, queue: &Queue, jobs: Vec<Next>) {
        let messages: Vec<_> = jobs.iter().map(|next| (next.message.clone(), next.group.clone())).collect();
        let sent = queue.send_all(&messages).await;
        let done = stream::iter(jobs.into_iter().zip(sent)).map(|(next, sent)| async move {
            let moved = match sent {
                Ok(()) if next.last_ask => {
                    self.app.jobs.check_again(&next.due, self.now + ANSWER_WITHIN).await.map(|_| ())
                }
                sent => sent,
            };
            if let Err(error) = moved {
                self.failed(&next.due, next.failures, chain(&error)).await;
            }
        });
        done.buffered(AT_ONCE).collect::<()>().await;
    }

    /// Puts off a job that could not be looked after, for longer each time. An alarm listens to
    /// the line.
    async fn failed(&self, due: &Due, failures: u32, error: String) {
        let moved = self.app.jobs.check_failed(due, failures, self.now).await;
        let not_moved = moved.err().map(|error| chain(&error));
        tracing::error!(job.id = %due.job, failures = failures + 1, error, not_moved, "job.not_looked_after");
    }
}

/// Whether the provider can be asked for an attempt that has no name there.
fn can_be_found(job: &Job) -> bool {
    let provider = job.current().map(|attempt| attempt.provider);
    provider.is_some_and(|provider| adapter(provider).capabilities().look_up != LookUp::Never)
}

/// When a job's result, made or being made, may be dropped by its provider at the earliest.
fn expires_at(catalog: &Catalog, job: &Job) -> Timestamp {
    let expiry = job.current().and_then(|attempt| {
        let kept_s = catalog.route(&attempt.route)?.retention_s?;
        Some(attempt.ended_at.unwrap_or(attempt.started_at) + Duration::from_secs(kept_s))
    });
    expiry.unwrap_or(Timestamp::from_secs(i64::from(u32::MAX)))
}
