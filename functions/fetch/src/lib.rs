//! `fetch`: stream a finished attempt's file into the bucket, one copy at a time.

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::attempt::AttemptEvent;
use domain::catalog::{Catalog, Kind};
use domain::decide::Event;
use domain::job::Job;
use domain::media::Media;
use domain::policy::limit::LimitTable;
use domain::request::JobRequest;
use domain::verdict::Verdict;
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::edge::batch::{self, BoxError, Deadline, Unfinished, attempt_of};
use shared::edge::http::chain;
use shared::provider::ProviderClient;
use shared::provider::fetch::pace::{GRACE, Pace, Stopped};
use shared::provider::fetch::{DownloadError, Downloader};
use shared::store::admission::AdmissionStore;
use shared::store::jobs::{Advance, JobStore};
use shared::store::media::{CopyError, MediaStore, media_key};
use shared::store::outbox::Outbox;
use shared::store::queue::{DELAY_MAX, Message, Queue, Source};
use shared::store::reports::{Origin, Reports};
use tokio::time::Instant;

/// Download attempts per message.
const COPIES_MAX: usize = 3;
/// Delays of the retries of a message. After that, `reconcile` retries with a fresh link for as long
/// as the file may exist: a failed copy is not a failed job.
const AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(45)];
/// A back-off ends this long before the provider may delete the file; from then on copies go on at our own pace.
const LAST_COPIES: Duration = Duration::from_secs(600);
/// Interval of lease renewals; the lease survives two failed ones.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Time reserved for the end of an upload and the record of the result.
pub const WRITE_WITHIN: Duration = Duration::from_secs(60);

/// Everything `fetch` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    /// Drops webhooks that do not belong to the attempt that they name.
    pub reports: Reports,
    /// Releases the concurrency slot of an ended attempt.
    pub admission: AdmissionStore,
    pub limits: LimitTable,
    pub media: MediaStore,
    pub providers: ProviderClient,
    pub downloads: Downloader,
    pub outbox: Outbox,
    pub fetch: Queue,
    /// For webhooks about an attempt without a known remote job.
    pub settle: Queue,
    /// For the retention of a route's files.
    pub catalog: Catalog,
    pub dead_letters: Queue,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let reach = config::reach(&mut read);
        let table = config::table(process, &mut read);
        let app = Self {
            jobs: config::jobs(process, &mut read, &table),
            admission: AdmissionStore::new(table.clone()),
            limits: config::limits(&mut read),
            media: MediaStore::new(process.s3(), read.required("MEDIA_BUCKET")),
            providers: config::provider_client(&mut read)?,
            downloads: Downloader::new(reach).map_err(StartError::Http)?,
            // A success is billed: it never fails over.
            outbox: Outbox {
                dispatch: None,
                poll: Some(config::queue(process, &mut read, "POLL_QUEUE_URL")),
            },
            fetch: config::queue(process, &mut read, "FETCH_QUEUE_URL"),
            settle: config::queue(process, &mut read, "SETTLE_QUEUE_URL"),
            reports: Reports::new(table.clone()),
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
        fetch(app, message, deadline)
    })
    .await)
}

async fn fetch(app: &App, message: Message, deadline: Deadline) -> Result<(), Unfinished> {
    let Message::Fetch { job_id, attempt: number, remote, url, cost, source, sender, tried } = message else {
        return Err(Unfinished::of_another_queue());
    };
    let origin = Origin { remote: remote.as_ref(), source, sender: sender.as_ref() };
    let Some(job) = app.reports.job(&job_id, number, origin, app.clock.now()).await? else { return Ok(()) };
    let attempt = attempt_of(&job, number)?;
    if source == Source::Webhook && attempt.remote.is_none() {
        // Only the webhook knows the remote job: `settle` confirms it.
        let provider = attempt.provider.name();
        let outcome = Some(Verdict::Finished { asset_url: url, cost });
        let message = Message::Settle { job_id, attempt: number, remote, outcome, source, sender, asked: 0 };
        return Ok(app.settle.send(&message, Some(provider), Duration::ZERO).await?);
    }
    if attempt.has_other_remote(remote.as_ref()) {
        tracing::warn!(job = %job_id, provider = %attempt.provider, "verdict.of_another_remote_job");
        return Ok(());
    }
    let verdict = Verdict::Finished { asset_url: url.clone(), cost };
    let ended = Event::Attempt { number, event: AttemptEvent::Ended { remote: remote.clone(), verdict } };
    let Work { job, copies } = begin(app, job, number, &ended).await?;
    if copies == Copies::Nothing {
        app.outbox.send_all(&job).await;
        return Ok(());
    }
    // The lease is the version that granted it.
    let lease = job.version();
    let request = app.jobs.request(&job_id).await;
    let copied = match &request {
        Ok(Some(request)) => {
            let copying = copy(app, &job, request.kind(), &url, copies, deadline);
            hold(app, &job, lease, Box::pin(copying)).await
        }
        Ok(None) => later(&job, &*BoxError::from("its request is missing")),
        Err(error) => later(&job, error),
    };
    let copied = accept_loss(app, &job, copied).await?;
    let (later, event) = (copied.retry_after(), copied.event(number, lease));
    let provider = job.provider_of(number);
    let job = app.jobs.advance_from(job, &event, app.clock.now()).await?.into_job();
    app.outbox.send_all(&job).await;
    if let (Event::Stored { media, .. }, Ok(Some(request))) = (&event, &request) {
        warn_if_short(&job, request, media);
    }
    if let (Some(wait), Some(pause)) = (later, AGAIN_AFTER.get(usize::from(tried)))
        && job.waits_for_file_of(number)
    {
        // A queue counts whole seconds: an early message would find the back-off still active.
        let pause = if wait.is_zero() { *pause } else { (wait + Duration::from_secs(1)).max(*pause) };
        let tried = tried.saturating_add(1);
        let again = Message::Fetch { job_id, attempt: number, remote, url, cost, source, sender, tried };
        app.fetch.send(&again, Some(provider), pause).await?;
    }
    Ok(())
}

/// The work of a message.
struct Work {
    job: Job,
    copies: Copies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copies {
    Nothing,
    First,
    /// An earlier copy may have finished before its function crashed.
    Again,
}

/// Records that the attempt has finished. The message that moves the job to `settling` holds the copy
/// lease; later ones acquire it once it has expired or was released.
async fn begin(app: &App, job: Job, number: u8, ended: &Event) -> Result<Work, Unfinished> {
    let now = app.clock.now();
    let was_awaited = job.waits_for_file_of(number);
    let advance = app.jobs.advance_from(job, ended, now).await?;
    let is_move = matches!(advance, Advance::Moved(_)) && !was_awaited;
    let job = advance.into_job();
    if is_move && let Some(attempt) = job.attempt(number) {
        let chance = (app.random.u32(), app.random.u64());
        app.admission.release_slot(&app.limits, attempt, chance, now).await;
    }
    if !job.waits_for_file_of(number) {
        return Ok(Work { job, copies: Copies::Nothing });
    }
    if is_move && job.copy_lease() == Some(job.version()) {
        return Ok(Work { job, copies: Copies::First });
    }
    Ok(match app.jobs.advance_from(job, &Event::CopyStarted { number }, now).await? {
        Advance::Moved(job) if job.copy_lease() == Some(job.version()) => Work { job, copies: Copies::Again },
        other => Work { job: other.into_job(), copies: Copies::Nothing },
    })
}

/// The result of a copy.
enum Copied {
    Stored(Media),
    /// The source reports the file as not found.
    Missing,
    /// The file is certainly the wrong one, or its URL is not allowed.
    Wrong,
    /// Retry after this wait, at most [`DELAY_MAX`].
    Later(Duration),
}

impl Copied {
    /// The wait before another try; `None` if there is none.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later(wait) => Some(*wait),
            Self::Wrong => Some(Duration::ZERO),
            Self::Stored(_) | Self::Missing => None,
        }
    }

    fn event(self, number: u8, lease: u64) -> Event {
        match self {
            Self::Stored(media) => Event::Stored { number, media },
            Self::Wrong => Event::WrongFile { number, lease },
            Self::Missing => Event::AssetLost { number, lease },
            Self::Later(wait) => Event::CopyFailed { number, lease, wait },
        }
    }
}

/// A file that is not found may appear later, if the provider loses many at once.
async fn accept_loss(app: &App, job: &Job, copied: Copied) -> Result<Copied, Unfinished> {
    let Some(attempt) = job.current().filter(|_| matches!(copied, Copied::Missing)) else {
        return Ok(copied);
    };
    let accepted = app.admission.accepts_loss(attempt, app.random.u64(), app.clock.now()).await?;
    Ok(if accepted { Copied::Missing } else { Copied::Later(Duration::ZERO) })
}

/// Renews the lease while a copy runs; ends the copy if the lease is lost.
async fn hold(app: &App, job: &Job, lease: u64, mut copying: impl Future<Output = Copied> + Unpin) -> Copied {
    let renewal = Event::CopyRenewed { number: job.current_number(), lease };
    loop {
        if let Ok(copied) = tokio::time::timeout(RENEW_EVERY, &mut copying).await {
            return copied;
        }
        match app.jobs.advance(job.id(), &renewal, app.clock.now()).await {
            Ok(renewed) if renewed.job().copy_lease() != Some(lease) => {
                tracing::warn!(job = %job.id(), "media.lease_lost");
                return Copied::Later(Duration::ZERO);
            }
            Ok(_) => {}
            // A second copy changes nothing in the bucket, so this one may continue.
            Err(error) => tracing::warn!(job = %job.id(), error = chain(&error), "media.lease_not_renewed"),
        }
    }
}

/// Copies an attempt's file into the bucket, within the remaining time.
async fn copy(app: &App, job: &Job, kind: Kind, urls: &str, copies: Copies, deadline: Deadline) -> Copied {
    if copies == Copies::Again {
        match app.media.find(&media_key(job, kind)).await {
            Ok(Some(media)) => return Copied::Stored(media),
            Ok(None) => {}
            Err(error) => return later(job, &error),
        }
    }
    let mut worst: Option<Copied> = None;
    for url in by_likeness(urls, kind) {
        let copied = copy_one(app, job, kind, url, deadline).await;
        worst = match (copied, worst) {
            (Copied::Stored(media), _) => return Copied::Stored(media),
            // While one of them may still be the file, the result is not final.
            (Copied::Later(wait), Some(Copied::Later(other))) => Some(Copied::Later(wait.min(other))),
            (Copied::Later(wait), _) | (_, Some(Copied::Later(wait))) => Some(Copied::Later(wait)),
            (Copied::Wrong, _) | (_, Some(Copied::Wrong)) => Some(Copied::Wrong),
            (Copied::Missing, _) => Some(Copied::Missing),
        };
    }
    worst.unwrap_or(Copied::Wrong)
}

/// The URLs of an answer, sorted: names of the requested kind of media first, of the other kind last.
fn by_likeness(urls: &str, kind: Kind) -> Vec<&str> {
    const VIDEOS: [&str; 5] = [".mp4", ".mov", ".webm", ".mkv", ".m4v"];
    const IMAGES: [&str; 5] = [".png", ".jpg", ".jpeg", ".webp", ".gif"];
    let (fitting, other) = match kind {
        Kind::Video => (VIDEOS, IMAGES),
        Kind::Image => (IMAGES, VIDEOS),
    };
    let rank = |url: &&str| {
        let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let ends = |endings: [&str; 5]| endings.iter().any(|ending| path.ends_with(ending));
        (!ends(fitting), ends(other))
    };
    let mut urls: Vec<_> = urls.split_ascii_whitespace().collect();
    urls.sort_by_key(rank);
    urls
}

async fn copy_one(app: &App, job: &Job, kind: Kind, url: &str, deadline: Deadline) -> Copied {
    let mut copied = Copied::Later(Duration::ZERO);
    for _ in 0..COPIES_MAX {
        let started = Instant::now();
        let pace = Pace::new(deadline.left(app.clock.now()).saturating_sub(WRITE_WITHIN));
        copied = copy_once(app, job, kind, url, pace).await.unwrap_or_else(|error| later(job, &*error));
        // No immediate retry after a slow download or a requested back-off.
        if !matches!(copied, Copied::Later(Duration::ZERO)) || started.elapsed() >= GRACE {
            break;
        }
    }
    copied
}

async fn copy_once(app: &App, job: &Job, kind: Kind, url: &str, pace: Pace) -> Result<Copied, BoxError> {
    let provider = job.current().map(|attempt| attempt.provider).ok_or("it has no attempt")?;
    let opened = app.providers.download(&app.downloads, provider, url, app.clock.now());
    let file = match pace.begin(opened).await {
        Err(Stopped::Failed(error @ DownloadError::Gone(_))) => {
            tracing::warn!(job = %job.id(), error = chain(&error), "media.missing");
            return Ok(Copied::Missing);
        }
        Err(Stopped::Failed(error @ (DownloadError::Forbidden(_) | DownloadError::NotTheFile))) => {
            return Ok(wrong(job, &error));
        }
        Err(Stopped::Failed(error @ DownloadError::Busy(wait))) => {
            later(job, &error);
            return Ok(Copied::Later(allowed(app, job, wait)));
        }
        opened => opened?,
    };
    match app.media.copy(&media_key(job, kind), kind, file.length, pace.apply(file.body)).await {
        Err(error @ CopyError::NotMedia(_)) => Ok(wrong(job, &error)),
        copied => Ok(Copied::Stored(copied?)),
    }
}

/// The source's back-off, as far as it leaves time for copies before the provider may delete the file.
fn allowed(app: &App, job: &Job, wait: Duration) -> Duration {
    let expiry = job.current().and_then(|attempt| attempt.file_expires_at(&app.catalog));
    let left = expiry.map_or(DELAY_MAX, |at| at.minus(LAST_COPIES).since(app.clock.now()));
    wait.min(DELAY_MAX).min(left).max(Duration::from_secs(1))
}

fn wrong(job: &Job, error: &(dyn std::error::Error + 'static)) -> Copied {
    let provider = job.provider_of(job.current_number());
    tracing::warn!(job = %job.id(), provider, error = chain(error), "media.wrong");
    Copied::Wrong
}

/// Warns about a video that is clearly shorter than requested. It is delivered all the same.
fn warn_if_short(job: &Job, request: &JobRequest, media: &Media) {
    let ordered_s = request.duration_s.unwrap_or(0);
    if media.details.is_short(ordered_s) {
        let (provider, made_ms) = (job.provider_of(job.current_number()), media.details.duration_ms);
        tracing::warn!(job = %job.id(), provider, ordered_s, made_ms, "media.short");
    }
}

fn later(job: &Job, error: &(dyn std::error::Error + 'static)) -> Copied {
    tracing::warn!(job = %job.id(), error = chain(error), "media.not_copied");
    Copied::Later(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_the_requested_kind_is_tried_first() {
        let urls = "https://a.example/cover.jpg https://a.example/file https://a.example/Film.MP4?x=.png";
        let named = |kind| by_likeness(urls, kind).into_iter().map(|url| &url[18..22]).collect::<Vec<_>>();
        assert_eq!(named(Kind::Video), ["Film", "file", "cove"]);
        assert_eq!(named(Kind::Image), ["cove", "file", "Film"]);
    }
}
