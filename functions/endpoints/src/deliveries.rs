//! Events and their deliveries: listed, and sent again.

use std::time::Duration;

use domain::delivery::{Delivery, Status};
use domain::endpoint;
use domain::event::Event;
use domain::id::{AccountId, EndpointId, EventId};
use domain::request::FieldError;
use domain::time::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::json;
use shared::edge::http::{Problem, body_bytes, json as answer, parse};
use shared::edge::page::{bad_parameter, cursor, encode, limit, parameter};
use shared::store::queue::Message;

use super::{App, find, view};

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
    let events = app.events.list(account, limit, cursor).await?;
    let is_full = events.len() == usize::try_from(limit).unwrap_or(0);
    let next = events.last().filter(|_| is_full).map(|event| encode(event.created_at, event.id.as_str()));
    let events: Vec<_> = events.iter().map(view::event).collect();
    Ok(answer(StatusCode::OK, &json!({"events": events, "next_cursor": next})))
}

pub(crate) async fn event(app: &App, account: &AccountId, id: &EventId) -> Result<Response<Body>, Problem> {
    let (event, _) = with_deliveries(app, account, id).await?;
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
    let (mut found, mut is_more) = (Vec::new(), true);
    for _ in 0..PAGES_MAX {
        let page = app.events.deliveries(account, id, limit, cursor.clone()).await?;
        is_more = page.len() == wanted;
        for delivery in page {
            cursor = Some((delivery.created_at, delivery.event.clone()));
            if status.is_none_or(|status| status == delivery.status) {
                found.push(view::delivery(&delivery));
            }
            if found.len() == wanted {
                is_more = true;
                break;
            }
        }
        if !is_more || found.len() == wanted {
            break;
        }
    }
    let next = cursor.filter(|_| is_more).map(|(at, event)| encode(at, event.as_str()));
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
        Some(endpoint) => {
            let first = deliveries.into_iter().find(|delivery| delivery.endpoint == endpoint);
            if !endpoint.is_callback() {
                must_be_enabled(app, account, &endpoint).await?;
            } else if first.is_none() {
                return Err(Problem::not_found());
            }
            let delivery = match first {
                Some(delivery) => again(app, &delivery, now).await?,
                None => {
                    let new = Delivery::new(&event, endpoint, None, Status::Pending, now);
                    app.events.put_delivery(&new).await?;
                    new
                }
            };
            vec![delivery]
        }
        None => {
            let mut sent = Vec::new();
            for delivery in deliveries {
                sent.push(again(app, &delivery, now).await?);
            }
            sent
        }
    };
    for delivery in &sent {
        queue(app, delivery).await?;
    }
    let shown: Vec<_> = sent.iter().map(view::delivery).collect();
    Ok(answer(StatusCode::ACCEPTED, &json!({"deliveries": shown})))
}

/// Another round of tries. One that is running finishes first.
async fn again(app: &App, delivery: &Delivery, now: Timestamp) -> Result<Delivery, Problem> {
    let next = delivery.again(now);
    if delivery.claimed || !app.events.replace_delivery(&next).await? {
        let detail = "The event is just being sent to this endpoint. It is safe to retry.";
        let problem = Problem::new(StatusCode::CONFLICT, "being_sent", detail);
        return Err(Problem { retry_after: Some(Duration::from_secs(30)), ..problem });
    }
    Ok(next)
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
    let Some(since) = Timestamp::parse(&since).filter(|since| *since <= app.clock.now()) else {
        let detail = "must be a time in the past, as `2026-11-29T10:00:00Z`".to_owned();
        return Err(Problem::invalid(vec![FieldError { field: "since".into(), detail, allowed: vec![] }]));
    };
    if !id.is_callback() {
        must_be_enabled(app, account, id).await?;
    }
    let (account, endpoint) = (account.clone(), id.clone());
    let message = Message::Recover { account, endpoint, since: Some(since), after: None };
    app.deliver.send(&message, Some(id.as_str()), Duration::ZERO).await?;
    Ok(answer(StatusCode::ACCEPTED, &json!({"since": since.to_string()})))
}

pub(crate) async fn must_be_enabled(app: &App, account: &AccountId, id: &EndpointId) -> Result<(), Problem> {
    let found = find(app, account, id).await?;
    if found.status == endpoint::Status::Enabled {
        return Ok(());
    }
    let detail = format!("The endpoint is {}. Enable it first.", found.status.name());
    Err(Problem::new(StatusCode::CONFLICT, "endpoint_not_enabled", detail))
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
