//! What answers say of an endpoint.

use std::time::Duration;

use domain::delivery::{Delivery, Outcome};
use domain::endpoint::{Endpoint, Kind, Reason};
use domain::event::{Event, EventType};
use domain::id::EventId;
use serde_json::json;
use shared::edge::batch::Unfinished;
use shared::store::queue::Message;

use super::App;

/// Races with other tries at the same endpoint.
const RACES_MAX: usize = 5;

/// The endpoint of a delivery; `None` if it was deleted. The callback URL of a job is one that is
/// always enabled.
pub(crate) async fn endpoint_of(app: &App, delivery: &Delivery) -> Result<Option<Endpoint>, Unfinished> {
    let found = app.endpoints.get(&delivery.account, &delivery.endpoint).await?;
    let Some(url) = &delivery.url else { return Ok(found) };
    let endpoint = found.unwrap_or_else(|| Endpoint::of_callbacks(delivery.account.clone()));
    Ok(Some(Endpoint { address: url.clone(), kind: Kind::Webhook, ..endpoint }))
}

/// Records the outcome of a try, where it changes something. An endpoint that is disabled by it has an
/// event; one that is back gets what waits.
pub(crate) async fn record(app: &App, mut endpoint: Endpoint, outcome: Outcome) -> Result<(), Unfinished> {
    if endpoint.id.is_callback() {
        return Ok(());
    }
    for _ in 0..RACES_MAX {
        let now = app.clock.now();
        let Some(next) = endpoint.after(outcome, now) else { return Ok(()) };
        let event = endpoint.is_disabled_by(&next).then(|| disabled(&next));
        if app.endpoints.replace(&endpoint, &next, event.as_ref()).await? {
            if let Some(event) = event {
                let reason = next.disabled_reason.map_or("unknown", Reason::name);
                tracing::warn!(endpoint = next.id.as_str(), reason, "endpoint.disabled");
                let message = Message::Notify { event: event.id };
                app.notify.send(&message, Some(next.account.as_str()), Duration::ZERO).await?;
            }
            if endpoint.recovers_to(&next) {
                tracing::info!(endpoint = next.id.as_str(), "endpoint.recovered");
                let (account, endpoint) = (next.account.clone(), next.id.clone());
                let message = Message::Recover { account, endpoint, since: None, after: None };
                app.deliver.send(&message, Some(next.id.as_str()), Duration::ZERO).await?;
            }
            return Ok(());
        }
        let Some(found) = app.endpoints.get(&endpoint.account, &endpoint.id).await? else { return Ok(()) };
        endpoint = found;
    }
    // The next try records as much.
    Ok(())
}

/// The event of an endpoint that was disabled, for the account's other endpoints.
fn disabled(endpoint: &Endpoint) -> Event {
    let id = EventId::of(&[endpoint.id.as_str(), "disabled", &endpoint.version.to_string()]);
    let reason = endpoint.disabled_reason.map_or("unknown", Reason::name);
    let data = json!({
        "endpoint": endpoint.id,
        "reason": reason,
        "failing_since": endpoint.health.failing_since.map(|at| at.to_string()),
        "failures": endpoint.health.failures,
        "last_success_at": endpoint.health.last_success_at.map(|at| at.to_string()),
    });
    Event::new(id, endpoint.account.clone(), EventType::DISABLED, &data, endpoint.updated_at)
}
