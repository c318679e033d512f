//! Events without deliveries, and deliveries whose try is due: each gets its message again.

use domain::time::Timestamp;
use shared::edge::batch::BoxError;
use shared::store::Error;
use shared::store::due::PageEnd;
use shared::store::events::{DueEvent, What};
use shared::store::queue::Message;

use super::sweep::{PAGE_MAX, Shard, claim};
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
        let (app, at) = (run.app, run.now + AGAIN_AFTER);
        let check_again = async |due| Ok(app.events.check_again(&due, at).await?.then_some(due));
        let (due, mut results) = claim(due, check_again).await;
        let (mut notify, mut deliver) = (Vec::new(), Vec::new());
        for DueEvent { event, what, .. } in due {
            match what {
                What::Event => notify.push((Message::Notify { event: event.clone() }, event.to_string())),
                What::Delivery(endpoint) => {
                    // The index does not know the account, which is the group of callbacks elsewhere.
                    let group = if endpoint.is_callback() { event.to_string() } else { endpoint.to_string() };
                    deliver.push((Message::Deliver { event, endpoint }, group));
                }
            }
        }
        results.extend(app.notify.send_all(&notify).await);
        results.extend(app.deliver.send_all(&deliver).await);
        Ok(results.into_iter().collect::<Result<(), _>>()?)
    }
}
