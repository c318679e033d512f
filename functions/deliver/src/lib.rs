//! `deliver`: one try of one delivery. It calls what customers name, and holds no key of a provider.

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::delivery::{Claim, Delivery, Outcome, Status, Try};
use domain::endpoint::{Admission, Endpoint};
use domain::event::Event;
use domain::id::{EndpointId, EventId};
use domain::socket::Connection;
use domain::time::Timestamp;
use lambda_runtime::LambdaEvent;
use shared::boot::{Clock, Process, Random, StartError, config, senders};
use shared::channel::{Channels, Envelope, Sent, SocketGateway};
use shared::edge::batch::{self, Unfinished};
use shared::edge::{note_account, note_job};
use shared::store::endpoints::EndpointStore;
use shared::store::events::EventStore;
use shared::store::queue::{DELAY_MAX, Message, Queue};
use shared::store::sockets::Sockets;
use shared::trace;

mod health;
mod receipt;
mod recover;
mod socket;

/// Races with other writes of the same item.
const RACES_MAX: usize = 5;
/// A message may be this early: clocks differ.
const EARLY_MAX: Duration = Duration::from_secs(5);

/// Everything `deliver` may touch.
#[derive(Debug)]
pub struct App {
    pub events: EventStore,
    pub endpoints: EndpointStore,
    pub channels: Channels,
    pub sockets: Sockets,
    pub gateway: SocketGateway,
    pub deliver: Queue,
    pub notify: Queue,
    pub dead_letters: Queue,
    pub clock: Clock,
    pub random: Random,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let (reach, master) = (config::reach(&mut read), config::endpoint_master(&mut read));
        let deliver = config::queue(process, &mut read, "DELIVER_QUEUE_URL");
        let notify = config::queue(process, &mut read, "NOTIFY_QUEUE_URL");
        let dead_letters = config::dead_letters(process, &mut read);
        let senders = senders::credentials(process, &mut read);
        let socket_url = config::socket_url(&mut read);
        let Some((master, socket_url)) = read.finish(master.zip(socket_url))? else {
            unreachable!("a missing secret or URL is a problem")
        };
        Ok(Self {
            events: EventStore::new(table.clone()),
            endpoints: EndpointStore::new(table.clone()),
            sockets: Sockets::new(table),
            gateway: SocketGateway::new(&process.aws, socket_url).map_err(StartError::Http)?,
            channels: Channels::new(reach, master, senders).map_err(StartError::Http)?,
            deliver,
            notify,
            dead_letters,
            clock: process.clock.clone(),
            random: process.random.clone(),
        })
    }
}

pub async fn handle(app: &App, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    Ok(batch::each(event, app.clock.now(), &app.dead_letters, |message, _| deliver(app, message)).await)
}

async fn deliver(app: &App, message: Message) -> Result<(), Unfinished> {
    match message {
        Message::Deliver { event, endpoint } => try_once(app, &event, &endpoint).await,
        Message::Receipt(reported) => receipt::receive(app, &reported).await,
        Message::Recover { account, endpoint, since, ended, after } => {
            recover::page(app, &recover::Wanted { account, endpoint, since, ended }, after).await
        }
        _ => Err(Unfinished::of_another_queue()),
    }
}

async fn try_once(app: &App, event: &EventId, endpoint: &EndpointId) -> Result<(), Unfinished> {
    let now = app.clock.now();
    let Some(delivery) = app.events.delivery(event, endpoint).await? else { return Ok(()) };
    note_account(&delivery.account);
    let claimed = match delivery.claim(now) {
        Claim::Ended => return Ok(()),
        // Another try is running, or the due index has it.
        Claim::NotYet(wait) if delivery.claimed || wait > EARLY_MAX => return Ok(()),
        Claim::NotYet(wait) => return queue(app, &delivery, wait + Duration::from_secs(1)).await,
        Claim::Lost => return lost(app, &delivery).await,
        Claim::Try(claimed) => *claimed,
    };
    let Some(endpoint) = health::endpoint_of(app, &delivery).await? else {
        // It was deleted.
        app.events.replace_delivery(&delivery.skipped(now)).await?;
        return Ok(());
    };
    match endpoint.admit(now) {
        Admission::Skip => {
            app.events.replace_delivery(&delivery.skipped(now)).await?;
            return Ok(());
        }
        Admission::Hold if !delivery.is_test() => {
            return unsent(app, &delivery.spent(), Outcome::Held, None).await;
        }
        Admission::Hold | Admission::Send | Admission::Probe(_) => {}
    }
    let event = match app.events.get(event).await? {
        Some((event, _)) if event.body.is_some() => event,
        // `notify` has not finished: the due index has it.
        Some(_) => return Ok(()),
        // It was kept for 30 days.
        None => return unsent(app, &delivery, Outcome::Never, Some("event_expired")).await,
    };
    if let Some(job) = &event.job {
        note_job(job);
    }
    let connections = socket::connections(app, &endpoint, &event, now).await?;
    if connections.as_ref().is_some_and(Vec::is_empty) {
        app.events.replace_delivery(&delivery.skipped(now)).await?;
        return Ok(());
    }
    if !app.events.replace_delivery(&claimed).await? {
        return Ok(());
    }
    match health::admitted(app, &claimed, endpoint).await? {
        Some(endpoint) => send(app, claimed, endpoint, &event, connections).await,
        None => unsent(app, &claimed, Outcome::Held, None).await,
    }
}

/// Records a try without a connection of ours, and queues the next.
async fn unsent(
    app: &App,
    delivery: &Delivery,
    outcome: Outcome,
    error: Option<&str>,
) -> Result<(), Unfinished> {
    let now = app.clock.now();
    match finish(app, delivery, outcome, Try::unsent(outcome, error, now), now).await? {
        Some(next) => go_on(app, &next, now).await,
        None => Ok(()),
    }
}

/// Records a try. A receipt that came meanwhile stays; `None` if any other write was faster.
async fn finish(
    app: &App,
    delivery: &Delivery,
    outcome: Outcome,
    made: Try,
    now: Timestamp,
) -> Result<Option<Delivery>, Unfinished> {
    let mut delivery = delivery.clone();
    for _ in 0..RACES_MAX {
        let next = delivery.finish(outcome, made.clone(), app.random.u32(), now);
        if app.events.replace_delivery(&next).await? {
            return Ok(Some(next));
        }
        match app.events.delivery(&delivery.event, &delivery.endpoint).await? {
            Some(found) if found.is_claim_of(&delivery) => delivery = found,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Records a try whose record was lost. It may have arrived: it counts as sent where it is not made again.
async fn lost(app: &App, delivery: &Delivery) -> Result<(), Unfinished> {
    let endpoint = health::endpoint_of(app, delivery).await?;
    match endpoint.is_none_or(|endpoint| endpoint.kind.repeats()) {
        true => unsent(app, delivery, Outcome::Lost, None).await,
        false => unsent(app, delivery, Outcome::Delivered, Some("not_recorded")).await,
    }
}

/// Makes the claimed try, records it, and queues the next.
async fn send(
    app: &App,
    claimed: Delivery,
    endpoint: Endpoint,
    event: &Event,
    connections: Option<Vec<Connection>>,
) -> Result<(), Unfinished> {
    let at = app.clock.now();
    let envelope = Envelope { id: event.id.as_str(), body: event.body.as_deref().unwrap_or_default() };
    let is_socket = connections.is_some();
    let sent = match connections {
        Some(connections) => match socket::send(app, &connections, envelope, at).await {
            Some(sent) => sent,
            None => {
                app.events.replace_delivery(&claimed.skipped(app.clock.now())).await?;
                return Ok(());
            }
        },
        None => app.channels.send(&endpoint, envelope, at).await,
    };
    let now = app.clock.now();
    log(&claimed, &sent, now.since(at), now);
    let outcome = sent.outcome;
    // What keeps our own gateway from a connection says nothing of the endpoint. A success does.
    let is_by_gateway = is_socket && outcome != Outcome::Delivered;
    let says_nothing = sent.is_by_sender() || is_by_gateway;
    let ms = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
    let Sent { status, error, answer, .. } = sent;
    let error = error.map(str::to_owned);
    let made = Try { at, ms, outcome: outcome.name().to_owned(), status, error, answer };
    let recorded = finish(app, &claimed, outcome, made, now).await?;
    if !says_nothing {
        health::record(app, endpoint, outcome, at).await?;
    }
    match recorded {
        Some(next) => go_on(app, &next, now).await,
        None => Ok(()),
    }
}

/// Queues the next try. A later one than a queue can delay is left to the due index.
async fn go_on(app: &App, delivery: &Delivery, now: Timestamp) -> Result<(), Unfinished> {
    let wait = delivery.next_at.since(now);
    if delivery.status != Status::Pending || wait > DELAY_MAX {
        return Ok(());
    }
    // A queue counts whole seconds: an early message would find the wait not over.
    queue(app, delivery, wait + Duration::from_millis(999)).await
}

async fn queue(app: &App, delivery: &Delivery, wait: Duration) -> Result<(), Unfinished> {
    let (event, endpoint) = (delivery.event.clone(), delivery.endpoint.clone());
    Ok(app.deliver.send(&Message::Deliver { event, endpoint }, Some(delivery.group()), wait).await?)
}

fn log(delivery: &Delivery, sent: &Sent, took: Duration, now: Timestamp) {
    let outcome = sent.outcome.name();
    let (status, error) = (sent.status, sent.error);
    let (endpoint, number) = (delivery.endpoint.as_str(), delivery.number);
    let attributes = vec![("genmux.endpoint", endpoint.to_owned()), ("genmux.outcome", outcome.to_owned())];
    trace::called("deliver", took, sent.outcome != Outcome::Delivered, attributes);
    if sent.outcome == Outcome::Delivered {
        // What arrived before and is sent again on request is not late.
        let lag = delivery.arrived_at().is_none().then(|| now.since(delivery.created_at).as_millis());
        let lag_ms = lag.map(|lag| u64::try_from(lag).unwrap_or(u64::MAX));
        tracing::info!(endpoint, number, outcome, status, lag_ms, "delivery.tried");
    } else {
        tracing::warn!(endpoint, number, outcome, status, error, "delivery.tried");
    }
}
