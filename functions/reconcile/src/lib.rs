//! `reconcile`: every live job past its `check_at` gets its next message again, and every
//! one past its deadline is told so. What a crash between a write and a send has left
//! behind is found here.

use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use futures_util::future::join_all;
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, StartError, config};
use shared::domain::catalog::Catalog;
use shared::domain::decide::Event;
use shared::domain::job::{CHECK_EVERY, Job, NextStep};
use shared::domain::provider::Provider;
use shared::domain::time::Timestamp;
use shared::edge::batch::BoxError;
use shared::edge::http::chain;
use shared::provider::{LookUp, adapter};
use shared::store::due::Due;
use shared::store::jobs::JobStore;
use shared::store::keys::DUE_SHARDS;
use shared::store::queue::{Message, Queue};

/// Jobs of one shard that are read together.
const PAGE_MAX: i32 = 50;
/// Of those, jobs that are looked after at one time.
const AT_ONCE: usize = 10;
/// Pages of one shard in one run; what is left is still due in the next.
const PAGES_MAX: usize = 20;

/// How long the answer to the last question about a job may take, its file included.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

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

pub async fn handle(app: &App, _event: LambdaEvent<EventBridgeEvent>) -> Result<(), BoxError> {
    let now = app.clock.now();
    let shards = join_all((0..DUE_SHARDS).map(|shard| sweep(app, shard, now))).await;
    let overdue: Vec<Duration> = shards.into_iter().collect::<Result<_, _>>()?;
    let overdue_max_s = overdue.into_iter().max().unwrap_or_default().as_secs();
    // An alarm waits for this line: that it is too large, or that it stays away.
    tracing::info!(overdue_max_s, "jobs.swept");
    Ok(())
}

/// Looks after one shard's due jobs, longest overdue first; says for how long that one was.
async fn sweep(app: &App, shard: u8, now: Timestamp) -> Result<Duration, BoxError> {
    let mut overdue = Duration::ZERO;
    for _ in 0..PAGES_MAX {
        let due = app.jobs.due(shard, now, PAGE_MAX).await?;
        overdue = due.first().map_or(overdue, |first| overdue.max(now.since(first.check_at)));
        let full = due.len() == usize::try_from(PAGE_MAX)?;
        let read = join_all(due.iter().map(|due| app.jobs.get(&due.job))).await;
        let mut jobs = Vec::with_capacity(due.len());
        // One job that cannot be helped must not keep the others from being helped.
        let failed = |due: &Due, error: &(dyn std::error::Error + 'static)| {
            tracing::error!(job.id = %due.job, error = chain(error), "job.not_looked_after");
        };
        for (due, job) in due.iter().zip(read) {
            match job {
                Ok(job) => jobs.extend(job.map(|job| (due, job))),
                Err(error) => failed(due, &error),
            }
        }
        // What its provider drops soonest is fetched first.
        jobs.sort_by_key(|(_, job)| expires_at(&app.catalog, job));
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            let some: Vec<_> = jobs.by_ref().take(AT_ONCE).collect();
            let looked_after = some.into_iter().map(|(due, job)| async move {
                if let Err(error) = look_after(app, due, job, now).await {
                    failed(due, &*error);
                }
            });
            join_all(looked_after).await;
        }
        if !full {
            break;
        }
    }
    Ok(overdue)
}

async fn look_after(app: &App, due: &Due, mut job: Job, now: Timestamp) -> Result<(), BoxError> {
    // Nothing is given up that could still be heard of: whoever waits for a provider's word at
    // its deadline is asked about once more. After an outage of ours, nobody has asked for long.
    let last_ask = now >= job.deadline && job.awaits_word() && due.check_at <= job.deadline;
    if now >= job.deadline && !last_ask {
        job = app.jobs.advance_from(job, &Event::DeadlinePassed, now).await?.job().clone();
    }
    let step = match job.next_step() {
        NextStep::Wait if can_be_found(&job) => NextStep::Poll(job.attempt),
        step => step,
    };
    // A check after the deadline says that its last question was asked.
    let next_check = if last_ask { now + ANSWER_WITHIN } else { job.deadline.min(now + CHECK_EVERY) };
    // The check is moved before anything is sent: of two runs at once, one alone goes on. But the
    // last question goes first: asked twice is better than never.
    if !last_ask && !app.jobs.check_again(due, next_check).await? {
        return Ok(());
    }
    let (job_id, account) = (job.id.clone(), Some(&job.account));
    match step {
        NextStep::Dispatch => {
            app.dispatch.send(&Message::Dispatch { job_id, once: true }, account, Duration::ZERO).await?;
        }
        NextStep::Poll(attempt) => {
            let message = Message::Poll { job_id, attempt, round: None };
            app.poll.send(&message, account, Duration::ZERO).await?;
        }
        NextStep::Wait | NextStep::Nothing => {}
    }
    if last_ask {
        app.jobs.check_again(due, next_check).await?;
    }
    Ok(())
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
