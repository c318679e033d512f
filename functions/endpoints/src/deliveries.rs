//! Events and their deliveries: listed, and sent again.

use domain::delivery::{Delivery, Status};
use domain::id::{AccountId, EndpointId, EventId};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::json;
use shared::edge::event_view as view;
use shared::edge::http::{Problem, body_bytes, json as answer, parse};
use shared::edge::page::{bad_parameter, cursor, encode, limit, parameter};
use shared::operate::endpoints::{self, Redelivery};

use super::App;

/// Pages that a filtered list reads before it returns a partial result.
const PAGES_MAX: usize = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct To {
    endpoint: Option<EndpointId>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recovery {
    /// RFC 3339.
    since: String,
}

/// `GET /v1/events?limit=&cursor=`: newest first.
pub(crate) async fn events(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let limit = limit(request)?;
    let cursor = cursor(request, |text| text.parse::<EventId>().ok())?;
    let page = app.events.list(account, limit, cursor).await?;
    let next = page.next.map(|(at, id)| encode(at, id.as_str()));
    let events: Vec<_> = page.items.iter().map(view::event).collect();
    Ok(answer(StatusCode::OK, &json!({"events": events, "next_cursor": next})))
}

pub(crate) async fn event(app: &App, account: &AccountId, id: &EventId) -> Result<Response<Body>, Problem> {
    let found = app.events.get(id).await?.map(|(event, _)| event);
    let event = found.filter(|event| event.account == *account).ok_or_else(Problem::not_found)?;
    Ok(answer(StatusCode::OK, &view::event(&event)))
}

pub(crate) async fn of_event(
    app: &App,
    account: &AccountId,
    id: &EventId,
) -> Result<Response<Body>, Problem> {
    let found = app.events.with_deliveries(id).await?;
    // Events of other accounts are reported as not found.
    let found = found.filter(|(event, _)| event.account == *account);
    let (_, deliveries) = found.ok_or_else(Problem::not_found)?;
    let deliveries: Vec<_> = deliveries.iter().map(view::delivery).collect();
    Ok(answer(StatusCode::OK, &json!({"deliveries": deliveries})))
}

/// `GET /v1/endpoints/{id}/deliveries?status=&limit=&cursor=`: newest first.
pub(crate) async fn of_endpoint(
    app: &App,
    request: &Request,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    endpoints::find(&app.endpoints, account, id).await?;
    let limit = limit(request)?;
    let wanted = usize::try_from(limit).unwrap_or(0);
    let status = status(request)?;
    let mut cursor = cursor(request, |text| text.parse::<EventId>().ok())?;
    let mut found: Vec<Delivery> = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = app.events.deliveries(account, id, limit, cursor).await?;
        cursor = page.next;
        found.extend(page.items.into_iter().filter(|one| status.is_none_or(|status| status == one.status)));
        if found.len() > wanted {
            found.truncate(wanted);
            cursor = found.last().map(|last| (last.created_at, last.event.clone()));
        }
        if cursor.is_none() || found.len() == wanted {
            break;
        }
    }
    let next = cursor.map(|(at, event)| encode(at, event.as_str()));
    let found: Vec<_> = found.iter().map(view::delivery).collect();
    Ok(answer(StatusCode::OK, &json!({"deliveries": found, "next_cursor": next})))
}

fn status(request: &Request) -> Result<Option<Status>, Problem> {
    let Some(text) = parameter(request, "status") else { return Ok(None) };
    let all = [Status::Pending, Status::Delivered, Status::Failed, Status::Skipped];
    let found = all.into_iter().find(|status| status.name() == text);
    let names = || all.map(|status| status.name().to_owned()).into();
    found.map(Some).ok_or_else(|| bad_parameter("status", "is not the status of a delivery", names()))
}

/// `POST /v1/events/{id}/redeliver`: to one endpoint, or to all that had it. The id of the event stays.
pub(crate) async fn redeliver(
    app: &App,
    request: &Request,
    account: &AccountId,
    id: &EventId,
) -> Result<Response<Body>, Problem> {
    let To { endpoint } = if body_bytes(request).is_empty() { To::default() } else { parse(request)? };
    let redelivery = Redelivery { endpoints: &app.endpoints, events: &app.events, deliver: &app.deliver };
    let now = app.clock.now();
    let sent = match endpoint {
        Some(endpoint) => vec![redelivery.to_one(account, id, endpoint, now).await?],
        None => redelivery.to_all(account, id, now).await?,
    };
    let shown: Vec<_> = sent.iter().map(view::delivery).collect();
    Ok(answer(StatusCode::ACCEPTED, &json!({"deliveries": shown})))
}

/// `POST /v1/endpoints/{id}/recover`: everything since a time that did not arrive.
pub(crate) async fn recover(
    app: &App,
    request: &Request,
    account: &AccountId,
    id: &EndpointId,
) -> Result<Response<Body>, Problem> {
    let Recovery { since } = parse(request)?;
    let now = app.clock.now();
    let since = endpoints::recover(&app.endpoints, &app.deliver, (account, id), &since, now).await?;
    Ok(answer(StatusCode::ACCEPTED, &json!({"since": since.to_string()})))
}
