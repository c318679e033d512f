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

/// Pages of events that are read for one request.
const PAGES_MAX: usize = 10;
const PAGE: i32 = 100;
/// What is left to answer in, beside one call.
const SPARE: Duration = Duration::from_secs(8);

/// What became of a request.
pub(crate) enum Replay {
    /// `more`: ask again, since `last`, which is the last one of these.
    Sent { events: usize, last: EventId, more: bool },
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
    // One without a body comes when that is rendered.
    let is_whole = |event: &Event| event.body.is_some() && event.id != seen.id;
    events.retain(|event| is_whole(event) && event.is_for(endpoint) && connection.wants(event));
    let overlap = events.iter().filter(|event| event.created_at <= seen.created_at).count();
    let more = events.len() > overlap + REPLAYED_MAX;
    events.truncate(overlap + REPLAYED_MAX);
    let mut last = seen.id;
    for (sent, event) in events.iter().enumerate() {
        if deadline.left(app.clock.now()) < SPARE {
            return Ok(Replay::Sent { events: sent, last, more: true });
        }
        let envelope = Envelope { id: event.id.as_str(), body: event.body.as_deref().unwrap_or_default() };
        let message = SocketGateway::message(envelope);
        if app.gateway.post(&connection.id, message, app.clock.now()).await != Posted::Sent {
            return Ok(Replay::Sent { events: sent, last, more: true });
        }
        if event.created_at > seen.created_at {
            last = event.id.clone();
        }
    }
    Ok(Replay::Sent { events: events.len(), last, more })
}

/// The account's events from a time on, newest first. `None` if there are more than [`PAGES_MAX`] pages, or more
/// than can be read in time.
async fn newest(
    app: &App,
    endpoint: &Endpoint,
    from: Timestamp,
    deadline: Deadline,
) -> Result<Option<Vec<Event>>, Error> {
    let (mut events, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = app.events.list(&endpoint.account, PAGE, cursor).await?;
        events.extend(page.items.into_iter().filter(|event| event.created_at >= from));
        cursor = page.next.filter(|(at, _)| *at >= from);
        if cursor.is_none() {
            return Ok(Some(events));
        }
        pages += 1;
        if pages == PAGES_MAX || deadline.left(app.clock.now()) < SPARE {
            return Ok(None);
        }
    }
}
