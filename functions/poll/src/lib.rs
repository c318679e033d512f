//! `poll`: ask the provider about one attempt; produce a verdict or ask again later. What
//! nobody wants any more is asked to stop.

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::attempt::{Attempt, AttemptEvent, Phase};
use domain::catalog::Catalog;
use domain::credit::MicroUsd;
use domain::decide::Event;
use domain::id::JobId;
use domain::job::{Job, RUNNING_MAX, STOPPING_MAX, UNCLEAR_MAX};
use domain::policy::backoff::{POLL_FIRST, POLL_MAX, POLL_RARELY, POLLS_MAX, poll_pause};
use domain::provider::Provider;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::batch::{self, Deadline, Unfinished};
use shared::provider::{
    Canceling, CreateOrder, Found, LOST_WITHIN, LookUp, Lost, Polled, ProviderClient, adapter, reference,
};
use shared::store::jobs::JobStore;
use shared::store::outbox::LOOK_UP_AFTER;
use shared::store::polls::{Polls, Turn};
use shared::store::queue::{Message, Queue, Source};
use shared::store::remotes::{Holder, Remotes};
use shared::store::verdicts::Verdicts;

/// The first round of the chain that asks an attempt to stop: above all those that wait for it.
const STOPPING: u16 = 10_000;

/// How long a success may be without its file: outputs lag behind the word for the end.
const OUTPUT_LAGS: Duration = Duration::from_secs(60);
/// How long the answers about an attempt may tell nothing before that is said aloud.
const UNREADABLE_MAX: Duration = Duration::from_secs(600);

/// Everything `poll` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    pub polls: Polls,
    /// Whose remote jobs are.
    pub remotes: Remotes,
    pub providers: ProviderClient,
    pub poll: Queue,
    pub verdicts: Verdicts,
    /// Says how a lost attempt was ordered.
    pub catalog: Catalog,
    pub dead_letters: Queue,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            jobs: JobStore::new(table.clone()),
            polls: Polls::new(table.clone()),
            remotes: Remotes::new(table),
            providers: config::provider_client(&mut read)?,
            poll: config::queue(process, &mut read, "POLL_QUEUE_URL"),
            verdicts: config::verdicts(process, &mut read),
            catalog: Catalog::for_providers(Provider::ALL),
            dead_letters: config::dead_letters(process, &mut read),
            clock: process.clock.clone(),
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
    let Message::Poll { job_id, attempt: number, round } = message else {
        return Err(Unfinished::of_another_queue());
    };
    let job =
        app.jobs.get(&job_id).await?.ok_or_else(|| Unfinished::park(format!("there is no job {job_id}")))?;
    let attempt = job
        .attempt(number)
        .ok_or_else(|| Unfinished::park(format!("job {job_id} has no attempt {number}")))?;
    if attempt.remote.is_none() && matches!(attempt.phase, Phase::Sending | Phase::Unclear) {
        return look_up(app, &job_id, number, round).await;
    }
    // A settling attempt is asked again for a fresh link to its file.
    let fetching = job.waits_for_file_of(number);
    let Some(remote) = attempt.remote.as_ref().filter(|_| attempt.phase == Phase::Running || fetching) else {
        return Ok(());
    };
    let (unwanted, now) = (job.should_stop(number), app.clock.now());
    if attempt.key_mark.is_none() {
        app.jobs.hold_remote(&job_id, attempt, now).await?;
    }
    // Whichever message comes first when it is no longer wanted begins the chain that asks it to stop.
    let round = round.map(|round| if unwanted { round.max(STOPPING) } else { round });
    // Once its provider has accepted that it stops, no longer known is stopped.
    let mut is_stopping = false;
    if let Some(round) = round {
        match app.polls.take(&job_id, number, round, now).await? {
            Turn::Taken { stop_accepted } => is_stopping = unwanted && stop_accepted,
            Turn::Passed => return Ok(()),
            Turn::Busy => {
                return Err(Unfinished::Later("the attempt was asked about just now"));
            }
        }
    }
    let polled = app.providers.poll(attempt.provider, remote, &attempt.route, now).await;
    let Some(wait) = apply(app, &job, attempt, &polled, is_stopping).await? else { return Ok(()) };
    // Asked first, stopped only while it runs: stopping what has ended destroys its result.
    let may_run = match polled {
        Polled::Pending => true,
        Polled::Ended(Verdict::Gone) => !has_another_key(app, attempt),
        _ => false,
    };
    if unwanted && may_run && !fetching {
        let canceling = app.providers.cancel(attempt.provider, remote, &attempt.route, now).await;
        if canceling == Canceling::Asked {
            app.polls.note_stop(&job_id, number, now).await?;
        }
    }
    ask_later(app, &job, attempt, round, wait).await
}

/// Applies the provider's answer about an attempt. Returns how long the provider wants to be left
/// alone before it is asked again; `None` if the answer is an end.
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
                job.id = %job.id, attempt = number, provider.name = %attempt.provider,
                alert = true, class = "key_changed", "provider.needs_attention"
            );
            return Ok(Some(Duration::ZERO));
        }
        // Not an end yet: a loss needs several such answers.
        Polled::Ended(Verdict::Gone) => {
            if attempt.is_not_found_new(now) {
                act_on(app, job, attempt, Verdict::Gone).await?;
            }
            return Ok(Some(Duration::ZERO));
        }
        Polled::Ended(verdict) => verdict.clone(),
        Polled::Empty(fault)
            if !fetching && lasts(app, &job.id, number, "no_output", OUTPUT_LAGS).await? =>
        {
            Verdict::Broke { fault: fault.clone(), cost: None }
        }
        Polled::Pending if attempt.missing.is_some() => {
            if let Some(remote) = attempt.remote.clone() {
                let news = AttemptEvent::Accepted { remote, cost: None };
                app.jobs.advance_from(job.clone(), &Event::Attempt { number, event: news }, now).await?;
            }
            return Ok(Some(Duration::ZERO));
        }
        Polled::Unreadable(cause) => {
            not_understood(app, &job.id, attempt, cause).await?;
            return Ok(Some(Duration::ZERO));
        }
        Polled::Busy(asked) => return Ok(Some(*asked)),
        Polled::Pending | Polled::Fetch(_) | Polled::Empty(_) => return Ok(Some(Duration::ZERO)),
    };
    act_on(app, job, attempt, verdict).await?;
    Ok(None)
}

/// Whether the answers about an attempt have been odd in this way for so long.
async fn lasts(app: &App, job: &JobId, attempt: u8, what: &str, span: Duration) -> Result<bool, Unfinished> {
    let now = app.clock.now();
    Ok(now.since(app.polls.note_odd(job, attempt, what, now).await?) >= span)
}

/// Says aloud that a provider is not understood: at once where it said a word that we do not know,
/// and after a while where it gave no answer that can be read.
async fn not_understood(app: &App, job: &JobId, attempt: &Attempt, cause: &str) -> Result<(), Unfinished> {
    let is_new = matches!(cause, "unknown_status" | "unknown_file_state" | "unusable_file_name");
    if is_new || lasts(app, job, attempt.number, "unreadable", UNREADABLE_MAX).await? {
        tracing::error!(
            job.id = %job, attempt = attempt.number, provider = attempt.provider.name(),
            alert = true, class = "unreadable", reason = cause, "provider.needs_attention"
        );
    }
    Ok(())
}

/// Whether "we do not know this job" may only mean that it was made with another key.
fn has_another_key(app: &App, attempt: &Attempt) -> bool {
    attempt.key_mark.is_some_and(|mark| app.providers.key_mark(attempt.provider) != Some(mark))
}

/// Has a verdict acted on. `reconcile` has a file asked about again that is being fetched, so that
/// message is not sent on.
async fn act_on(app: &App, job: &Job, attempt: &Attempt, verdict: Verdict) -> Result<(), Unfinished> {
    let (number, remote) = (attempt.number, attempt.remote.clone());
    let mut message = Message::verdict(job.id.clone(), number, remote, Some(verdict), Source::Poll);
    if let Message::Fetch { tried, .. } = &mut message
        && job.waits_for_file_of(number)
    {
        *tried = u8::MAX;
    }
    Ok(app.verdicts.send(&message, attempt.provider).await?)
}

/// Sends the next question of a chain, not before the provider wants one.
async fn ask_later(
    app: &App,
    job: &Job,
    attempt: &Attempt,
    round: Option<u16>,
    wait: Duration,
) -> Result<(), Unfinished> {
    let given_up = app.clock.now().since(attempt.started_at) > RUNNING_MAX + STOPPING_MAX;
    let Some(round) = round.filter(|_| !given_up) else { return Ok(()) };
    // `reconcile` has the attempt polled that a live job waits for anyway: that chain ends. No job
    // waits for the answer about others: their chain thins out.
    let is_reconciled = !job.state.is_terminal() && job.attempt == attempt.number;
    let nth = round % STOPPING;
    let pause = match nth < POLLS_MAX {
        true => poll_pause(nth, POLL_FIRST, POLL_MAX),
        false if is_reconciled => return Ok(()),
        false => POLL_RARELY,
    };
    let (job_id, attempt, provider) = (job.id.clone(), attempt.number, attempt.provider);
    let next = Message::Poll { job_id, attempt, round: Some(round.saturating_add(1)) };
    Ok(app.poll.send(&next, Some(provider.name()), pause.max(wait)).await?)
}

/// Looks at its provider for an attempt whose create answer was lost. What is found, `settle`
/// writes down; what certainly never arrived has failed there and may be tried elsewhere.
async fn look_up(app: &App, job_id: &JobId, number: u8, round: Option<u16>) -> Result<(), Unfinished> {
    let known = app.jobs.get_with_request(job_id).await?;
    let (job, request) = known.ok_or_else(|| Unfinished::park(format!("there is no job {job_id}")))?;
    let attempt = job
        .attempt(number)
        .ok_or_else(|| Unfinished::park(format!("job {job_id} has no attempt {number}")))?;
    let now = app.clock.now();
    let age = now.since(attempt.started_at);
    let kind = adapter(attempt.provider).capabilities().look_up;
    let Some(route) = app.catalog.route(&attempt.route) else { return Ok(()) };
    let too_early = match kind {
        LookUp::Never => return Ok(()),
        // Its dispatcher may still be at it.
        LookUp::Certain => age < LOST_WITHIN,
        // Or that of another attempt with the same input.
        LookUp::Likely => age < LOOK_UP_AFTER,
    };
    if too_early {
        return Ok(());
    }
    let reference = reference(job_id, number);
    let order = CreateOrder::new(&request, route, &reference);
    let lost = Lost { order, started_at: attempt.started_at };
    // Another account, or a simulator, does not know what was ordered from a real provider.
    let would_know = attempt.simulated || !has_another_key(app, attempt);
    let never_arrived = kind == LookUp::Certain && attempt.not_found_counts(now) && would_know;
    let put_off = app.polls.put_off_until(job_id, number).await?;
    let mut wait = Duration::ZERO;
    let found = match put_off.filter(|until| *until > now && now < job.deadline) {
        Some(until) => Found::Busy(until.since(now)),
        None => app.providers.look_up(attempt.provider, &lost, now).await,
    };
    let (remote, outcome) = match found {
        Found::Job(remote) => (Some(remote), None),
        Found::Alike(all) => {
            let own = Holder { job: job_id.clone(), attempt: number };
            let free = app.remotes.free_for(attempt.provider, &all, &own, now).await?;
            // Equal orders are equal: any of them that is nobody's will do.
            (free.into_iter().next(), None)
        }
        Found::Nothing if never_arrived => {
            let fault = Fault::new(ErrorClass::ProviderUnavailable, Some("never_arrived"), Billed::No);
            (None, Some(Verdict::Broke { fault, cost: Some(MicroUsd(0)) }))
        }
        Found::Busy(asked) => {
            wait = asked;
            if put_off.is_none_or(|until| until < now + asked) {
                app.polls.put_off(job_id, number, now + asked).await?;
            }
            (None, None)
        }
        Found::Nothing | Found::Unreadable(_) => (None, None),
    };
    if remote.is_none() && outcome.is_none() {
        // `reconcile` has the attempt looked for that a live job waits for.
        let is_loose = job.superseded_attempts().any(|loose| loose.number == number);
        if let Some(round) = round.filter(|_| is_loose && age < UNCLEAR_MAX) {
            let job_id = job_id.clone();
            let next = Message::Poll { job_id, attempt: number, round: Some(round) };
            app.poll.send(&next, Some(attempt.provider.name()), POLL_RARELY.max(wait)).await?;
        }
        return Ok(());
    }
    let message = Message::verdict(job_id.clone(), number, remote, outcome, Source::Poll);
    Ok(app.verdicts.send(&message, attempt.provider).await?)
}
