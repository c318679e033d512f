//! `notify`: one event becomes one delivery for each endpoint that wants it. What inbound sources report
//! becomes an event first.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::delivery::{Delivery, Status};
use domain::endpoint::{self, Endpoint};
use domain::event::{Event, body as event_body};
use domain::id::{EndpointId, EventId};
use domain::inbound::Inbound;
use domain::job::Job;
use domain::request::JobRequest;
use domain::time::Timestamp;
use futures_util::future::try_join_all;
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, StartError, config};
use shared::edge::batch::{self, Unfinished};
use shared::edge::dialect::native::JobView;
use shared::edge::http::chain;
use shared::edge::{note_account, note_job};
use shared::operate::read::{self, Link};
use shared::store::endpoints::EndpointStore;
use shared::store::events::EventStore;
use shared::store::jobs::JobStore;
use shared::store::media::MediaStore;
use shared::store::queue::{Message, Queue};

/// Validity of the media link in an event. AWS ends it earlier if the function's own credentials end.
const LINK_VALID_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Maximum length of a body, in bytes; a longer one is sent without the request.
const BODY_MAX: usize = 18_000;

/// Everything `notify` may touch.
#[derive(Debug)]
pub struct App {
    pub events: EventStore,
    pub endpoints: EndpointStore,
    pub jobs: JobStore,
    pub media: MediaStore,
    pub deliver: Queue,
    pub dead_letters: Queue,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let app = Self {
            events: EventStore::new(table.clone()),
            endpoints: EndpointStore::new(table.clone()),
            jobs: JobStore::new(table),
            media: MediaStore::new(process.s3(), read.required("MEDIA_BUCKET")),
            deliver: config::queue(process, &mut read, "DELIVER_QUEUE_URL"),
            dead_letters: config::dead_letters(process, &mut read),
            clock: process.clock.clone(),
        };
        Ok(read.finish(app)?)
    }
}

pub async fn handle(app: &App, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    Ok(batch::each(event, app.clock.now(), &app.dead_letters, |message, _| notify(app, message)).await)
}

async fn notify(app: &App, message: Message) -> Result<(), Unfinished> {
    let id = match message {
        Message::Notify { event } => event,
        Message::Inbound(inbound) => match record(app, *inbound).await? {
            Some(event) => event,
            None => return Ok(()),
        },
        _ => return Err(Unfinished::of_another_queue()),
    };
    // An event that has expired, or has its deliveries already.
    let Some((event, false)) = app.events.get(&id).await? else { return Ok(()) };
    note_account(&event.account);
    if let Some(job) = &event.job {
        note_job(job);
    }
    let now = app.clock.now();
    let job = match &event.job {
        Some(job) => Some(
            app.jobs
                .get_with_request(job)
                .await?
                .ok_or_else(|| Unfinished::park(format!("event {id} is about a job that does not exist")))?,
        ),
        None => None,
    };
    let body = match (&event.body, &job) {
        (Some(body), _) => body.clone(),
        (None, Some((job, request))) => body(app, &event, job, request, now).await?,
        (None, None) => return Err(Unfinished::park(format!("event {id} has neither a body nor a job"))),
    };
    let endpoints = app.endpoints.list(&event.account).await?;
    let deliveries = deliveries(&event, &endpoints, job.as_ref().map(|(_, request)| request), now);
    try_join_all(deliveries.iter().map(|delivery| app.events.put_delivery(delivery))).await?;
    app.events.fanned_out(&event, &body).await?;
    tracing::info!(kind = event.kind.as_str(), deliveries = deliveries.len(), "event.fanned_out");
    let pending = deliveries.iter().filter(|delivery| delivery.status == Status::Pending);
    let messages: Vec<_> = pending
        .map(|delivery| {
            let (event, endpoint) = (delivery.event.clone(), delivery.endpoint.clone());
            (Message::Deliver { event, endpoint }, delivery.group().to_owned())
        })
        .collect();
    for lost in app.deliver.send_all(&messages).await.into_iter().filter_map(Result::err) {
        // The deliveries are in the due index: `reconcile` sends them.
        tracing::warn!(error = chain(&lost), "message.not_queued");
    }
    Ok(())
}

/// Writes the event of an inbound source, if an endpoint wants it, and sends on what it says of something that
/// we sent. A repeat of it changes nothing.
async fn record(app: &App, mut inbound: Inbound) -> Result<Option<EventId>, Unfinished> {
    note_account(&inbound.account);
    if let Some(reported) = inbound.delivery.take() {
        let group = reported.endpoint.clone();
        app.deliver.send(&Message::Receipt(reported), Some(group.as_str()), Duration::ZERO).await?;
    }
    let endpoints = app.endpoints.list(&inbound.account).await?;
    if !endpoints.iter().any(|endpoint| endpoint.wants(inbound.kind.as_str())) {
        return Ok(None);
    }
    let event = inbound.event();
    app.events.put(&event).await?;
    Ok(Some(event.id))
}

/// The deliveries of an event. Endpoints that are paused or disabled have theirs recorded, too.
fn deliveries(
    event: &Event,
    endpoints: &[Endpoint],
    request: Option<&JobRequest>,
    now: Timestamp,
) -> Vec<Delivery> {
    let new = |endpoint, status, url| Delivery::new(event, endpoint, url, status, now);
    let own = endpoints.iter().filter(|endpoint| event.is_for(endpoint)).map(|endpoint| {
        let is_on = endpoint.status == endpoint::Status::Enabled;
        new(endpoint.id.clone(), if is_on { Status::Pending } else { Status::Skipped }, None)
    });
    let url = request.and_then(|request| request.callback_url.clone()).filter(|_| event.is_end());
    let callback = url.map(|url| new(EndpointId::callback(), Status::Pending, Some(url.into_string())));
    own.chain(callback).collect()
}

/// The body of all deliveries: the job as `GET /v1/jobs/{id}` shows it.
async fn body(
    app: &App,
    event: &Event,
    job: &Job,
    request: &JobRequest,
    now: Timestamp,
) -> Result<String, Unfinished> {
    let link = match read::file(job) {
        Some(media) => {
            let url = app.media.link(media, now, LINK_VALID_FOR).await?;
            Some(Link { url, expires_at: now + LINK_VALID_FOR, variants: BTreeMap::new() })
        }
        None => None,
    };
    let render = |request| {
        event_body(event.kind.as_str(), event.created_at, &JobView::new(job, request, link.clone()))
    };
    let whole = render(Some(request));
    Ok(if whole.len() <= BODY_MAX { whole } else { render(None) })
}
