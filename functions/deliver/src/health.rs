//! What answers say of an endpoint.

use std::time::Duration;

use domain::delivery::{Delivery, Outcome};
use domain::endpoint::{Admission, Endpoint, Kind, Reason};
use domain::time::Timestamp;
use shared::edge::batch::Unfinished;
use shared::store::queue::Message;

use super::{App, RACES_MAX};

/// The deliveries that failed first were made earlier than they were tried.
const MADE_BEFORE: Duration = Duration::from_secs(3_600);
/// Time to record that the endpoint is back, before what waits comes.
const RECOVERY_AFTER: Duration = Duration::from_secs(2);

/// The endpoint of a delivery; `None` if it was deleted. The callback URL of a job is one that is
/// always enabled.
pub(crate) async fn endpoint_of(app: &App, delivery: &Delivery) -> Result<Option<Endpoint>, Unfinished> {
    let found = app.endpoints.get(&delivery.account, &delivery.endpoint).await?;
    let Some(url) = &delivery.url else { return Ok(found) };
    let endpoint = found.unwrap_or_else(|| Endpoint::of_callbacks(delivery.account.clone()));
    Ok(Some(Endpoint { address: url.clone(), kind: Kind::Webhook, ..endpoint }))
}

/// The endpoint, if the claimed delivery may try it now. `None` if it is failing and another delivery
/// tries it; a test tries it all the same.
pub(crate) async fn admitted(
    app: &App,
    claimed: &Delivery,
    mut endpoint: Endpoint,
) -> Result<Option<Endpoint>, Unfinished> {
    for _ in 0..RACES_MAX {
        match endpoint.admit(app.clock.now()) {
            Admission::Send => return Ok(Some(endpoint)),
            Admission::Hold if claimed.is_test() => return Ok(Some(endpoint)),
            Admission::Hold | Admission::Skip => return Ok(None),
            Admission::Probe(probing) => {
                if app.endpoints.replace(&endpoint, &probing, None).await? {
                    return Ok(Some(*probing));
                }
            }
        }
        let Some(found) = endpoint_of(app, claimed).await? else { return Ok(None) };
        endpoint = found;
    }
    Ok(None)
}

/// Records the outcome of a try that began at `at`, where it changes something. An endpoint that is
/// disabled by it has an event; one that is back gets what waits.
pub(crate) async fn record(
    app: &App,
    mut endpoint: Endpoint,
    outcome: Outcome,
    at: Timestamp,
) -> Result<(), Unfinished> {
    if endpoint.id.is_callback() {
        return Ok(());
    }
    let mut is_recovery_sent = false;
    for _ in 0..RACES_MAX {
        let Some(next) = endpoint.after(outcome, at, app.clock.now()) else { return Ok(()) };
        // Before the record: a crash between the two must not leave what waits behind.
        if endpoint.recovers_to(&next) && !is_recovery_sent {
            send_recovery(app, &endpoint).await?;
            is_recovery_sent = true;
        }
        if replace(app, &endpoint, &next).await? {
            if is_recovery_sent {
                tracing::info!(endpoint = next.id.as_str(), "endpoint.recovered");
            }
            return Ok(());
        }
        let Some(found) = app.endpoints.get(&endpoint.account, &endpoint.id).await? else { return Ok(()) };
        endpoint = found;
    }
    // The next try records as much.
    Ok(())
}

/// Writes the next version of an endpoint. If that disables it, the account's other endpoints have the event.
pub(crate) async fn replace(app: &App, before: &Endpoint, next: &Endpoint) -> Result<bool, Unfinished> {
    let event = before.is_disabled_by(next).then(|| next.disabled_event());
    let is_written = app.endpoints.replace(before, next, event.as_ref()).await?;
    if let Some(event) = event.filter(|_| is_written) {
        let reason = next.disabled_reason.map_or("unknown", Reason::name);
        tracing::warn!(endpoint = next.id.as_str(), reason, "endpoint.disabled");
        let message = Message::Notify { event: event.id };
        app.notify.send(&message, Some(next.account.as_str()), Duration::ZERO).await?;
    }
    Ok(is_written)
}

/// Asks for what waits since the endpoint began to fail. What waits from long before comes at its own
/// time.
async fn send_recovery(app: &App, failing: &Endpoint) -> Result<(), Unfinished> {
    let message = Message::Recover {
        account: failing.account.clone(),
        endpoint: failing.id.clone(),
        since: failing.health.failing_since.unwrap_or(failing.created_at).minus(MADE_BEFORE),
        ended: false,
        after: None,
    };
    Ok(app.deliver.send(&message, Some(failing.id.as_str()), RECOVERY_AFTER).await?)
}
