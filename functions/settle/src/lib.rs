//! `settle`: apply a verdict: fail over, or fail and refund. A success goes to `fetch`, so that no
//! verdict waits for a download.

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::attempt::{self, Attempt, Phase};
use domain::catalog::Catalog;
use domain::decide::Event;
use domain::id::{JobId, RemoteJob};
use domain::job::Job;
use domain::policy::limit::LimitTable;
use domain::verdict::{Fault, Verdict};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::edge::batch::{self, Deadline, Unfinished, attempt_of};
use shared::provider::{CreateOrder, Lost, Polled, ProviderClient, Scheme, Seen, adapter, reference};
use shared::store::admission::AdmissionStore;
use shared::store::jobs::{Advance, JobStore};
use shared::store::outbox::Outbox;
use shared::store::queue::{Message, Queue, Source};
use shared::store::reports::{Origin, Reports};
use shared::store::verdicts::Verdicts;

/// Number and interval of the attempts to confirm a webhook at the provider.
const CONFIRMS_MAX: u8 = 5;
const CONFIRM_EVERY: Duration = Duration::from_secs(60);
/// The interval after that, if only the message knows the remote job: until the deadline.
const CONFIRM_RARELY: Duration = Duration::from_secs(900);

/// Everything `settle` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    /// Drops webhooks that do not belong to the attempt that they name.
    pub reports: Reports,
    /// Releases the concurrency slot of an ended attempt.
    pub admission: AdmissionStore,
    pub limits: LimitTable,
    pub providers: ProviderClient,
    pub outbox: Outbox,
    pub verdicts: Verdicts,
    /// For the request of an attempt.
    pub catalog: Catalog,
    pub dead_letters: Queue,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            jobs: config::jobs(process, &mut read, &table),
            reports: Reports::new(table.clone()),
            admission: AdmissionStore::new(table),
            limits: config::limits(&mut read),
            providers: config::provider_client(&mut read)?,
            outbox: config::outbox(process, &mut read),
            verdicts: config::verdicts(process, &mut read),
            catalog: config::catalog(&mut read),
            dead_letters: config::dead_letters(process, &mut read),
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    Ok(batch::each(event, app.clock.now(), &app.dead_letters, |message, deadline| {
        settle(app, message, deadline)
    })
    .await)
}

async fn settle(app: &App, message: Message, _deadline: Deadline) -> Result<(), Unfinished> {
    let Message::Settle { job_id, attempt: number, remote, outcome, source, sender, asked } = message else {
        return Err(Unfinished::of_another_queue());
    };
    let origin = Origin { remote: remote.as_ref(), source, sender: sender.as_ref() };
    let Some(job) = app.reports.job(&job_id, number, origin, app.clock.now()).await? else { return Ok(()) };
    let attempt = attempt_of(&job, number)?;
    if source == Source::Webhook && is_over(attempt, outcome.as_ref()) {
        return Ok(());
    }
    let news =
        News { job_id: &job_id, attempt, remote: remote.as_ref(), outcome: outcome.as_ref(), source, asked };
    let (verdict, remote) = match confirm(app, &news).await? {
        Confirmed::Verdict(verdict, remote) => (verdict, remote),
        // The notification was early or wrong: the attempt continues. It may have named a remote
        // job that was not yet known.
        Confirmed::StillRuns(remote) => return accept(app, job, number, remote).await,
        Confirmed::OfAnother => return Ok(()),
        Confirmed::NotNow if asked < CONFIRMS_MAX || is_only_trace(attempt, remote.as_ref()) => {
            let pause = if asked < CONFIRMS_MAX { CONFIRM_EVERY } else { CONFIRM_RARELY };
            let asked = asked.saturating_add(1);
            let again = Message::Settle { job_id, attempt: number, remote, outcome, source, sender, asked };
            return Ok(app.verdicts.settle.send(&again, Some(job.provider_of(number)), pause).await?);
        }
        // Not confirmed for long enough: the signed verdict stands.
        Confirmed::NotNow => match outcome.filter(|_| attempt.remote.is_some() || source == Source::Poll) {
            Some(verdict) => (verdict, remote),
            None => return Ok(()),
        },
    };
    if matches!(verdict, Verdict::Finished { .. }) {
        // Confirmed, or signed for the attempt's remote job.
        let message = Message::verdict(job_id, number, remote, Some(verdict), Source::Poll);
        return Ok(app.verdicts.send(&message, attempt.provider).await?);
    }
    let now = app.clock.now();
    if verdict == Verdict::Gone && !app.admission.accepts_loss(attempt, app.random.u64(), now).await? {
        return Ok(());
    }
    let verdict = without_prompt(app, &job_id, verdict).await?;
    let event = Event::Attempt { number, event: attempt::AttemptEvent::Ended { remote, verdict } };
    let advance = app.jobs.advance_from(job, &event, app.clock.now()).await?;
    if let Advance::Moved(job) = &advance
        && let Some(ended) = job.attempt(number)
    {
        let chance = (app.random.u32(), app.random.u64());
        app.admission.release_slot(&app.limits, ended, chance, app.clock.now()).await;
    }
    app.outbox.send_all(advance.job()).await;
    Ok(())
}

/// Removes the prompt from the provider's error message.
async fn without_prompt(app: &App, job: &JobId, verdict: Verdict) -> Result<Verdict, Unfinished> {
    let Verdict::Broke { fault: fault @ Fault { words: Some(_), .. }, cost } = verdict else {
        return Ok(verdict);
    };
    let fault = match app.jobs.request(job).await? {
        Some(request) => request.redact(fault),
        None => Fault { words: None, ..fault },
    };
    Ok(Verdict::Broke { fault, cost })
}

/// Records a running remote job that was not yet known.
async fn accept(app: &App, job: Job, number: u8, remote: Option<RemoteJob>) -> Result<(), Unfinished> {
    let is_new = job.attempt(number).is_some_and(|attempt| attempt.remote.is_none());
    let Some(remote) = remote.filter(|_| is_new) else { return Ok(()) };
    let event = Event::Attempt { number, event: attempt::AttemptEvent::Accepted { remote, cost: None } };
    let job = app.jobs.advance_from(job, &event, app.clock.now()).await?.into_job();
    app.outbox.send_all(&job).await;
    Ok(())
}

/// Whether a webhook is irrelevant because the attempt has ended. A signed end of a lost attempt still
/// means a bill, and an unsigned notification may be the only source of a remote job's id.
fn is_over(attempt: &Attempt, outcome: Option<&Verdict>) -> bool {
    let may_run = attempt.phase.may_run();
    match outcome {
        Some(Verdict::Finished { .. }) => attempt.phase == Phase::Finished,
        Some(_) => !may_run,
        None => !attempt.phase.is_open() && (!may_run || attempt.remote.is_some()),
    }
}

/// Whether only this message has the id of the attempt's remote job.
fn is_only_trace(attempt: &Attempt, remote: Option<&RemoteJob>) -> bool {
    remote.is_some() && attempt.remote.is_none() && attempt.phase.is_open()
}

/// The content of a message about an attempt.
#[derive(Clone, Copy)]
struct News<'a> {
    job_id: &'a JobId,
    attempt: &'a Attempt,
    remote: Option<&'a RemoteJob>,
    outcome: Option<&'a Verdict>,
    source: Source,
    asked: u8,
}

/// The result of confirming a verdict at the provider, with the remote job.
enum Confirmed {
    Verdict(Verdict, Option<RemoteJob>),
    StillRuns(Option<RemoteJob>),
    /// It belongs to another remote job.
    OfAnother,
    /// The provider is not available, or its answer is unreadable.
    NotNow,
}

/// The verdict to apply. A verdict from a poll stands. From a webhook about the attempt's remote
/// job, only a success with its file stands; before money moves, the provider is polled. If only
/// the webhook knows the remote job, only the provider's answer counts.
async fn confirm(app: &App, news: &News<'_>) -> Result<Confirmed, Unfinished> {
    let News { attempt, remote, outcome, source, .. } = *news;
    let only_webhook_knows = source == Source::Webhook && attempt.remote.is_none();
    if attempt.has_other_remote(remote) {
        tracing::warn!(provider = %attempt.provider, "verdict.of_another_remote_job");
        return Ok(Confirmed::OfAnother);
    }
    if let Some(verdict) = outcome
        && !only_webhook_knows
        && (source == Source::Poll || matches!(verdict, Verdict::Finished { .. }))
    {
        return Ok(Confirmed::Verdict(verdict.clone(), remote.cloned()));
    }
    let Some(remote) = attempt.remote.as_ref().or(remote) else { return Ok(Confirmed::NotNow) };
    let now = app.clock.now();
    let remote = match only_webhook_knows {
        false => remote.clone(),
        true => match is_ours(app, news, remote).await? {
            Some(Seen::Ours(remote)) => remote,
            Some(Seen::Another) => {
                let provider = attempt.provider.name();
                tracing::warn!(job = %news.job_id, provider, reason = "other_job", "webhook.dropped");
                return Ok(Confirmed::OfAnother);
            }
            Some(Seen::Nowhere) => remote.clone(),
            Some(Seen::NotYet) if is_trusted(app, news).await? => remote.clone(),
            Some(Seen::NotYet) | None => return Ok(Confirmed::NotNow),
        },
    };
    Ok(match app.providers.poll(attempt.provider, &remote, &attempt.route, now).await {
        // For an unconfirmed id, "not found" means nothing for the attempt.
        Polled::Ended(Verdict::Gone) if attempt.remote.is_none() || !attempt.not_found_counts(now) => {
            Confirmed::NotNow
        }
        Polled::Ended(verdict) => Confirmed::Verdict(verdict, Some(remote)),
        Polled::Pending => Confirmed::StillRuns(Some(remote)),
        Polled::Empty(_) | Polled::Busy(_) | Polled::Fetch(_) | Polled::Unreadable(_) => Confirmed::NotNow,
    })
}

/// Whether a remote job that a webhook names is the attempt's, by the provider's data; `None` if the
/// request or the route is no longer known. The store ensures that no other attempt has it.
async fn is_ours(app: &App, news: &News<'_>, named: &RemoteJob) -> Result<Option<Seen>, Unfinished> {
    let attempt = news.attempt;
    let request = app.jobs.request(news.job_id).await?;
    let Some((request, route)) = request.zip(app.catalog.route(&attempt.route)) else { return Ok(None) };
    let reference = reference(news.job_id, attempt.number);
    let lost = Lost { order: CreateOrder::new(&request, route, &reference), started_at: attempt.started_at };
    Ok(Some(app.providers.is_of(attempt.provider, &lost, named, app.clock.now()).await))
}

/// Whether a webhook is accepted although the provider does not list its remote job: it is signed for
/// our account and was not listed for some minutes; or it is signed and its attempt has ended, so
/// that only the recorded cost depends on it.
async fn is_trusted(app: &App, news: &News<'_>) -> Result<bool, Unfinished> {
    let News { attempt, outcome, asked, .. } = *news;
    if outcome.is_none() || (asked < CONFIRMS_MAX && attempt.phase.is_open()) {
        return Ok(false);
    }
    let is_signed_for_us = match adapter(attempt.provider).capabilities().webhooks {
        Some(Scheme::StandardWebhooks) => true,
        Some(Scheme::Fal) => app.reports.knows_account(attempt.provider).await?,
        Some(Scheme::TokenOnly | Scheme::SignedToken) | None => false,
    };
    Ok(is_signed_for_us || !attempt.phase.is_open())
}
