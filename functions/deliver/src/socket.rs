//! Deliveries to the open connections of an endpoint.

use domain::delivery::Outcome;
use domain::endpoint::{Endpoint, Kind};
use domain::event::Event;
use domain::socket::Connection;
use domain::time::Timestamp;
use futures_util::future::join_all;
use shared::channel::{Envelope, Posted, Sent, SocketGateway};
use shared::edge::batch::Unfinished;
use shared::edge::http::chain;

use super::App;

/// The connections that want an event; `None` for an endpoint of another kind.
///
/// Without one, the delivery is skipped: a client asks for what it missed when it connects again.
pub(crate) async fn connections(
    app: &App,
    endpoint: &Endpoint,
    event: &Event,
    now: Timestamp,
) -> Result<Option<Vec<Connection>>, Unfinished> {
    if endpoint.kind != Kind::Websocket {
        return Ok(None);
    }
    let mut found = app.sockets.of_endpoint(&endpoint.id, now).await?;
    found.retain(|connection| connection.wants(event));
    Ok(Some(found))
}

/// Sends an event to each connection; `None` if none of them is open any more.
pub(crate) async fn send(
    app: &App,
    connections: &[Connection],
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Option<Sent> {
    let message = SocketGateway::message(envelope);
    let posts = connections.iter().map(async |connection| {
        let posted = app.gateway.post(&connection.id, message.clone(), now).await;
        if posted == Posted::Closed {
            // Left behind, it expires: that holds up no event.
            if let Err(error) = app.sockets.disconnect(&connection.subscriber.endpoint, &connection.id).await
            {
                tracing::warn!(error = chain(&error), "socket.not_removed");
            }
        }
        posted
    });
    let posted: Vec<Posted> = join_all(posts).await;
    let failed = posted.iter().find_map(|posted| match posted {
        Posted::Failed(cause) => Some(*cause),
        Posted::Sent | Posted::Closed => None,
    });
    let outcome = match failed {
        // Those that took it see by its id that it comes again.
        Some(_) => Outcome::Later { wait: None },
        None if posted.contains(&Posted::Sent) => Outcome::Delivered,
        None => return None,
    };
    Some(Sent { outcome, status: None, error: failed, answer: None })
}
