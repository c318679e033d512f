//! Events without deliveries, and deliveries whose try is due: each gets its message again.

use domain::time::Timestamp;
use shared::edge::batch::BoxError;
use shared::store::Error;
use shared::store::due::PageEnd;
use shared::store::events::{DueEvent, What};
use shared::store::queue::Message;

use super::sweep::{PAGE_MAX, Shard};
use super::{AGAIN_AFTER, Run};

/// One shard of them.
#[derive(Debug)]
pub(crate) struct Events(pub(crate) u8);

impl Shard for Events {
    type Due = DueEvent;

    async fn page(
        &self,
        run: &Run<'_>,
        start: Option<PageEnd>,
    ) -> Result<(Vec<DueEvent>, Option<PageEnd>), Error> {
        run.app.events.due(self.0, run.now, PAGE_MAX, start).await
    }

    fn check_at(due: &DueEvent) -> Timestamp {
        due.check_at
    }

    async fn send(&self, run: &Run<'_>, due: Vec<DueEvent>) -> Result<(), BoxError> {
        send(run, due).await
    }
}

/// The check is moved before the send, so that only one of two concurrent runs sends. One that cannot be
/// moved stops no other; the first error is returned once all are sent.
async fn send(run: &Run<'_>, due: Vec<DueEvent>) -> Result<(), BoxError> {
    let (mut notify, mut deliver, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for due in due {
        match run.app.events.check_again(&due, run.now + AGAIN_AFTER).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                results.push(Err(error));
                continue;
            }
        }
        let event = due.event;
        match due.what {
            What::Event => notify.push((Message::Notify { event: event.clone() }, event.to_string())),
            What::Delivery(endpoint) => {
                // The index does not know the account, which is the group of callbacks elsewhere.
                let group = if endpoint.is_callback() { event.to_string() } else { endpoint.to_string() };
                deliver.push((Message::Deliver { event, endpoint }, group));
            }
        }
    }
    results.extend(run.app.notify.send_all(&notify).await);
    results.extend(run.app.deliver.send_all(&deliver).await);
    Ok(results.into_iter().collect::<Result<(), _>>()?)
}
