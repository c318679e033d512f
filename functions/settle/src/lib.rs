//! `settle`: apply a verdict: stream the media into S3 and finish, or fail over, or fail
//! and refund.

mod gate;

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::domain::attempt::{Attempt, News};
use shared::domain::catalog::Catalog;
use shared::domain::decide::Event;
use shared::domain::id::RemoteJob;
use shared::domain::job::{Job, Media, State};
use shared::domain::provider::Provider;
use shared::domain::verdict::Verdict;
use shared::edge::batch::{self, BoxError, Deadline};
use shared::edge::http::chain;
use shared::provider::download::{DownloadError, Downloader};
use shared::provider::{Polled, ProviderClient};
use shared::resilience::limit::LimitTable;
use shared::store::gauges::Gauges;
use shared::store::jobs::{Advance, JobStore};
use shared::store::media::{CopyError, MediaStore, media_key};
use shared::store::outbox::Outbox;
use shared::store::queue::{Message, Queue, Source};

/// Tries at a file in one go. What still fails then is tried again by `reconcile`, for as
/// long as the file may exist: a failed download is not a failed job.
const COPIES_MAX: usize = 3;

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
    pub media: MediaStore,
    pub providers: ProviderClient,
    pub downloads: Downloader,
    pub outbox: Outbox,
    pub settle: Queue,
    /// Says what a job's model makes.
    pub catalog: Catalog,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let loopback = read.optional("MEDIA_ALLOW_LOOPBACK", "true or false").unwrap_or(false);
        let table = config::table(process, &mut read);
        let app = Self {
            jobs: JobStore::new(table.clone()),
            gauges: Gauges::new(table),
            limits: config::limits(&mut read),
            media: MediaStore::new(process.s3(), read.required("MEDIA_BUCKET")),
            providers: config::provider_client(&mut read)?,
            downloads: Downloader::new(loopback).map_err(StartError::Http)?,
            outbox: config::outbox(process, &mut read),
            settle: config::queue(process, &mut read, "SETTLE_QUEUE_URL"),
            catalog: Catalog::for_providers(Provider::ALL),
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
            return Ok(app.settle.send(&again, Some(&job.account), pause).await?);
        }
        // Asked in vain for long enough: what its provider has signed stands.
        Confirmed::NotNow => match outcome {
            Some(verdict) => verdict,
            None => return Ok(()),
        },
    };
    let url = match &verdict {
        Verdict::Finished { asset_url, .. } => Some(asset_url.clone()),
        Verdict::Broke { .. } | Verdict::Canceled { .. } | Verdict::Gone => None,
    };
    if verdict == Verdict::Gone && !gate::is_loss_believed(app, attempt).await? {
        return Ok(());
    }
    let event = Event::Attempt { number, news: News::Ended { remote, verdict } };
    let advance = app.jobs.advance_from(job, &event, app.clock.now()).await?;
    let mut job = advance.job().clone();
    if let Advance::Moved(job) = &advance
        && let Some(ended) = job.attempt(number)
    {
        gate::leave(app, ended).await;
    }

    if let Some(url) = url
        && job.state == State::Settling
        && job.attempt == number
        && let Some(ended) = fetch(app, &job, &url).await?
    {
        job = app.jobs.advance_from(job, &ended, app.clock.now()).await?.job().clone();
    }
    app.outbox.send_all(&job).await;
    Ok(())
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
    // A signature covers no URL: what names another remote job than the attempt's is none of its news.
    if attempt.remote.as_ref().zip(remote).is_some_and(|(known, told)| known.id != told.id) {
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
        Polled::Fetch(_) | Polled::Unreadable(_) => Confirmed::NotNow,
    }
}

/// Copies an attempt's file into the bucket. The event to tell the job; `None` if the file
/// cannot be had now and may be had later.
async fn fetch(app: &App, job: &Job, url: &str) -> Result<Option<Event>, BoxError> {
    let number = job.attempt;
    let mut missing = false;
    for _ in 0..COPIES_MAX {
        match copy(app, job, url).await {
            Ok(media) => return Ok(Some(Event::Stored { number, media })),
            Err(CopyFailed::Store(error)) => return Err(error.into()),
            Err(CopyFailed::Missing(error)) => {
                tracing::warn!(job.id = %job.id, error = chain(&error), "media.missing");
                missing = true;
                break;
            }
            Err(CopyFailed::Later(error)) => {
                tracing::warn!(job.id = %job.id, error = chain(&*error), "media.not_copied");
            }
        }
    }
    Ok(missing.then_some(Event::AssetLost { number }))
}

enum CopyFailed {
    /// The source says that there is no such file.
    Missing(DownloadError),
    Later(BoxError),
    /// Our own bucket failed.
    Store(shared::store::Error),
}

async fn copy(app: &App, job: &Job, url: &str) -> Result<Media, CopyFailed> {
    let provider =
        job.current().map(|attempt| attempt.provider).ok_or(CopyFailed::Later("no attempt".into()))?;
    let opened = app.providers.download(&app.downloads, provider, url, app.clock.now()).await;
    let file = opened.map_err(|error| match error {
        DownloadError::Gone(_) => CopyFailed::Missing(error),
        DownloadError::Later(_) | DownloadError::Forbidden(_) => CopyFailed::Later(error.into()),
    })?;
    let kind = app.catalog.model(&job.model).map(|model| model.kind).unwrap_or_default();
    let key = media_key(&job.account, &job.id, job.attempt, kind);
    app.media.copy(&key, file.length, file.body).await.map_err(|error| match error {
        CopyError::Store(error) => CopyFailed::Store(error),
        CopyError::Source(_) | CopyError::NotMedia(_) => CopyFailed::Later(error.into()),
    })
}
