//! `settle`: apply a verdict: fail over, or fail and refund. What has succeeded goes to `fetch`: no
//! verdict waits for bytes.

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::domain::attempt::{Attempt, News};
use shared::domain::decide::Event;
use shared::domain::id::{JobId, RemoteJob};
use shared::domain::verdict::{Fault, Verdict};
use shared::edge::batch::{self, BoxError, Deadline};
use shared::provider::{Polled, ProviderClient};
use shared::resilience::limit::LimitTable;
use shared::store::gauges::Gauges;
use shared::store::jobs::{Advance, JobStore};
use shared::store::outbox::Outbox;
use shared::store::queue::{Message, Source};
use shared::store::verdicts::Verdicts;

/// How often, and how long apart, a provider is asked to confirm what it has signed.
const ASKS_MAX: u8 = 5;
const ASK_EVERY: Duration = Duration::from_secs(60);
/// And after that, where the message alone knows the remote job: until the attempt's deadline.
const ASK_RARELY: Duration = Duration::from_secs(900);

/// Everything `settle` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    /// For the place that an ended attempt gives back.
    pub gauges: Gauges,
    pub limits: LimitTable,
    pub providers: ProviderClient,
    pub outbox: Outbox,
    pub verdicts: Verdicts,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            jobs: JobStore::new(table.clone()),
            gauges: Gauges::new(table),
            limits: config::limits(&mut read),
            providers: config::provider_client(&mut read)?,
            outbox: config::outbox(process, &mut read),
            verdicts: config::verdicts(process, &mut read),
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    Ok(batch::each(event, app.clock.now(), |message, deadline| settle(app, message, deadline)).await)
}

async fn settle(app: &App, message: Message, _deadline: Deadline) -> Result<(), BoxError> {
    let Message::Settle { job_id, attempt: number, remote, outcome, source, asked } = message else {
        return Err("this message is for another queue".into());
    };
    let job = app.jobs.get(&job_id).await?.ok_or_else(|| format!("there is no job {job_id}"))?;
    let attempt = job.attempt(number).ok_or_else(|| format!("job {job_id} has no attempt {number}"))?;

    let verdict = match confirm(app, attempt, remote.as_ref(), outcome.as_ref(), source).await {
        Confirmed::Verdict(verdict) => verdict,
        // The hint was early or wrong: who waits for this attempt, goes on waiting; and
        // where its acceptance was unknown, the hint has told the remote job's name.
        Confirmed::StillRuns => {
            if let Some(remote) = remote.filter(|_| attempt.remote.is_none()) {
                let news = News::Accepted { remote, cost: None };
                let event = Event::Attempt { number, news };
                let job = app.jobs.advance_from(job, &event, app.clock.now()).await?.into_job();
                app.outbox.send_all(&job).await;
            }
            return Ok(());
        }
        Confirmed::OfAnother => return Ok(()),
        Confirmed::NotNow if asked < ASKS_MAX || is_only_trace(attempt, remote.as_ref()) => {
            let pause = if asked < ASKS_MAX { ASK_EVERY } else { ASK_RARELY };
            let asked = asked.saturating_add(1);
            let again = Message::Settle { job_id, attempt: number, remote, outcome, source, asked };
            return Ok(app.verdicts.settle.send(&again, Some(job.provider_of(number)), pause).await?);
        }
        // Asked in vain for long enough: what its provider has signed stands.
        Confirmed::NotNow => match outcome {
            Some(verdict) => verdict,
            None => return Ok(()),
        },
    };
    if matches!(verdict, Verdict::Finished { .. }) {
        let message = Message::verdict(job_id, number, remote, Some(verdict), source);
        return Ok(app.verdicts.send(&message, attempt.provider).await?);
    }
    let now = app.clock.now();
    if verdict == Verdict::Gone && !app.gauges.is_loss_believed(attempt, app.random.u64(), now).await? {
        return Ok(());
    }
    let verdict = without_prompt(app, &job_id, verdict).await?;
    let event = Event::Attempt { number, news: News::Ended { remote, verdict } };
    let advance = app.jobs.advance_from(job, &event, app.clock.now()).await?;
    if let Advance::Moved(job) = &advance
        && let Some(ended) = job.attempt(number)
    {
        let chance = (app.random.u32(), app.random.u64());
        app.gauges.leave(&app.limits, ended, chance, app.clock.now()).await;
    }
    app.outbox.send_all(advance.job()).await;
    Ok(())
}

/// A provider may repeat the prompt in what it says of a failure: that is not kept.
async fn without_prompt(app: &App, job: &JobId, verdict: Verdict) -> Result<Verdict, BoxError> {
    let Verdict::Broke { fault: fault @ Fault { words: Some(_), .. }, cost } = verdict else {
        return Ok(verdict);
    };
    let fault = match app.jobs.request(job).await? {
        Some(request) => request.taken_out_of(fault),
        None => Fault { words: None, ..fault },
    };
    Ok(Verdict::Broke { fault, cost })
}

/// Whether nothing but this message knows a remote job that may be the attempt's.
fn is_only_trace(attempt: &Attempt, remote: Option<&RemoteJob>) -> bool {
    remote.is_some() && attempt.remote.is_none() && attempt.phase.is_open()
}

/// What asking the provider about a verdict gave.
enum Confirmed {
    Verdict(Verdict),
    StillRuns,
    /// It is about another remote job than the attempt's.
    OfAnother,
    /// It cannot be asked, or its answer cannot be read, now.
    NotNow,
}

/// The verdict to act on. What we asked ourselves stands. Of a webhook, only a success
/// with its file stands; before money moves, the provider is asked.
async fn confirm(
    app: &App,
    attempt: &Attempt,
    remote: Option<&RemoteJob>,
    outcome: Option<&Verdict>,
    source: Source,
) -> Confirmed {
    if attempt.is_not(remote) {
        tracing::warn!(provider.name = %attempt.provider, "verdict.of_another_remote_job");
        return Confirmed::OfAnother;
    }
    if let Some(verdict) = outcome
        && (source == Source::Poll || matches!(verdict, Verdict::Finished { .. }))
    {
        return Confirmed::Verdict(verdict.clone());
    }
    let Some(remote) = attempt.remote.as_ref().or(remote) else { return Confirmed::NotNow };
    let now = app.clock.now();
    match app.providers.poll(attempt.provider, remote, &attempt.route, now).await {
        // Of an id that is only a hint, it says nothing about the attempt.
        Polled::Ended(Verdict::Gone) if attempt.remote.is_none() || !attempt.may_be_gone(now) => {
            Confirmed::NotNow
        }
        Polled::Ended(verdict) => Confirmed::Verdict(verdict),
        Polled::Pending => Confirmed::StillRuns,
        Polled::Empty(_) | Polled::Busy(_) | Polled::Fetch(_) | Polled::Unreadable(_) => Confirmed::NotNow,
    }
}
