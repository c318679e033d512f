//! A test event for one endpoint, and the answer to it.

use std::time::Duration;

use domain::delivery::Delivery;
use domain::event::{Event, EventType};
use domain::id::{AccountId, EndpointId, EventId};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde_json::json;
use shared::edge::http::{Problem, json as answer};
use shared::store::queue::Message;

use super::deliveries::{must_be_enabled, spend};
use super::{App, view};

/// How long the caller waits for the first try, below the API's limit of 30 s.
const WAIT_MAX: Duration = Duration::from_secs(24);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// `POST /v1/endpoints/{id}/test`: 200 with the delivery and its try; 202 if it was not tried in time.
pub(crate) async fn test(app: &App, account: &AccountId, id: &EndpointId) -> Result<Response<Body>, Problem> {
    if id.is_callback() {
        return Err(Problem::not_found());
    }
    must_be_enabled(app, account, id).await?;
    spend(app, account, id).await?;
    let now = app.clock.now();
    let event = EventId::from_bytes(app.random.bytes());
    let data = json!({"endpoint": id, "message": "This is a test."});
    let event = Event::new(event, account.clone(), EventType::TEST, &data, now);
    let event = Event { only: Some(id.clone()), ..event };
    app.events.put(&event).await?;
    let message = Message::Notify { event: event.id.clone() };
    app.notify.send(&message, Some(account.as_str()), Duration::ZERO).await?;
    if let Ok(tried) = tokio::time::timeout(WAIT_MAX, first_try(app, &event.id, id)).await {
        return Ok(answer(StatusCode::OK, &view::delivery(&tried?)));
    }
    let body = json!({"event": event.id, "endpoint": id, "status": "pending", "tries": []});
    Ok(answer(StatusCode::ACCEPTED, &body))
}

/// The delivery, once it was tried.
async fn first_try(app: &App, event: &EventId, endpoint: &EndpointId) -> Result<Delivery, Problem> {
    loop {
        if let Some(delivery) = app.events.delivery(event, endpoint).await?
            && !delivery.tries.is_empty()
        {
            return Ok(delivery);
        }
        #[expect(clippy::disallowed_methods, reason = "the caller asked this very request to wait")]
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
