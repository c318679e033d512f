//! Tickets: a browser cannot send a key with a WebSocket, so that it connects with a ticket.

use domain::endpoint::Kind;
use domain::id::{AccountId, EndpointId, base32};
use domain::socket::{Subscriber, TICKET_FOR};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde_json::json;
use shared::channel::SocketGateway;
use shared::edge::http::{Problem, json as answer};
use shared::operate::endpoints;

use super::App;

/// `POST /v1/endpoints/{id}/tickets`: the URL of one connection. It is good for one connection within
/// [`TICKET_FOR`], and needs no key.
pub(crate) async fn create(
    app: &App,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    let endpoint = endpoints::enabled(&app.endpoints, account, id).await?;
    if endpoint.kind != Kind::Websocket {
        let detail = format!(
            "Only an endpoint of the kind `websocket` has tickets; this is a `{}`.",
            endpoint.kind.name()
        );
        return Err(Problem::new(StatusCode::CONFLICT, "not_a_websocket", detail));
    }
    let ticket = base32(&app.random.bytes::<32>());
    let until = app.clock.now() + TICKET_FOR;
    let subscriber = Subscriber { account: account.clone(), endpoint: id.clone() };
    app.sockets.put_ticket(&ticket, &subscriber, until).await?;
    let url = SocketGateway::url(&app.socket_url, &ticket);
    Ok(answer(StatusCode::CREATED, &json!({"url": url, "expires_at": until.to_string()})))
}
