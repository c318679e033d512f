//! Events that a client missed.

use std::time::Duration;

use domain::endpoint::Endpoint;
use domain::event::Event;
use domain::id::EventId;
use domain::socket::{Connection, REPLAYED_MAX, replayed_from};
use domain::time::Timestamp;
use shared::channel::{Envelope, Posted, SocketGateway};
use shared::edge::batch::Deadline;
use shared::store::Error;

use super::App;

/// Events that are read for one request.
const READ_MAX: usize = 1_000;
const PAGE: i32 = 100;
/// What is left to answer in, beside one call.
const SPARE: Duration = Duration::from_secs(8);

/// What became of a request.
pub(crate) enum Replay {
    /// `more`: ask again, since the last one of these.
    Sent { events: usize, more: bool },
    /// A code, and a sentence for the client.
    Refused(&'static str, &'static str),
}

/// Sends the events since one that the client has seen, oldest first. Those of the minute before it come once
/// more: an event may have been recorded late.
pub(crate) async fn since(
    app: &App,
    (connection, endpoint): (&Connection, &Endpoint),
    seen: &EventId,
    deadline: Deadline,
) -> Result<Replay, Error> {
    let found = app.events.get(seen).await?.map(|(event, _)| event);
    let Some(seen) = found.filter(|event| event.account == endpoint.account) else {
        return Ok(Replay::Refused("not_found", "There is no such event, or it is older than 30 days."));
    };
    let Some(mut events) = newest(app, endpoint, replayed_from(&seen), deadline).await? else {
        let why = "More events happened since than are replayed: read `GET /v1/events`.";
        return Ok(Replay::Refused("too_many_events", why));
    };
    events.reverse();
    events.retain(|event| event.id != seen.id && event.is_for(endpoint) && connection.wants(event));
    let overlap = events.iter().filter(|event| event.created_at <= seen.created_at).count();
    let more = events.len() > overlap + REPLAYED_MAX;
    events.truncate(overlap + REPLAYED_MAX);
    for (sent, event) in events.iter().enumerate() {
        if deadline.left(app.clock.now()) < SPARE {
            return Ok(Replay::Sent { events: sent, more: true });
        }
        let envelope = Envelope { id: event.id.as_str(), body: event.body.as_deref().unwrap_or_default() };
        let message = SocketGateway::message(envelope);
        if app.gateway.post(&connection.id, message, app.clock.now()).await != Posted::Sent {
            return Ok(Replay::Sent { events: sent, more: true });
        }
    }
    Ok(Replay::Sent { events: events.len(), more })
}

/// The account's events from a time on, newest first. `None` if there are more than [`READ_MAX`], or more than can
/// be read in time.
async fn newest(
    app: &App,
    endpoint: &Endpoint,
    from: Timestamp,
    deadline: Deadline,
) -> Result<Option<Vec<Event>>, Error> {
    let mut events = Vec::new();
    let mut cursor = None;
    loop {
        let page = app.events.list(&endpoint.account, PAGE, cursor).await?;
        let read = page.items.len();
        events.extend(page.items.into_iter().filter(|event| event.created_at >= from));
        cursor = page.next.filter(|(at, _)| *at >= from);
        if cursor.is_none() || read == 0 {
            return Ok(Some(events));
        }
        if events.len() >= READ_MAX || deadline.left(app.clock.now()) < SPARE {
            return Ok(None);
        }
    }
}
