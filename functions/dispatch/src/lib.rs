//! `dispatch`: claim an attempt on the best route, call the provider, record the outcome, fail over.

mod admission;
mod callbacks;
mod outcome;

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::attempt::{AttemptEvent, Phase};
use domain::catalog::{Catalog, Route};
use domain::credit::MicroUsd;
use domain::decide::{Claim, Event};
use domain::id::RemoteJob;
use domain::job::{Job, State, UnclearCreate};
use domain::policy::backoff::{RETRY_BASE, RETRY_MAX, full_jitter};
use domain::request::JobRequest;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::edge::batch::{self, Deadline, Unfinished};
use shared::edge::http::chain;
use shared::edge::note_attempt;
use shared::provider::download::Downloader;
use shared::provider::{CreateOrder, Outcome, ProviderClient, adapter, reference};
use shared::store;
use shared::store::admission::AdmissionStore;
use shared::store::jobs::{Advance, JobStore};
use shared::store::media::MediaStore;
use shared::store::outbox::Outbox;
use shared::store::queue::{Message, Queue, Source};
use url::Url;

pub use admission::AdmissionControl;
use admission::{Decision, Observed, PlannedAttempt};
pub use callbacks::Callbacks;
use outcome::{Reading, read, recover};

/// Retries, and their first pause, of a write that only this dispatcher can make.
const PERSIST_TRIES: u32 = 7;
const PERSIST_FIRST: Duration = Duration::from_millis(100);
/// Time reserved for one more write and the fallback message.
const RECORD_WITHIN: Duration = Duration::from_secs(14);
/// Time that a claim requires: the longest create call, and the record of its outcome. A function
/// that is stopped in between leaves a create with an unknown outcome.
pub const CREATE_WITHIN: Duration = Duration::from_secs(52);

/// Delay before an id from an ambiguous answer is confirmed: providers are eventually consistent.
const CONFIRM_AFTER: Duration = Duration::from_secs(5);

/// Everything `dispatch` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    /// Admission control of the providers.
    pub admission: AdmissionControl,
    /// For media in the create answer.
    pub media: MediaStore,
    pub providers: ProviderClient,
    /// For images that a provider needs as bytes.
    pub downloads: Downloader,
    pub outbox: Outbox,
    /// Fallback for outcomes that could not be written to the table.
    pub settle: Queue,
    pub catalog: Catalog,
    pub unclear_create: UnclearCreate,
    pub callbacks: Callbacks,
    pub dead_letters: Queue,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let sold = config::providers(&mut read);
        let providers = config::provider_client(&mut read)?;
        let reach = config::reach(&mut read);
        let callbacks = Callbacks::read(&mut read)?;
        let app = Self {
            jobs: JobStore::new(table.clone()),
            admission: AdmissionControl::new(
                AdmissionStore::new(table),
                config::limits(&mut read),
                sold.clone(),
                callbacks.simulated.clone(),
                process.random.clone(),
            ),
            media: MediaStore::new(process.s3(), read.required("MEDIA_BUCKET")),
            downloads: Downloader::new(reach).map_err(StartError::Http)?,
            outbox: config::outbox(process, &mut read),
            settle: config::queue(process, &mut read, "SETTLE_QUEUE_URL"),
            unclear_create: read.optional("UNCLEAR_CREATE", "wait or failover").unwrap_or_default(),
            catalog: Catalog::for_providers(&sold),
            providers,
            callbacks,
            dead_letters: config::dead_letters(process, &mut read),
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    Ok(batch::each(event, app.clock.now(), &app.dead_letters, |message, deadline| {
        dispatch(app, message, deadline)
    })
    .await)
}

async fn dispatch(app: &App, message: Message, deadline: Deadline) -> Result<(), Unfinished> {
    let Message::Dispatch { job_id, once } = message else {
        return Err(Unfinished::of_another_queue());
    };
    let Some((job, request)) = app.jobs.get_with_request(&job_id).await? else {
        return Err(Unfinished::park(format!("there is no job {job_id}")));
    };
    note_attempt(&job, job.current());
    match job.state {
        State::Queued => {}
        State::Dispatching => return recover(app, job).await,
        State::Running
        | State::Settling
        | State::Succeeded
        | State::Failed
        | State::Canceled
        | State::Other(_) => return Ok(()), // a repeat, or a state of a newer release
    }
    let claim = app.random.u64();
    let planned = PlannedAttempt { job: &job, request: &request, claim };
    let route = match app.admission.admit(&planned, &app.catalog, app.clock.now()).await? {
        Decision::Admitted(route) => route,
        Decision::Wait(span) => {
            wait(app, &job, span, once).await;
            return Ok(());
        }
        Decision::NoRoute(class) => {
            app.jobs.advance_from(job, &Event::NoRoute { class }, app.clock.now()).await?;
            return Ok(());
        }
    };
    if deadline.left(app.clock.now()) < CREATE_WITHIN {
        app.admission.report(route, claim, Observed::NOTHING, app.clock.now()).await;
        return Err(Unfinished::Later("too little time is left for a create call"));
    }
    let Some(job) = claim_attempt(app, job, &request, route, claim, deadline).await? else {
        // Another dispatcher has the claim and makes the call.
        app.admission.report(route, claim, Observed::NOTHING, app.clock.now()).await;
        return Ok(());
    };

    // The claim allows this one call: a repeat of the message finds the job dispatching. After a
    // crash here, the webhook, a look-up or the deadline decides.
    let callback = app.callbacks.url(&job, route.provider);
    let outcome = match job.stop {
        None => send(app, &job, &request, route, callback.as_ref()).await,
        // Canceled since the claim was decided.
        Some(_) => Outcome::NotSent(Fault::new(ErrorClass::Stopped, None, Billed::No)),
    };
    let observed = Observed::from_outcome(&outcome);
    let Reading { event, retry_after, unconfirmed } = read(app, &job, &request, outcome, deadline).await?;
    let attempt = job.attempt;
    let job = record(app, job, &event, deadline).await?;
    if let Some(remote) = unconfirmed {
        confirm(app, &job, remote).await;
    }
    app.admission.report(route, claim, observed, app.clock.now()).await;

    let mut pause = Duration::ZERO;
    if job.state == State::Queued {
        let now = app.clock.now();
        let elsewhere = app.admission.goes_elsewhere(&job, &request, &app.catalog, route.provider, now);
        tracing::info!(job = %job.id, attempt, provider = %route.provider, elsewhere, "job.failover");
        let jitter = || full_jitter(u32::from(attempt), RETRY_BASE, RETRY_MAX, app.random.u32());
        pause = if elsewhere { Duration::ZERO } else { retry_after.unwrap_or_else(jitter) };
    }
    app.outbox.send_all_after(&job, pause).await;
    Ok(())
}

/// Claims the job's next attempt; `None` if another dispatcher has it.
async fn claim_attempt(
    app: &App,
    job: Job,
    request: &JobRequest,
    route: &Route,
    id: u64,
    deadline: Deadline,
) -> Result<Option<Job>, Unfinished> {
    let job_id = job.id.clone();
    let claimed = Event::Claimed(Claim {
        id,
        provider: route.provider,
        route: route.name(),
        cost: request.cost(route),
        key_mark: app.providers.key_mark(route.provider),
        reports: app.callbacks.base(route.provider).is_some(),
        stop_is_free: adapter(route.provider).capabilities().stop_is_free,
        simulated: app.callbacks.simulated.contains(&route.provider),
    });
    let error = match app.jobs.advance_from(job, &claimed, app.clock.now()).await {
        Ok(Advance::Moved(job)) => return Ok(Some(job)),
        Ok(Advance::Unchanged(_) | Advance::Taken(_)) => return Ok(None),
        Err(error) => error,
    };
    // The write may have succeeded, and then only this dispatcher can send the attempt: read it
    // back and compare the claim.
    let job = persist(app, deadline, "claim.not_read", || app.jobs.get(&job_id)).await?;
    let is_mine = |job: &Job| {
        job.current().is_some_and(|attempt| attempt.claim == id && attempt.phase == Phase::Sending)
    };
    match job.filter(is_mine) {
        Some(job) => Ok(Some(job)),
        None => Err(error.into()),
    }
}

/// Records the outcome of the create call, which only this function knows. If the table fails, the
/// outcome goes to the settle queue; if that fails too, to the log.
async fn record(app: &App, job: Job, event: &Event, deadline: Deadline) -> Result<Job, Unfinished> {
    let number = job.attempt;
    let advance = persist(app, deadline, "create.not_recorded", || {
        app.jobs.advance_from(job.clone(), event, app.clock.now())
    });
    match advance.await {
        Ok(Advance::Taken(job)) => {
            // The remote job belongs to another attempt: ours has no known id.
            let unclear = Event::Attempt { number, event: AttemptEvent::Unclear };
            Ok(app.jobs.advance_from(job, &unclear, app.clock.now()).await?.into_job())
        }
        Ok(advance) => Ok(advance.into_job()),
        Err(error) => {
            if let Some(message) = as_message(&job, event) {
                let sent = app.settle.send(&message, Some(job.provider_of(number)), Duration::ZERO).await;
                if let Err(unsent) = &sent {
                    let remote = named(event).map(|remote| remote.id.as_str());
                    tracing::error!(
                        job = %job.id, attempt = number, event = event.name(), remote,
                        error = chain(unsent), "create.lost"
                    );
                }
            }
            Err(error.into())
        }
    }
}

/// Queues a check of an unconfirmed id: if the provider knows it, it is the attempt's remote job.
async fn confirm(app: &App, job: &Job, remote: RemoteJob) {
    let (job_id, attempt, remote) = (job.id.clone(), job.attempt, Some(remote));
    let message = Message::verdict(job_id, attempt, remote, None, Source::Poll);
    if let Err(error) = app.settle.send(&message, Some(job.provider_of(job.attempt)), CONFIRM_AFTER).await {
        tracing::warn!(job = %job.id, error = chain(&error), "message.not_queued");
    }
}

/// The outcome of a create call as a message for `settle`, if there is one.
fn as_message(job: &Job, event: &Event) -> Option<Message> {
    let Event::Attempt { number, event: reported } = event else { return None };
    let outcome = match reported {
        AttemptEvent::Accepted { .. } => None,
        AttemptEvent::Refused(fault) | AttemptEvent::NotSent(fault) => {
            Some(Verdict::Broke { fault: fault.clone(), cost: Some(MicroUsd(0)) })
        }
        AttemptEvent::PresumedRefused | AttemptEvent::Unclear | AttemptEvent::Ended { .. } => return None,
    };
    let remote = named(event).cloned();
    let (job_id, attempt) = (job.id.clone(), *number);
    Some(Message::verdict(job_id, attempt, remote, outcome, Source::Poll))
}

fn named(event: &Event) -> Option<&RemoteJob> {
    match event {
        Event::Attempt { event: AttemptEvent::Accepted { remote, .. }, .. } => Some(remote),
        _ => None,
    }
}

/// Retries with growing pauses, while there is time for the fallback.
#[expect(clippy::disallowed_methods, reason = "seconds, while only this dispatcher knows the outcome")]
async fn persist<T, F>(
    app: &App,
    deadline: Deadline,
    event: &'static str,
    operation: impl Fn() -> F,
) -> Result<T, store::Error>
where
    F: Future<Output = Result<T, store::Error>>,
{
    let mut tries = 0;
    loop {
        match operation().await {
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                let pause = PERSIST_FIRST * 2_u32.pow(tries);
                tracing::warn!(error = chain(&error), tries, "{event}");
                if tries >= PERSIST_TRIES || deadline.left(app.clock.now()) < pause + RECORD_WITHIN {
                    return Err(error);
                }
                tokio::time::sleep(pause).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Delays a job that no provider admits now. It stays queued and uses no attempt. A message with
/// `once` is not sent again.
async fn wait(app: &App, job: &Job, span: Duration, once: bool) {
    let pause = admission::pause(span, job, app.random.u32(), app.clock.now());
    tracing::info!(job = %job.id, pause_ms = pause.as_millis(), once, "job.held_back");
    if !once {
        app.outbox.send_all_after(job, pause).await;
    }
}

async fn send(app: &App, job: &Job, request: &JobRequest, route: &Route, callback: Option<&Url>) -> Outcome {
    let reference = reference(&job.id, job.attempt);
    let order = CreateOrder { callback, ..CreateOrder::new(request, route, &reference) };
    app.providers.create(&app.downloads, route.provider, &order, app.clock.now()).await
}
