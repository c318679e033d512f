//! Events for one endpoint, on request: a test, and what it missed.

use std::time::Duration;

use domain::delivery::Delivery;
use domain::event::{Event, EventType};
use domain::id::{AccountId, EndpointId, EventId};
use domain::time::Timestamp;
use serde_json::json;

use super::{RACES_MAX, Refusal, enabled, find};
use crate::store::Error;
use crate::store::endpoints::EndpointStore;
use crate::store::events::EventStore;
use crate::store::queue::{Message, Queue};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Sends a test event to an endpoint of an account; its id.
///
/// # Errors
///
/// `NotFound`, `NotEnabled`, `SentEnough`, `Busy`, `Store`.
pub async fn send_test(
    (endpoints, events): (&EndpointStore, &EventStore),
    notify: &Queue,
    (account, id): (&AccountId, &EndpointId),
    event: EventId,
    now: Timestamp,
) -> Result<EventId, Refusal> {
    if id.is_callback() {
        return Err(Refusal::NotFound);
    }
    enabled(endpoints, account, id).await?;
    spend(endpoints, account, id, now).await?;
    let data = json!({"endpoint": id, "message": "This is a test."});
    let event = Event::new(event, account.clone(), EventType::TEST, &data, now);
    let event = Event { only: Some(id.clone()), ..event };
    events.put(&event).await?;
    let message = Message::Notify { event: event.id.clone() };
    notify.send(&message, Some(account.as_str()), Duration::ZERO).await?;
    Ok(event.id)
}

/// The delivery of an event, once it was tried; `None` if it was not within this time.
pub async fn first_try(
    events: &EventStore,
    event: &EventId,
    endpoint: &EndpointId,
    within: Duration,
) -> Result<Option<Delivery>, Error> {
    let tried = async {
        loop {
            if let Some(delivery) = events.delivery(event, endpoint).await?
                && !delivery.tries.is_empty()
            {
                return Ok(delivery);
            }
            #[expect(clippy::disallowed_methods, reason = "the caller asked this very request to wait")]
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(within, tried).await.ok().transpose()
}

/// Sends again everything since a time that did not arrive at an endpoint.
///
/// # Errors
///
/// `Fields`, `NotFound`, `NotEnabled`, `SentEnough`, `Busy`, `Store`.
pub async fn recover(
    endpoints: &EndpointStore,
    deliver: &Queue,
    (account, id): (&AccountId, &EndpointId),
    since: &str,
    now: Timestamp,
) -> Result<Timestamp, Refusal> {
    let Some(since) = Timestamp::parse(since).filter(|since| *since <= now) else {
        return Err(Refusal::field("since", "must be a time in the past, as `2026-11-29T10:00:00Z`"));
    };
    if !id.is_callback() {
        enabled(endpoints, account, id).await?;
        spend(endpoints, account, id, now).await?;
    }
    let (account, endpoint) = (account.clone(), id.clone());
    let message = Message::Recover { account, endpoint, since, ended: true, after: None };
    deliver.send(&message, Some(id.as_str()), Duration::ZERO).await?;
    Ok(since)
}

/// Counts one event that is sent on request, at an endpoint whose messages cost money or look like spam. The
/// count is of the endpoint: one that is deleted takes its count with it.
///
/// # Errors
///
/// `NotFound`, `SentEnough`, `Busy`, `Store`.
pub async fn spend(
    endpoints: &EndpointStore,
    account: &AccountId,
    id: &EndpointId,
    now: Timestamp,
) -> Result<(), Refusal> {
    for _ in 0..RACES_MAX {
        let endpoint = find(endpoints, account, id).await?;
        let next = match endpoint.extra(now) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(wait) => return Err(Refusal::SentEnough(endpoint.kind, wait)),
        };
        if endpoints.replace(&endpoint, &next, None).await? {
            return Ok(());
        }
    }
    Err(Refusal::Busy)
}
