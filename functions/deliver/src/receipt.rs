//! What vendors report of mails and texts after they took them.

use domain::delivery::Reported;
use domain::endpoint::Reason;
use domain::id::AccountId;
use shared::edge::batch::Unfinished;
use shared::edge::note_account;

use super::{App, RACES_MAX, health};

/// Records a report with its delivery, and ends the endpoint whose address it ends. A repeat changes nothing,
/// and does what a crash left undone.
pub(crate) async fn receive(app: &App, reported: &Reported) -> Result<(), Unfinished> {
    let Some(account) = moved(app, reported).await? else { return Ok(()) };
    let fate = reported.fate;
    if fate.ends_address() {
        // Whatever became of the endpoint since: it may have been moved, or deleted.
        app.endpoints.suppress(reported.kind(), &reported.address, app.clock.now()).await?;
    }
    if Reason::of(fate).is_none() {
        return Ok(());
    }
    for _ in 0..RACES_MAX {
        let Some(endpoint) = app.endpoints.get(&account, &reported.endpoint).await? else { return Ok(()) };
        let now = app.clock.now();
        let Some(next) = endpoint.after_report(fate, &reported.address, now) else { return Ok(()) };
        if health::replace(app, &endpoint, &next).await? {
            return Ok(());
        }
    }
    Err(Unfinished::retry("other writes of the endpoint were faster"))
}

/// Moves the delivery on; `None` if there is none, which may have expired or may be another system's.
async fn moved(app: &App, reported: &Reported) -> Result<Option<AccountId>, Unfinished> {
    for _ in 0..RACES_MAX {
        let found = app.events.delivery(&reported.event, &reported.endpoint).await?;
        let Some(delivery) = found else { return Ok(None) };
        note_account(&delivery.account);
        let Some(next) = delivery.received(reported.fate, app.clock.now()) else {
            return Ok(Some(delivery.account));
        };
        if app.events.replace_delivery(&next).await? {
            let (endpoint, fate) = (next.endpoint.as_str(), reported.fate.name());
            tracing::info!(endpoint, fate, "delivery.reported");
            return Ok(Some(next.account));
        }
    }
    Err(Unfinished::retry("other writes of the delivery were faster"))
}
