//! Deliveries that waited while their endpoint was failing, or that its owner asks for again.

use std::time::Duration;

use domain::delivery::{Delivery, Status};
use domain::id::{AccountId, EndpointId, EventId};
use domain::time::Timestamp;
use shared::edge::batch::Unfinished;
use shared::edge::http::chain;
use shared::store::queue::Message;

use super::App;

/// Deliveries per page, and the span over which they are sent: an endpoint that is back is not flooded.
const PAGE_MAX: i32 = 100;
const SPAN: Duration = Duration::from_secs(10);

/// What to send again.
pub(crate) struct Wanted {
    pub(crate) account: AccountId,
    pub(crate) endpoint: EndpointId,
    pub(crate) since: Timestamp,
    /// Also what has ended without success.
    pub(crate) ended: bool,
}

/// Makes one page of deliveries due now, newest first, and queues the next page.
pub(crate) async fn page(
    app: &App,
    wanted: &Wanted,
    after: Option<(Timestamp, EventId)>,
) -> Result<(), Unfinished> {
    let Wanted { account, endpoint, since, ended } = wanted;
    let now = app.clock.now();
    let page = app.events.deliveries(account, endpoint, PAGE_MAX, after).await?;
    let mut messages = Vec::new();
    for delivery in page.items.iter().filter(|delivery| delivery.created_at >= *since) {
        let Some(next) = next_of(delivery, *ended, now) else { continue };
        if app.events.replace_delivery(&next).await? {
            let group = next.group().to_owned();
            messages.push((Message::Deliver { event: next.event, endpoint: next.endpoint }, group));
        }
    }
    for lost in app.deliver.send_over(&messages, SPAN).await.into_iter().filter_map(Result::err) {
        tracing::warn!(error = chain(&lost), "message.not_queued");
    }
    let Some(after) = page.next.filter(|(at, _)| at >= since) else { return Ok(()) };
    let message = Message::Recover {
        account: account.clone(),
        endpoint: endpoint.clone(),
        since: *since,
        ended: *ended,
        after: Some(after),
    };
    Ok(app.deliver.send(&message, Some(endpoint.as_str()), SPAN).await?)
}

/// The delivery, due now; `None` if it is not among those to send again.
fn next_of(delivery: &Delivery, ended: bool, now: Timestamp) -> Option<Delivery> {
    match delivery.status {
        Status::Failed | Status::Skipped => ended.then(|| delivery.again(now)),
        Status::Pending => delivery.hastened(now),
        Status::Delivered => None,
    }
}
