//! Deliveries to the open connections of an endpoint.

use domain::delivery::Outcome;
use domain::endpoint::{Endpoint, Kind};
use domain::event::Event;
use domain::socket::Connection;
use domain::time::Timestamp;
use futures_util::future::join_all;
use shared::channel::{Envelope, Posted, Sent, SocketGateway};
use shared::edge::batch::Unfinished;

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

/// Sends an event to each connection. It is delivered if one of them takes it.
pub(crate) async fn send(
    app: &App,
    connections: &[Connection],
    envelope: Envelope<'_>,
    now: Timestamp,
) -> Result<Sent, Unfinished> {
    let message = SocketGateway::message(envelope);
    let posts = connections.iter().map(async |connection| {
        let posted = app.gateway.post(&connection.id, message.clone(), now).await;
        if posted == Posted::Closed {
            app.sockets.disconnect(&connection.subscriber.endpoint, &connection.id).await?;
        }
        Ok::<_, Unfinished>(posted)
    });
    let posted: Vec<Posted> = join_all(posts).await.into_iter().collect::<Result<_, _>>()?;
    let failed = posted.iter().find_map(|posted| match posted {
        Posted::Failed(cause) => Some(*cause),
        Posted::Sent | Posted::Closed => None,
    });
    let (outcome, error) = match failed {
        _ if posted.contains(&Posted::Sent) => (Outcome::Delivered, failed),
        Some(cause) => (Outcome::Later { wait: None }, Some(cause)),
        None => (Outcome::Never, Some("no_connection")),
    };
    Ok(Sent { outcome, status: None, error, answer: None })
}
