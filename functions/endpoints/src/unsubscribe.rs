//! The unsubscribe link of a mail (RFC 8058). It works without an API key.

use std::time::Duration;

use domain::endpoint::{Endpoint, Kind, Reason};
use domain::id::{AccountId, EndpointId};
use lambda_http::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use lambda_http::{Body, Request, RequestExt, Response};
use shared::channel::{is_unsubscribe_token, named_by};
use shared::edge::http::Problem;
use shared::operate::endpoints::{RACES_MAX, Refusal};
use shared::store::queue::Message;

use super::App;

/// `GET /v1/unsubscribe/{token}`: asks, because some mail programs open every link.
pub(crate) async fn ask(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    named(app, request).await?;
    Ok(page(
        "<p>Do you want no more of these mails?</p><form method=\"post\"><button>Stop them</button></form>",
    ))
}

/// `POST /v1/unsubscribe/{token}`: disables the endpoint. Its account's other endpoints have the event.
pub(crate) async fn unsubscribe(app: &App, request: &Request) -> Result<Response<Body>, Problem> {
    for _ in 0..RACES_MAX {
        let endpoint = named(app, request).await?;
        if endpoint.disabled_reason != Some(Reason::Unsubscribed) {
            let now = app.clock.now();
            let next = endpoint.changed(now, |next| next.disable(Reason::Unsubscribed));
            let event = next.disabled_event();
            if !app.endpoints.replace(&endpoint, &next, Some(&event)).await? {
                continue;
            }
            tracing::warn!(
                endpoint = next.id.as_str(),
                reason = Reason::Unsubscribed.name(),
                "endpoint.disabled"
            );
            let message = Message::Notify { event: event.id };
            app.notify.send(&message, Some(next.account.as_str()), Duration::ZERO).await?;
        }
        return Ok(page("<p>You get no more of these mails.</p>"));
    }
    Err(Refusal::Busy.into())
}

/// The endpoint of a genuine link, with the address that the link was sent to.
async fn named(app: &App, request: &Request) -> Result<Endpoint, Problem> {
    let parameters = request.path_parameters();
    let token = parameters.first("token").unwrap_or_default();
    let (account, id) = named_by(token).ok_or_else(Problem::not_found)?;
    let account: AccountId = account.parse().map_err(|_none| Problem::not_found())?;
    let id: EndpointId = id.parse().map_err(|_none| Problem::not_found())?;
    let found = app.endpoints.get(&account, &id).await?;
    let is_genuine = |endpoint: &Endpoint| {
        endpoint.kind == Kind::Email && is_unsubscribe_token(&app.master, endpoint, token)
    };
    found.filter(is_genuine).ok_or_else(Problem::not_found)
}

fn page(content: &'static str) -> Response<Body> {
    let html = format!("<!doctype html><meta charset=\"utf-8\"><title>Mails</title>{content}");
    let mut response = Response::new(Body::Text(html));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
