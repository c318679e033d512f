//! `socket`: WebSocket clients connect with a ticket, choose jobs to watch, and ask for the events that they missed.
//! `deliver` sends them new events.

use std::convert::Infallible;

use domain::endpoint::{Endpoint, Status};
use domain::socket::{CONNECTIONS_MAX, Command, Connection, Subscriber};
use lambda_runtime::LambdaEvent;
use serde_json::{Map, Value, json};
use shared::boot::{Clock, Process, StartError, config};
use shared::channel::SocketGateway;
use shared::edge::batch::Deadline;
use shared::edge::http::chain;
use shared::edge::{invocation, note_account};
use shared::store::Error;
use shared::store::endpoints::EndpointStore;
use shared::store::events::EventStore;
use shared::store::sockets::Sockets;
use tracing::Instrument;

mod event;
mod replay;

pub use event::{Answer, Context, Event};
use replay::Replay;

/// Everything `socket` may touch.
#[derive(Debug)]
pub struct App {
    pub endpoints: EndpointStore,
    pub events: EventStore,
    pub sockets: Sockets,
    pub gateway: SocketGateway,
    pub clock: Clock,
}

impl App {
    pub fn new(process: &Process) -> Result<Self, StartError> {
        let mut read = process.env.reader();
        let table = config::table(process, &mut read);
        let socket_url = config::socket_url(&mut read);
        let Some(socket_url) = read.finish(socket_url)? else { unreachable!("a missing URL is a problem") };
        Ok(Self {
            endpoints: EndpointStore::new(table.clone()),
            events: EventStore::new(table.clone()),
            sockets: Sockets::new(table),
            gateway: SocketGateway::new(&process.aws, socket_url).map_err(StartError::Http)?,
            clock: process.clock.clone(),
        })
    }
}

pub async fn handle(app: &App, event: LambdaEvent<Event>) -> Result<Answer, Infallible> {
    let LambdaEvent { payload: event, context } = event;
    let deadline = Deadline::of(&context);
    let span = invocation(&event.request_context.request_id, &context.env_config.function_name);
    let answer = async {
        let found = match event.request_context.route_key.as_str() {
            "$connect" => connect(app, &event).await,
            "$disconnect" => disconnect(app, &event.request_context.connection_id).await,
            _ => message(app, &event, deadline).await,
        };
        found.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "socket.failed");
            failed(&event)
        })
    };
    Ok(answer.instrument(span).await)
}

/// A store that does not answer: the client may try again.
fn failed(event: &Event) -> Answer {
    match event.request_context.route_key.as_str() {
        "$connect" | "$disconnect" => Answer::status(503),
        _ => Answer::refusal("unavailable", "Genmux cannot answer now. It is safe to retry."),
    }
}

/// Opens a connection for a ticket that was not used before.
async fn connect(app: &App, event: &Event) -> Result<Answer, Error> {
    let now = app.clock.now();
    let ticket = event.query_string_parameters.as_ref().and_then(|query| query.get("ticket"));
    let subscriber = match ticket {
        Some(ticket) => app.sockets.take_ticket(ticket, now).await?,
        None => None,
    };
    let Some(subscriber) = subscriber else { return Ok(Answer::status(401)) };
    note_account(&subscriber.account);
    let id = event.request_context.connection_id.clone();
    let connection = Connection { id, subscriber, watched: None };
    let endpoint = &connection.subscriber.endpoint;
    // Counted after it is added: of those that connect at once, none is beyond the limit.
    let counted = async {
        app.sockets.connect(&connection, now).await?;
        app.sockets.of_endpoint(endpoint, now).await
    };
    let counted = counted.await;
    if counted.as_ref().is_ok_and(|open| open.len() <= CONNECTIONS_MAX) {
        tracing::info!(endpoint = endpoint.as_str(), "socket.connected");
        return Ok(Answer::status(200));
    }
    // A client that is refused, for whatever reason, must not count among those that are connected.
    let removed = app.sockets.disconnect(endpoint, &connection.id).await;
    counted?;
    removed?;
    Ok(Answer::status(429))
}

/// API Gateway reports most ends of connections, and not every one.
async fn disconnect(app: &App, connection: &str) -> Result<Answer, Error> {
    if let Some(subscriber) = app.sockets.subscriber(connection).await? {
        app.sockets.disconnect(&subscriber.endpoint, connection).await?;
    }
    Ok(Answer::status(200))
}

async fn message(app: &App, event: &Event, deadline: Deadline) -> Result<Answer, Error> {
    let text = event.body.as_deref().filter(|_| !event.is_base64_encoded).unwrap_or_default();
    let command = match Command::parse(text) {
        Ok(command) => command,
        Err(why) => return Ok(Answer::refusal("invalid_message", &why)),
    };
    let id = &event.request_context.connection_id;
    let mut answer = Map::new();
    if command.watch.is_some() || command.since.is_some() {
        let Some((mut connection, endpoint)) = of_client(app, id).await? else {
            return Ok(not_connected());
        };
        if let Some(watched) = command.watch {
            answer.insert("watching".to_owned(), json!(watched));
            connection.watched = watched;
            if !app.sockets.watch(&connection).await? {
                return Ok(not_connected());
            }
        }
        if let Some(since) = command.since {
            match replay::since(app, (&connection, &endpoint), &since, deadline).await? {
                Replay::Sent { events, last, more } => {
                    answer.insert("replayed".to_owned(), json!(events));
                    answer.insert("last".to_owned(), json!(last));
                    answer.insert("more".to_owned(), json!(more));
                }
                Replay::Refused(code, why) => return Ok(Answer::refusal(code, why)),
            }
        }
    }
    if let Some(ping) = command.ping {
        answer.insert("pong".to_owned(), ping);
    }
    Ok(Answer::message(&Value::Object(answer)))
}

fn not_connected() -> Answer {
    Answer::refusal("not_connected", "Connect again, with a new ticket.")
}

/// A known connection and its endpoint, if events are still sent there.
async fn of_client(app: &App, id: &str) -> Result<Option<(Connection, Endpoint)>, Error> {
    let Some(subscriber) = app.sockets.subscriber(id).await? else { return Ok(None) };
    let Subscriber { account, endpoint } = &subscriber;
    note_account(account);
    let found = app.sockets.of_endpoint(endpoint, app.clock.now()).await?;
    let connection = found.into_iter().find(|connection| connection.id == id);
    let endpoint = app.endpoints.get(account, endpoint).await?;
    Ok(connection.zip(endpoint.filter(|endpoint| endpoint.status == Status::Enabled)))
}
