//! `poll`: poll one attempt; produce a verdict or poll again later. Cancels superseded attempts.

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::attempt::{Attempt, AttemptEvent, Phase};
use domain::catalog::Catalog;
use domain::credit::MicroUsd;
use domain::decide::Event;
use domain::event::Event as Occurrence;
use domain::id::JobId;
use domain::job::{Job, RUNNING_MAX, STOPPING_MAX, UNCLEAR_MAX};
use domain::policy::backoff::{POLL_FIRST, POLL_MAX, POLL_RARELY, POLLS_MAX, poll_pause};
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::edge::batch::{self, Deadline, Unfinished, attempt_of};
use shared::provider::{
    Canceling, CreateOrder, Found, LOST_WITHIN, LookUp, Lost, Polled, ProviderClient, adapter, reference,
};
use shared::store::alerts::Alerts;
use shared::store::jobs::JobStore;
use shared::store::outbox::LOOK_UP_AFTER;
use shared::store::polls::{PollLease, PollSequence, Polls};
use shared::store::queue::{DELAY_MAX, Message, Queue, Source};
use shared::store::remotes::{Holder, Remotes};
use shared::store::verdicts::Verdicts;

/// How long a success may be without its file: the output can lag behind the status.
const OUTPUT_LAGS: Duration = Duration::from_secs(60);
/// How long answers may be unreadable before an alert.
const UNREADABLE_MAX: Duration = Duration::from_secs(600);

/// Everything `poll` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    pub polls: Polls,
    /// The owners of remote jobs.
    pub remotes: Remotes,
    pub providers: ProviderClient,
    pub poll: Queue,
    pub verdicts: Verdicts,
    /// For the request of a lost attempt.
    pub catalog: Catalog,
    pub dead_letters: Queue,
    pub alerts: Alerts,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            jobs: JobStore::new(table.clone()),
            polls: Polls::new(table.clone()),
            alerts: Alerts::new(table.clone()),
            remotes: Remotes::new(table),
            providers: config::provider_client(&mut read)?,
            poll: config::queue(process, &mut read, "POLL_QUEUE_URL"),
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
        poll(app, message, deadline)
    })
    .await)
}

async fn poll(app: &App, message: Message, _deadline: Deadline) -> Result<(), Unfinished> {
    let Message::Poll { job_id, attempt: number, sequence } = message else {
        return Err(Unfinished::of_another_queue());
    };
    let job =
        app.jobs.get(&job_id).await?.ok_or_else(|| Unfinished::park(format!("there is no job {job_id}")))?;
    let attempt = attempt_of(&job, number)?;
    if attempt.remote.is_none() && matches!(attempt.phase, Phase::Sending | Phase::Unclear) {
        return look_up(app, &job, attempt, sequence).await;
    }
    // A settling attempt is polled for a fresh link to its file.
    let fetching = job.waits_for_file_of(number);
    let Some(remote) = attempt.remote.as_ref().filter(|_| attempt.phase == Phase::Running || fetching) else {
        return Ok(());
    };
    let (should_stop, now) = (job.should_stop(number), app.clock.now());
    if attempt.key_mark.is_none() {
        app.jobs.hold_remote(&job_id, attempt, now).await?;
    }
    // The first poll after cancellation starts the cancel sequence.
    let sequence = sequence.map(|sequence| if should_stop { sequence.canceling() } else { sequence });
    // After an accepted cancel, "not found" means canceled.
    let mut is_stopping = false;
    if let Some(sequence) = sequence {
        match app.polls.acquire(&job_id, number, sequence, app.random.u64(), now).await? {
            PollLease::Acquired { stop_accepted } => is_stopping = should_stop && stop_accepted,
            PollLease::Superseded => return Ok(()),
            PollLease::Held => {
                return Err(Unfinished::Later("another function holds the poll lease"));
            }
        }
    }
    let polled = app.providers.poll(attempt.provider, remote, &attempt.route, now).await;
    let Some(wait) = apply(app, &job, attempt, &polled, is_stopping).await? else { return Ok(()) };
    // Polled first, canceled only while it runs: canceling an ended remote job destroys its result.
    let may_run = match polled {
        Polled::Pending => true,
        Polled::Ended(Verdict::Gone) => !has_another_key(app, attempt),
        _ => false,
    };
    if should_stop && may_run && !fetching {
        let canceling = app.providers.cancel(attempt.provider, remote, &attempt.route, now).await;
        if canceling == Canceling::Asked {
            app.polls.record_cancel(&job_id, number, now).await?;
        }
    }
    poll_later(app, &job, attempt, sequence, wait).await
}

/// Applies the provider's answer about an attempt. Returns the provider's back-off before the next
/// poll; `None` if the answer is an end.
async fn apply(
    app: &App,
    job: &Job,
    attempt: &Attempt,
    polled: &Polled,
    is_stopping: bool,
) -> Result<Option<Duration>, Unfinished> {
    let (number, now) = (attempt.number, app.clock.now());
    let fetching = job.waits_for_file_of(number);
    let verdict = match polled {
        Polled::Ended(Verdict::Gone) if is_stopping && !fetching => Verdict::Canceled { cost: None },
        Polled::Ended(Verdict::Gone) if has_another_key(app, attempt) => {
            tracing::error!(
                job = %job.id(), attempt = number, provider = %attempt.provider,
                alert = true, class = "key_changed", "provider.needs_attention"
            );
            app.alerts.raise(Occurrence::of_attention(attempt.provider, "key_changed", None, now)).await;
            return Ok(Some(Duration::ZERO));
        }
        // Not yet an end: a loss needs several such answers.
        Polled::Ended(Verdict::Gone) => {
            if attempt.is_not_found_new(now) {
                queue_verdict(app, job, attempt, Verdict::Gone).await?;
            }
            return Ok(Some(Duration::ZERO));
        }
        Polled::Ended(verdict) => verdict.clone(),
        Polled::Empty(fault)
            if !fetching && persists(app, job.id(), number, "no_output", OUTPUT_LAGS).await? =>
        {
            Verdict::Broke { fault: fault.clone(), cost: None }
        }
        Polled::Pending if attempt.missing.is_some() => {
            if let Some(remote) = attempt.remote.clone() {
                let event = AttemptEvent::Accepted { remote, cost: None };
                app.jobs.advance_from(job.clone(), &Event::Attempt { number, event }, now).await?;
            }
            return Ok(Some(Duration::ZERO));
        }
        Polled::Unreadable(cause) => {
            alert_unreadable(app, job.id(), attempt, cause).await?;
            return Ok(Some(Duration::ZERO));
        }
        Polled::Busy(asked) => return Ok(Some(*asked)),
        Polled::Pending | Polled::Fetch(_) | Polled::Empty(_) => return Ok(Some(Duration::ZERO)),
    };
    queue_verdict(app, job, attempt, verdict).await?;
    Ok(None)
}

/// Whether the answers about an attempt have had this anomaly for at least `span`.
async fn persists(
    app: &App,
    job: &JobId,
    attempt: u8,
    what: &str,
    span: Duration,
) -> Result<bool, Unfinished> {
    let now = app.clock.now();
    Ok(now.since(app.polls.record_anomaly(job, attempt, what, now).await?) >= span)
}

/// Alerts on answers that cannot be interpreted: at once for an unknown value, and after a while for
/// unreadable answers.
async fn alert_unreadable(app: &App, job: &JobId, attempt: &Attempt, cause: &str) -> Result<(), Unfinished> {
    let is_new = matches!(cause, "unknown_status" | "unknown_file_state" | "unusable_file_name");
    if is_new || persists(app, job, attempt.number, "unreadable", UNREADABLE_MAX).await? {
        tracing::error!(
            job = %job, attempt = attempt.number, provider = attempt.provider.name(),
            alert = true, class = "unreadable", reason = cause, "provider.needs_attention"
        );
        let now = app.clock.now();
        app.alerts.raise(Occurrence::of_attention(attempt.provider, "unreadable", Some(cause), now)).await;
    }
    Ok(())
}

/// Whether "not found" may only mean that the API key has changed.
fn has_another_key(app: &App, attempt: &Attempt) -> bool {
    attempt.key_mark.is_some_and(|mark| app.providers.key_mark(attempt.provider) != Some(mark))
}

/// Queues a verdict. A file that is being downloaded is polled again by `reconcile`, so that message
/// is not retried.
async fn queue_verdict(app: &App, job: &Job, attempt: &Attempt, verdict: Verdict) -> Result<(), Unfinished> {
    let (number, remote) = (attempt.number, attempt.remote.clone());
    let mut message = Message::verdict(job.id().clone(), number, remote, Some(verdict), Source::Poll);
    if let Message::Fetch { tried, .. } = &mut message
        && job.waits_for_file_of(number)
    {
        *tried = u8::MAX;
    }
    Ok(app.verdicts.send(&message, attempt.provider).await?)
}

/// Queues the next poll of the sequence, after the provider's back-off.
async fn poll_later(
    app: &App,
    job: &Job,
    attempt: &Attempt,
    sequence: Option<PollSequence>,
    wait: Duration,
) -> Result<(), Unfinished> {
    let is_expired = app.clock.now().since(attempt.started_at) > RUNNING_MAX + STOPPING_MAX;
    let Some(sequence) = sequence.filter(|_| !is_expired) else { return Ok(()) };
    // `reconcile` polls the attempt that an active job waits for: its sequence ends. For other
    // attempts the sequence continues at longer intervals.
    let is_reconciled = !job.state().is_terminal() && job.current_number() == attempt.number;
    let pause = match sequence.polls() < POLLS_MAX {
        true => poll_pause(sequence.polls(), POLL_FIRST, POLL_MAX),
        false if is_reconciled => return Ok(()),
        false => POLL_RARELY,
    };
    let (job_id, attempt, provider) = (job.id().clone(), attempt.number, attempt.provider);
    let next = Message::Poll { job_id, attempt, sequence: Some(sequence.next()) };
    Ok(app.poll.send(&next, Some(provider.name()), pause.max(wait)).await?)
}

/// Looks up an attempt whose create answer was lost. `settle` records a found remote job. An attempt
/// that certainly never arrived has failed and may fail over.
async fn look_up(
    app: &App,
    job: &Job,
    attempt: &Attempt,
    sequence: Option<PollSequence>,
) -> Result<(), Unfinished> {
    let (job_id, number, now) = (job.id(), attempt.number, app.clock.now());
    let age = now.since(attempt.started_at);
    let kind = adapter(attempt.provider).capabilities().look_up;
    let Some(route) = app.catalog.route(&attempt.route) else { return Ok(()) };
    let too_early = match kind {
        LookUp::Never => return Ok(()),
        // Its dispatcher may still be running.
        LookUp::Certain => age < LOST_WITHIN,
        // So may that of another attempt with the same input.
        LookUp::Likely => age < LOOK_UP_AFTER,
    };
    if too_early {
        return Ok(());
    }
    let request = app.jobs.request(job_id).await?;
    let request = request.ok_or_else(|| Unfinished::park(format!("job {job_id} has no request")))?;
    let reference = reference(job_id, number);
    let order = CreateOrder::new(&request, route, &reference);
    let lost = Lost { order, started_at: attempt.started_at };
    // Another account, or a simulator, does not have the jobs of a real provider.
    let would_know = attempt.simulated || !has_another_key(app, attempt);
    let never_arrived = kind == LookUp::Certain && attempt.not_found_counts(now) && would_know;
    let back_off = app.polls.back_off_until(job_id, number).await?;
    let mut wait = Duration::ZERO;
    let found = match back_off.filter(|until| *until > now && now < job.deadline()) {
        Some(until) => Found::Busy(until.since(now)),
        None => app.providers.look_up(attempt.provider, &lost, now).await,
    };
    let (remote, outcome) = match found {
        Found::Job(remote) => (Some(remote), None),
        Found::Alike(all) => {
            let own = Holder { job: job_id.clone(), attempt: number };
            let free = app.remotes.free_for(attempt.provider, &all, &own, now).await?;
            // The requests are equal: any remote job without an owner is correct.
            (free.into_iter().next(), None)
        }
        Found::Nothing if never_arrived => {
            let fault = Fault::new(ErrorClass::ProviderUnavailable, Some("never_arrived"), Billed::No);
            (None, Some(Verdict::Broke { fault, cost: Some(MicroUsd(0)) }))
        }
        Found::Busy(asked) => {
            // A provider that asks for an hour would hide a running job for an hour.
            wait = asked.min(DELAY_MAX);
            if back_off.is_none_or(|until| until < now + wait) {
                app.polls.set_back_off(job_id, number, now + wait).await?;
            }
            (None, None)
        }
        Found::Nothing | Found::Unreadable(_) => (None, None),
    };
    if remote.is_none() && outcome.is_none() {
        // `reconcile` looks up the attempt that an active job waits for.
        let is_superseded = job.superseded_attempts().any(|other| other.number == number);
        if let Some(sequence) = sequence.filter(|_| is_superseded && age < UNCLEAR_MAX) {
            let job_id = job_id.clone();
            let next = Message::Poll { job_id, attempt: number, sequence: Some(sequence) };
            app.poll.send(&next, Some(attempt.provider.name()), POLL_RARELY.max(wait)).await?;
        }
        return Ok(());
    }
    let message = Message::verdict(job_id.clone(), number, remote, outcome, Source::Poll);
    Ok(app.verdicts.send(&message, attempt.provider).await?)
}
