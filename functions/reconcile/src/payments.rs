//! Purchases and lists of events that are due: each gets its message.

use domain::time::Timestamp;
use shared::edge::batch::BoxError;
use shared::store::Error;
use shared::store::due::PageEnd;
use shared::store::purchases::{DuePayment, What};
use shared::store::queue::Message;

use super::sweep::{PAGE_MAX, Shard, claim};
use super::{AGAIN_AFTER, Run};

#[derive(Debug)]
pub(crate) struct Payments;

impl Shard for Payments {
    type Due = DuePayment;

    async fn page(
        &self,
        run: &Run<'_>,
        start: Option<PageEnd>,
    ) -> Result<(Vec<DuePayment>, Option<PageEnd>), Error> {
        run.app.purchases.due(run.now, PAGE_MAX, start).await
    }

    fn check_at(due: &DuePayment) -> Timestamp {
        due.check_at
    }

    async fn send(&self, run: &Run<'_>, due: Vec<DuePayment>) -> Result<(), BoxError> {
        let (app, at) = (run.app, run.now + AGAIN_AFTER);
        let check_again = async |due| Ok(app.purchases.check_again(&due, at).await?.then_some(due));
        let (due, mut results) = claim(due, check_again).await;
        let message = |due: DuePayment| match due.what {
            What::Purchase(topup) => (Message::PaymentCheck { topup: topup.clone() }, topup.to_string()),
            What::List(processor) => (Message::PaymentList { processor }, processor.to_string()),
        };
        let messages: Vec<_> = due.into_iter().map(message).collect();
        results.extend(app.payment.send_all(&messages).await);
        Ok(results.into_iter().collect::<Result<(), _>>()?)
    }
}
