//! Events and their deliveries: listed, and sent again.

use std::time::Duration;

use domain::delivery::{Delivery, Status};
use domain::endpoint::{self, Endpoint};
use domain::event::Event;
use domain::id::{AccountId, EndpointId, EventId};
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::json;
use shared::edge::event_view as view;
use shared::edge::http::{Problem, body_bytes, json as answer, parse};
use shared::edge::page::{bad_parameter, cursor, encode, limit, parameter};
use shared::operate::endpoints;
use shared::store::queue::Message;

use super::{App, find, problem};

/// Pages that a filtered list reads before it returns a partial result.
const PAGES_MAX: usize = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Redelivery {
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
    let (_, deliveries) = with_deliveries(app, account, id).await?;
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
    find(app, account, id).await?;
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
    let Redelivery { endpoint } =
        if body_bytes(request).is_empty() { Redelivery::default() } else { parse(request)? };
    let (event, deliveries) = with_deliveries(app, account, id).await?;
    if event.body.is_none() {
        let detail = "The event has not been sent for the first time. It is safe to retry.";
        return Err(Problem::new(StatusCode::CONFLICT, "not_sent_yet", detail));
    }
    let now = app.clock.now();
    let sent = match endpoint {
        Some(endpoint) => vec![to_one(app, &event, deliveries, endpoint, now).await?],
        None => to_all(app, account, deliveries, now).await?,
    };
    let shown: Vec<_> = sent.iter().map(view::delivery).collect();
    Ok(answer(StatusCode::ACCEPTED, &json!({"deliveries": shown})))
}

/// To one endpoint, also if the event was not for it.
async fn to_one(
    app: &App,
    event: &Event,
    deliveries: Vec<Delivery>,
    endpoint: EndpointId,
    now: Timestamp,
) -> Result<Delivery, Problem> {
    let first = deliveries.into_iter().find(|delivery| delivery.endpoint == endpoint);
    if !endpoint.is_callback() {
        endpoints::enabled(&app.endpoints, &event.account, &endpoint).await.map_err(problem)?;
        if first.as_ref().is_none_or(|first| !first.claimed) {
            endpoints::spend(&app.endpoints, &event.account, &endpoint, now).await.map_err(problem)?;
        }
    }
    let delivery = match first {
        Some(delivery) => again(app, &delivery, now).await?.ok_or_else(being_sent)?,
        None if endpoint.is_callback() => return Err(Problem::not_found()),
        None => {
            let new = Delivery::new(event, endpoint, None, Status::Pending, now);
            app.events.put_delivery(&new).await?;
            new
        }
    };
    queue(app, &delivery).await?;
    Ok(delivery)
}

/// To each endpoint that had it and takes events now.
async fn to_all(
    app: &App,
    account: &AccountId,
    deliveries: Vec<Delivery>,
    now: Timestamp,
) -> Result<Vec<Delivery>, Problem> {
    let all = app.endpoints.list(account).await?;
    let takes = |id: &EndpointId| {
        let is_on = |one: &Endpoint| one.id == *id && one.status == endpoint::Status::Enabled;
        id.is_callback() || all.iter().any(is_on)
    };
    let (mut sent, mut left_out) = (Vec::new(), None);
    for delivery in deliveries.iter().filter(|delivery| takes(&delivery.endpoint)) {
        if delivery.claimed {
            left_out = Some(being_sent());
            continue;
        }
        if let Err(refusal) = endpoints::spend(&app.endpoints, account, &delivery.endpoint, now).await {
            left_out = Some(problem(refusal));
            continue;
        }
        match again(app, delivery, now).await? {
            Some(next) => {
                queue(app, &next).await?;
                sent.push(next);
            }
            None => left_out = Some(being_sent()),
        }
    }
    match left_out {
        Some(why) if sent.is_empty() => Err(why),
        _ => Ok(sent),
    }
}

/// Another round of tries. `None` if one is running: it finishes first.
async fn again(app: &App, delivery: &Delivery, now: Timestamp) -> Result<Option<Delivery>, Problem> {
    let next = delivery.again(now);
    let is_written = !delivery.claimed && app.events.replace_delivery(&next).await?;
    Ok(is_written.then_some(next))
}

fn being_sent() -> Problem {
    let detail = "The event is just being sent to this endpoint. It is safe to retry.";
    let problem = Problem::new(StatusCode::CONFLICT, "being_sent", detail);
    Problem { retry_after: Some(Duration::from_secs(30)), ..problem }
}

async fn queue(app: &App, delivery: &Delivery) -> Result<(), Problem> {
    let message = Message::Deliver { event: delivery.event.clone(), endpoint: delivery.endpoint.clone() };
    Ok(app.deliver.send(&message, Some(delivery.group()), Duration::ZERO).await?)
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
    let since = endpoints::recover(&app.endpoints, &app.deliver, (account, id), &since, now).await;
    Ok(answer(StatusCode::ACCEPTED, &json!({"since": since.map_err(problem)?.to_string()})))
}

async fn with_deliveries(
    app: &App,
    account: &AccountId,
    id: &EventId,
) -> Result<(Event, Vec<Delivery>), Problem> {
    let found = app.events.with_deliveries(id).await?;
    // Events of other accounts are reported as not found.
    found.filter(|(event, _)| event.account == *account).ok_or_else(Problem::not_found)
}
