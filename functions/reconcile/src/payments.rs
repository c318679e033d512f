//! Purchases and lists of events that are due: each gets its message.

use domain::time::Timestamp;
use shared::edge::batch::BoxError;
use shared::store::Error;
use shared::store::due::PageEnd;
use shared::store::purchases::{DuePayment, What};
use shared::store::queue::Message;

use super::sweep::{PAGE_MAX, Shard};
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
        send(run, due).await
    }
}

/// The check is moved before the send, so that only one of two concurrent runs sends. One that cannot be
/// moved stops no other; the first error is returned once all are sent.
async fn send(run: &Run<'_>, due: Vec<DuePayment>) -> Result<(), BoxError> {
    let (mut messages, mut results) = (Vec::new(), Vec::new());
    for due in due {
        match run.app.purchases.check_again(&due, run.now + AGAIN_AFTER).await {
            Ok(true) => messages.push(match due.what {
                What::Purchase(topup) => (Message::PaymentCheck { topup: topup.clone() }, topup.to_string()),
                What::List(processor) => (Message::PaymentList { processor }, processor.to_string()),
            }),
            Ok(false) => {}
            Err(error) => results.push(Err(error)),
        }
    }
    results.extend(run.app.payment.send_all(&messages).await);
    Ok(results.into_iter().collect::<Result<(), _>>()?)
}
