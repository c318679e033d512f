//! `poll`: ask the provider about one attempt; produce a verdict or ask again later. What
//! nobody wants any more is asked to stop.

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, StartError, config};
use shared::domain::attempt::Phase;
use shared::domain::catalog::Catalog;
use shared::domain::credit::MicroUsd;
use shared::domain::id::{JobId, RemoteJob};
use shared::domain::job::{RUNNING_MAX, STOPPING_MAX, State};
use shared::domain::provider::Provider;
use shared::domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use shared::edge::batch::{self, BoxError};
use shared::provider::{CreateOrder, Found, LOST_WITHIN, LookUp, Lost, Polled, ProviderClient, adapter};
use shared::resilience::backoff::{POLL_FIRST, POLL_MAX, POLL_RARELY, POLLS_MAX, poll_pause};
use shared::store::jobs::JobStore;
use shared::store::polls::{Polls, Turn};
use shared::store::queue::{Message, Queue, Source};

/// The first round of the chain that asks an attempt to stop: above all those that wait for it.
const STOPPING: u16 = 10_000;

/// Everything `poll` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    pub polls: Polls,
    pub providers: ProviderClient,
    pub poll: Queue,
    pub settle: Queue,
    /// Says how a lost attempt was ordered.
    pub catalog: Catalog,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            jobs: JobStore::new(table.clone()),
            polls: Polls::new(table),
            providers: config::provider_client(&mut read)?,
            poll: config::queue(process, &mut read, "POLL_QUEUE_URL"),
            settle: config::queue(process, &mut read, "SETTLE_QUEUE_URL"),
            catalog: Catalog::for_providers(Provider::ALL),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    Ok(batch::each(event.payload, |message| poll(app, message)).await)
}

async fn poll(app: &App, message: Message) -> Result<(), BoxError> {
    let Message::Poll { job_id, attempt: number, round } = message else {
        return Err("this message is for another queue".into());
    };
    let job = app.jobs.get(&job_id).await?.ok_or_else(|| format!("there is no job {job_id}"))?;
    let attempt = job.attempt(number).ok_or_else(|| format!("job {job_id} has no attempt {number}"))?;
    if attempt.remote.is_none() && matches!(attempt.phase, Phase::Sending | Phase::Unclear) {
        return look_up(app, &job_id, number).await;
    }
    // A settling attempt is asked again for a fresh link to its file.
    let fetching = job.state == State::Settling && job.attempt == number;
    let Some(remote) = attempt.remote.as_ref().filter(|_| attempt.phase == Phase::Running || fetching) else {
        return Ok(());
    };
    let (unwanted, now) = (job.is_unwanted(number), app.clock.now());
    // Whoever comes first when nobody wants it any more begins the chain that asks it to stop.
    let round = round.map(|round| if unwanted { round.max(STOPPING) } else { round });
    if let Some(round) = round {
        match app.polls.take(&job_id, number, round, now).await? {
            Turn::Taken => {}
            Turn::Passed => return Ok(()),
            Turn::Busy => {
                return Err(format!("attempt {number} of job {job_id} was asked about just now").into());
            }
        }
    }
    // An earlier question of this chain has asked it to stop: then no longer known is stopped.
    let asked = unwanted && round.is_some_and(|round| round > STOPPING);
    let polled = match app.providers.poll(attempt.provider, remote, &attempt.route, now).await {
        // What has just begun or ended may not be known everywhere yet.
        Polled::Ended(Verdict::Gone) if !asked && !attempt.may_be_gone(now) => Polled::Pending,
        polled => polled,
    };
    match polled {
        Polled::Ended(verdict) => {
            let stopped = asked && verdict == Verdict::Gone && !fetching;
            let verdict = if stopped { Verdict::Canceled { cost: None } } else { verdict };
            let remote = Some(remote.clone());
            let message = Message::Settle {
                job_id,
                attempt: number,
                remote,
                outcome: Some(verdict),
                source: Source::Poll,
                asked: 0,
            };
            app.settle.send(&message, Some(&job.account), Duration::ZERO).await?;
            return Ok(());
        }
        // Asked first, stopped only while it runs: stopping what has ended destroys its result.
        Polled::Pending if unwanted => {
            app.providers.cancel(attempt.provider, remote, &attempt.route, now).await;
        }
        Polled::Pending | Polled::Fetch(_) | Polled::Unreadable(_) => {}
    }
    let given_up = now.since(attempt.started_at) > RUNNING_MAX + STOPPING_MAX;
    let Some(round) = round.filter(|_| !given_up) else { return Ok(()) };
    // `reconcile` asks about the attempt that a live job waits for anyway, and for the answer about
    // others nobody waits: the one chain ends, the other thins out.
    let looked_after = !job.state.is_terminal() && job.attempt == number;
    let nth = round % STOPPING;
    let pause = match nth < POLLS_MAX {
        true => poll_pause(nth, POLL_FIRST, POLL_MAX),
        false if looked_after => return Ok(()),
        false => POLL_RARELY,
    };
    let next = Message::Poll { job_id, attempt: number, round: Some(round.saturating_add(1)) };
    app.poll.send(&next, Some(&job.account), pause).await?;
    Ok(())
}

/// Looks at its provider for an attempt whose create answer was lost. What is found, `settle`
/// writes down; what certainly never arrived has failed there and may be tried elsewhere.
async fn look_up(app: &App, job_id: &JobId, number: u8) -> Result<(), BoxError> {
    let known = app.jobs.get_with_request(job_id).await?;
    let (job, request) = known.ok_or_else(|| format!("there is no job {job_id}"))?;
    let attempt = job.attempt(number).ok_or_else(|| format!("job {job_id} has no attempt {number}"))?;
    let now = app.clock.now();
    let Some(route) = app.catalog.route(&attempt.route) else { return Ok(()) };
    if now.since(attempt.started_at) < LOST_WITHIN {
        return Ok(()); // its dispatcher may still be at it
    }
    let reference = format!("{job_id}.{number}");
    let order = CreateOrder::new(&request, route, &reference);
    let lost = Lost { order, started_at: attempt.started_at };
    let is_certain = adapter(attempt.provider).capabilities().look_up == LookUp::Certain;
    let (remote, outcome) = match app.providers.look_up(attempt.provider, &lost, now).await {
        Found::Job(remote) => (Some(remote), None),
        Found::Nothing if is_certain && attempt.may_be_gone(now) => {
            let fault = Fault::new(ErrorClass::ProviderUnavailable, Some("never_arrived"), Billed::No);
            (None, Some(Verdict::Broke { fault, cost: Some(MicroUsd(0)) }))
        }
        Found::Alike(alike) => match <[RemoteJob; 1]>::try_from(alike) {
            Ok([remote]) => (Some(remote), None),
            Err(_) => return Ok(()),
        },
        Found::Nothing | Found::Unreadable(_) => return Ok(()),
    };
    let job_id = job_id.clone();
    let message =
        Message::Settle { job_id, attempt: number, remote, outcome, source: Source::Poll, asked: 0 };
    Ok(app.settle.send(&message, Some(&job.account), Duration::ZERO).await?)
}
