//! `reconcile`: every live job past its `check_at` gets its next message again, and every
//! one past its deadline is told so. What a crash between a write and a send has left
//! behind is found here.

use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use futures_util::future::join_all;
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, StartError, config};
use shared::domain::decide::Event;
use shared::domain::job::{CHECK_EVERY, NextStep};
use shared::domain::time::Timestamp;
use shared::edge::batch::BoxError;
use shared::edge::http::chain;
use shared::store::due::Due;
use shared::store::jobs::JobStore;
use shared::store::keys::DUE_SHARDS;
use shared::store::queue::{Message, Queue};

/// Jobs of one shard that are looked after at once.
const PAGE_MAX: i32 = 50;
/// Pages of one shard in one run; what is left is still due in the next.
const PAGES_MAX: usize = 20;

/// Everything `reconcile` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    pub dispatch: Queue,
    pub poll: Queue,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let app = Self {
            jobs: JobStore::new(config::table(process, &mut read)),
            dispatch: config::queue(process, &mut read, "DISPATCH_QUEUE_URL"),
            poll: config::queue(process, &mut read, "POLL_QUEUE_URL"),
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
        let looked_after = join_all(due.iter().map(|due| async move {
            // One job that cannot be helped must not keep the others from being helped.
            if let Err(error) = look_after(app, due, now).await {
                tracing::error!(job.id = %due.job, error = chain(&*error), "job.not_looked_after");
            }
        }));
        looked_after.await;
        if !full {
            break;
        }
    }
    Ok(overdue)
}

async fn look_after(app: &App, due: &Due, now: Timestamp) -> Result<(), BoxError> {
    let Some(mut job) = app.jobs.get(&due.job).await? else { return Ok(()) };
    if now >= job.deadline {
        job = app.jobs.advance_from(job, &Event::DeadlinePassed, now).await?.job().clone();
    }
    let next_check = match job.next_step() {
        NextStep::Wait => job.deadline,
        NextStep::Dispatch | NextStep::Poll(_) | NextStep::Nothing => job.deadline.min(now + CHECK_EVERY),
    };
    // The check is moved before anything is sent: of two runs at once, one alone goes on.
    if !app.jobs.check_again(due, next_check).await? {
        return Ok(());
    }
    let job_id = job.id.clone();
    match job.next_step() {
        NextStep::Dispatch => app.dispatch.send(&Message::Dispatch { job_id }, Duration::ZERO).await?,
        NextStep::Poll(attempt) => {
            app.poll.send(&Message::Poll { job_id, attempt, round: None }, Duration::ZERO).await?;
        }
        NextStep::Wait | NextStep::Nothing => {}
    }
    Ok(())
}
