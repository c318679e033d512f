//! A test event for one endpoint, and the answer to it.

use std::time::Duration;

use domain::id::{AccountId, EndpointId, EventId};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde_json::json;
use shared::edge::event_view as view;
use shared::edge::http::{Problem, json as answer};
use shared::operate::endpoints;

use super::App;

/// How long the caller waits for the first try, below the API's limit of 30 s.
const WAIT_MAX: Duration = Duration::from_secs(24);

/// `POST /v1/endpoints/{id}/test`: 200 with the delivery and its try; 202 if it was not tried in time.
pub(crate) async fn test(app: &App, account: &AccountId, id: &EndpointId) -> Result<Response<Body>, Problem> {
    let event = EventId::from_bytes(app.random.bytes());
    let (stores, now) = ((&app.endpoints, &app.events), app.clock.now());
    let event = endpoints::send_test(stores, &app.notify, (account, id), event, now).await?;
    match endpoints::first_try(&app.events, &event, id, WAIT_MAX).await? {
        Some(tried) => Ok(answer(StatusCode::OK, &view::delivery(&tried))),
        None => {
            let body = json!({"event": event, "endpoint": id, "status": "pending", "tries": []});
            Ok(answer(StatusCode::ACCEPTED, &body))
        }
    }
}
