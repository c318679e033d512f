//! `dispatch`: claim an attempt on the best route, call the provider, record what came
//! back, fail over.

mod gates;

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::stream;
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::domain::attempt::{News, Phase};
use shared::domain::catalog::{Catalog, Route};
use shared::domain::decide::Event;
use shared::domain::job::{Job, State};
use shared::domain::provider::Provider;
use shared::domain::request::JobRequest;
use shared::edge::batch::{self, BoxError};
use shared::edge::http::chain;
use shared::provider::download::Downloader;
use shared::provider::{CallbackSecrets, CreateOrder, Outcome, ProviderClient, Token, adapter};
use shared::resilience::backoff::{POLL_FIRST, RETRY_BASE, RETRY_MAX, full_jitter};
use shared::store::gauges::Gauges;
use shared::store::jobs::{Advance, JobStore};
use shared::store::media::{MediaStore, media_key};
use shared::store::queue::{Message, Queue};
use url::Url;

pub use gates::Gates;
use gates::{Way, Wish};

/// Everything `dispatch` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    /// The providers' gates: whom to trust, and with how much.
    pub gates: Gates,
    /// For media that comes with the create answer.
    pub media: MediaStore,
    pub providers: ProviderClient,
    /// For images that a provider takes as bytes.
    pub downloads: Downloader,
    pub dispatch: Queue,
    pub poll: Queue,
    pub catalog: Catalog,
    /// Where providers can reach us; without it every attempt is polled.
    pub webhook_base_url: Option<Url>,
    pub callback_secrets: CallbackSecrets,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let providers = config::provider_client(&mut read)?;
        let loopback = read.optional("MEDIA_ALLOW_LOOPBACK", "true or false").unwrap_or(false);
        let app = Self {
            jobs: JobStore::new(table.clone()),
            gates: Gates::new(
                Gauges::new(table),
                config::limits(&mut read),
                providers.providers().collect(),
                process.random.clone(),
            ),
            media: MediaStore::new(process.s3(), read.required("MEDIA_BUCKET")),
            downloads: Downloader::new(loopback).map_err(StartError::Http)?,
            dispatch: config::queue(process, &mut read, "DISPATCH_QUEUE_URL"),
            poll: config::queue(process, &mut read, "POLL_QUEUE_URL"),
            catalog: Catalog::for_providers(&providers.providers().collect::<Vec<_>>()),
            providers,
            webhook_base_url: read.optional("WEBHOOK_BASE_URL", "a URL"),
            callback_secrets: config::callback_secrets(&mut read)?,
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    Ok(batch::each(event.payload, |message| dispatch(app, message)).await)
}

async fn dispatch(app: &App, message: Message) -> Result<(), BoxError> {
    let Message::Dispatch { job_id, once } = message else {
        return Err("this message is for another queue".into());
    };
    let Some((job, request)) = app.jobs.get_with_request(&job_id).await? else {
        return Err(format!("there is no job {job_id}").into());
    };
    match job.state {
        State::Queued => {}
        State::Dispatching => return recover(app, job).await,
        State::Running | State::Settling | State::Succeeded | State::Failed | State::Canceled => {
            return Ok(()); // a repeat: somebody has seen to it
        }
    }
    let claim = app.random.u64();
    let wish = Wish { job: &job, request: &request, claim };
    let route = match app.gates.find_way(&wish, &app.catalog, app.clock.now()).await? {
        Way::Go(route) => route,
        Way::Wait(told) => {
            wait(app, &job, told, once).await;
            return Ok(());
        }
        Way::Never(class) => {
            app.jobs.advance_from(job, &Event::NoRoute { class }, app.clock.now()).await?;
            return Ok(());
        }
    };
    let claimed =
        Event::Claimed { claim, provider: route.provider, route: route.name(), cost: request.cost(route) };
    let Advance::Moved(job) = app.jobs.advance_from(job, &claimed, app.clock.now()).await? else {
        // Another dispatcher has the claim, and makes the call.
        app.gates.report(route.provider, claim, None, true, app.clock.now()).await;
        return Ok(());
    };

    // The claim is ours, and this is the only call of it there will ever be: a repeat of
    // this message finds the job dispatching. If we die here, its webhook or its deadline
    // tells what became of it.
    let callback = callback(app, &job, route.provider);
    let outcome = send(app, &job, &request, route, callback.as_ref()).await;
    let (report, is_over) = gates::report(&outcome);
    let (event, retry_after) = read(app, &job, outcome).await?;
    let attempt = job.attempt;
    let advance = app.jobs.advance_from(job, &event, app.clock.now()).await?;
    app.gates.report(route.provider, claim, report, is_over, app.clock.now()).await;

    let job = advance.job();
    if job.state == State::Queued {
        let now = app.clock.now();
        let elsewhere = app.gates.goes_elsewhere(job, &request, &app.catalog, route.provider, now);
        tracing::info!(job.id = %job.id, attempt, provider.name = %route.provider, elsewhere, "job.failover");
        let jitter = || full_jitter(u32::from(attempt), RETRY_BASE, RETRY_MAX, app.random.u32());
        let pause = if elsewhere { Duration::ZERO } else { retry_after.unwrap_or_else(jitter) };
        tell(&app.dispatch, job, &Message::Dispatch { job_id, once: false }, pause).await;
    } else if job.is_polled(attempt, callback.is_some()) {
        let pause = if job.is_unwanted(attempt) { Duration::ZERO } else { POLL_FIRST };
        tell(&app.poll, job, &Message::Poll { job_id, attempt, round: Some(0) }, pause).await;
    }
    Ok(())
}

/// Holds a job back whose providers take nothing now: it stays queued, and costs no attempt.
/// A message that `reconcile` has sent beside the job's own is not sent on.
async fn wait(app: &App, job: &Job, told: Duration, once: bool) {
    let pause = gates::pause(told, job, app.random.u32(), app.clock.now());
    tracing::info!(job.id = %job.id, pause_ms = pause.as_millis(), once, "job.held_back");
    if !once {
        let message = Message::Dispatch { job_id: job.id.clone(), once };
        tell(&app.dispatch, job, &message, pause).await;
    }
}

/// Sends the message that the job now waits for. If it is lost, `reconcile` sends it again:
/// a repeat of ours would only find the job moved on.
async fn tell(queue: &Queue, job: &Job, message: &Message, pause: Duration) {
    if let Err(error) = queue.send(message, Some(&job.account), pause).await {
        tracing::warn!(error = chain(&error), "message.not_queued");
    }
}

async fn send(app: &App, job: &Job, request: &JobRequest, route: &Route, callback: Option<&Url>) -> Outcome {
    let reference = format!("{}.{}", job.id, job.attempt);
    let order = CreateOrder { callback, ..CreateOrder::new(request, route, &reference) };
    app.providers.create(&app.downloads, route.provider, &order, app.clock.now()).await
}

/// The URL that the provider reports to: it names job and attempt, so that a webhook finds
/// them even if we die before we have written down the remote job.
fn callback(app: &App, job: &Job, provider: Provider) -> Option<Url> {
    adapter(provider).capabilities().webhooks?;
    let token = app.callback_secrets.sign(&Token { job: job.id.clone(), attempt: job.attempt });
    app.webhook_base_url.as_ref()?.join(&format!("/v1/webhooks/{provider}/{token}")).ok()
}

/// What an outcome means for the job, and how long the provider wants to be left alone.
async fn read(app: &App, job: &Job, outcome: Outcome) -> Result<(Event, Option<Duration>), BoxError> {
    let (news, retry_after) = match outcome {
        Outcome::Delivered { media, cost } => {
            // Nobody can be asked for it again. In the bucket first: a repeat of the message
            // finds it there if we die before the job knows.
            let (number, length) = (job.attempt, u64::try_from(media.len())?);
            let source = stream::iter([Ok::<_, Infallible>(media)]);
            let media = app.media.copy(&media_key_of(app, job), Some(length), source).await?;
            return Ok((Event::Delivered { number, cost, media }, None));
        }
        Outcome::Accepted { remote, cost } => (News::Accepted { remote, cost }, None),
        Outcome::Refused { fault, retry_after } => (News::Refused(fault), retry_after),
        Outcome::NotSent(fault) => (News::NotSent(fault), None),
        Outcome::Unknown { .. } => (News::Unclear, None),
    };
    Ok((Event::Attempt { number: job.attempt, news }, retry_after))
}

/// Finishes a job whose dispatcher died after it had stored what the create call brought.
async fn recover(app: &App, job: Job) -> Result<(), BoxError> {
    let Some(attempt) = job.current().filter(|attempt| attempt.phase == Phase::Sending) else {
        return Ok(());
    };
    if !adapter(attempt.provider).capabilities().delivers {
        return Ok(());
    }
    if let Some(media) = app.media.find(&media_key_of(app, &job)).await? {
        let delivered = Event::Delivered { number: job.attempt, cost: None, media };
        app.jobs.advance_from(job, &delivered, app.clock.now()).await?;
    }
    Ok(())
}

fn media_key_of(app: &App, job: &Job) -> String {
    let kind = app.catalog.model(&job.model).map(|model| model.kind).unwrap_or_default();
    media_key(&job.account, &job.id, job.attempt, kind)
}
