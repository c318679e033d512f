//! Deliveries that waited while their endpoint was failing, or that its owner asks for again.

use std::time::Duration;

use domain::delivery::{Delivery, GAPS, Status};
use domain::id::{AccountId, EndpointId, EventId};
use domain::time::Timestamp;
use shared::edge::batch::Unfinished;
use shared::edge::http::chain;
use shared::store::queue::Message;

use super::App;

/// Deliveries per page, and the pause between pages: an endpoint that is back is not flooded.
const PAGE_MAX: i32 = 100;
const PAUSE: Duration = Duration::from_secs(5);
/// A delivery that still waits is not older than this.
const WAITING_MAX: Duration = Duration::from_secs(4 * 24 * 3_600);

/// Makes one page of deliveries due now, newest first, and queues the next page.
pub(crate) async fn page(
    app: &App,
    account: &AccountId,
    endpoint: &EndpointId,
    since: Option<Timestamp>,
    after: Option<(Timestamp, EventId)>,
) -> Result<(), Unfinished> {
    let now = app.clock.now();
    let oldest = since.unwrap_or(now.minus(WAITING_MAX));
    let page = app.events.deliveries(account, endpoint, PAGE_MAX, after).await?;
    let is_last = page.len() < usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
    let mut messages = Vec::new();
    for delivery in page.iter().filter(|delivery| delivery.created_at >= oldest) {
        let Some(next) = next_of(delivery, since, now) else { continue };
        if app.events.replace_delivery(&next).await? {
            let message = Message::Deliver { event: next.event, endpoint: next.endpoint };
            messages.push((message, endpoint.to_string()));
        }
    }
    for lost in app.deliver.send_all(&messages).await.into_iter().filter_map(Result::err) {
        tracing::warn!(error = chain(&lost), "message.not_queued");
    }
    let Some(last) = page.last().filter(|last| !is_last && last.created_at >= oldest) else { return Ok(()) };
    let message = Message::Recover {
        account: account.clone(),
        endpoint: endpoint.clone(),
        since,
        after: Some((last.created_at, last.event.clone())),
    };
    Ok(app.deliver.send(&message, Some(endpoint.as_str()), PAUSE).await?)
}

/// The delivery, due now; `None` if it is not among those to recover.
fn next_of(delivery: &Delivery, since: Option<Timestamp>, now: Timestamp) -> Option<Delivery> {
    match delivery.status {
        Status::Failed | Status::Skipped if since.is_some() => Some(delivery.again(now)),
        Status::Pending if usize::from(delivery.number) < GAPS.len() => delivery.hastened(now),
        _ => None,
    }
}
