//! `dispatch`: claim an attempt on the best route, call the provider, record the outcome, fail over.

mod admission;
mod callbacks;
mod outcome;
mod persist;
mod stages;

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::catalog::Catalog;
use domain::decide::Event;
use domain::job::{Job, State, UnclearCreate};
use domain::public_url::{PublicUrl, Reach};
use domain::request::JobRequest;
use domain::upload::Upload;
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config};
use shared::edge::batch::{self, Deadline, Unfinished};
use shared::edge::note_attempt;
use shared::provider::ProviderClient;
use shared::provider::fetch::Downloader;
use shared::store::admission::AdmissionStore;
use shared::store::jobs::JobStore;
use shared::store::media::MediaStore;
use shared::store::outbox::Outbox;
use shared::store::queue::{Message, Queue};
use shared::store::uploads::Uploads;

pub use admission::AdmissionControl;
use admission::{Decision, PlannedAttempt};
pub use callbacks::Callbacks;
use outcome::recover;
use stages::Claimed;

/// Time that a claim requires: the longest create call, and the record of its outcome. A function
/// that is stopped in between leaves a create with an unknown outcome.
pub const CREATE_WITHIN: Duration = Duration::from_secs(52);

/// Validity of a link to an upload: some providers fetch an image only when they begin with it.
const UPLOAD_LINK_VALID_FOR: Duration = Duration::from_secs(2 * 3_600);
/// The longest such link: a role's token is much of it.
const UPLOAD_LINK_BYTES_MAX: usize = 8_192;

/// Everything `dispatch` may touch.
#[derive(Debug)]
pub struct App {
    pub jobs: JobStore,
    /// Admission control of the providers.
    pub admission: AdmissionControl,
    /// For media in the create answer.
    pub media: MediaStore,
    pub providers: ProviderClient,
    /// Images that came with requests.
    pub uploads: Uploads,
    /// For images that a provider needs as bytes.
    pub downloads: Downloader,
    /// Allowed hosts of links to uploads.
    pub reach: Reach,
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
        let bucket = read.required("MEDIA_BUCKET");
        let app = Self {
            jobs: config::jobs(process, &mut read, &table),
            admission: AdmissionControl::new(
                AdmissionStore::new(table),
                config::limits(&mut read),
                sold.clone(),
                callbacks.simulated.clone(),
                process.random.clone(),
            ),
            media: MediaStore::new(process.s3(), bucket.clone()),
            uploads: Uploads::new(process.s3(), bucket),
            downloads: Downloader::new(reach).map_err(StartError::Http)?,
            reach,
            outbox: config::outbox(process, &mut read),
            settle: config::queue(process, &mut read, "SETTLE_QUEUE_URL"),
            unclear_create: read.optional("UNCLEAR_CREATE", "wait or failover").unwrap_or_default(),
            catalog: config::catalog(&mut read).only(&sold),
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
    match job.state() {
        State::Queued => {}
        State::Dispatching => return recover(app, job).await,
        State::Running
        | State::Settling
        | State::Succeeded
        | State::Failed
        | State::Canceled
        | State::Other(_) => return Ok(()), // a repeat, or a state of a newer release
    }
    // Before the claim, which allows one call and no more.
    let request = with_links(app, request).await?;
    let claim = app.random.u64();
    let planned = PlannedAttempt { job: &job, request: &request, claim };
    let route = match app.admission.admit(&planned, &app.catalog, app.clock.now()).await? {
        Decision::Admitted(route) => route,
        Decision::Wait(span) => {
            wait(app, &job, span, once).await;
            return Ok(());
        }
        Decision::NoRoute(class) => {
            let ended = app.jobs.advance_from(job, &Event::NoRoute { class }, app.clock.now()).await?;
            app.outbox.send_all(ended.job()).await;
            return Ok(());
        }
    };
    let Some(claimed) = Claimed::new(app, job, &request, route, claim, deadline).await? else {
        return Ok(());
    };
    let called = claimed.call(app, deadline).await?;
    called.record(app, deadline).await?.follow_up(app).await;
    Ok(())
}

/// The request with links to its uploads, as the provider gets it.
async fn with_links(app: &App, mut request: JobRequest) -> Result<JobRequest, Unfinished> {
    for url in [&mut request.image_url, &mut request.last_frame_url].into_iter().flatten() {
        if let Some(upload) = Upload::named(url) {
            let link = app.uploads.link(&upload, app.clock.now(), UPLOAD_LINK_VALID_FOR).await?;
            let link = PublicUrl::of_length(&link, UPLOAD_LINK_BYTES_MAX, app.reach);
            *url = link.map_err(|why| Unfinished::park(format!("a link to an upload is unusable: {why}")))?;
        }
    }
    Ok(request)
}

/// Delays a job that no provider admits now. It stays queued and uses no attempt. A message with
/// `once` is not sent again.
async fn wait(app: &App, job: &Job, span: Duration, once: bool) {
    let pause = admission::pause(span, job, app.random.u32(), app.clock.now());
    tracing::info!(job = %job.id(), pause_ms = pause.as_millis(), once, "job.held_back");
    if !once {
        app.outbox.send_all_after(job, pause).await;
    }
}
