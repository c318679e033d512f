//! Purchases and lists of events that are due: each gets its message.

use std::time::Duration;

use domain::job::CHECK_EVERY;
use shared::store::purchases::What;
use shared::store::queue::Message;

use super::Run;
use super::events::Swept;

/// What is due, per read, and reads per run.
const PAGE_MAX: i32 = 100;
const PAGES_MAX: usize = 10;
/// How long a message that was sent here has before another is sent.
const AGAIN_AFTER: Duration = CHECK_EVERY.saturating_mul(5);

/// Sends the messages of what is due, longest overdue first. The check is moved before the send, so that only one of
/// two concurrent runs sends.
pub(crate) async fn sweep(run: &Run<'_>) -> Swept {
    let mut swept = Swept::default();
    for _ in 0..PAGES_MAX {
        if run.is_short_of_time() {
            break;
        }
        let due = match run.app.purchases.due(run.now, PAGE_MAX).await {
            Ok(due) => due,
            Err(error) => {
                swept.failed.get_or_insert(error.into());
                break;
            }
        };
        if let Some(first) = due.first() {
            swept.overdue = swept.overdue.max(run.now.since(first.check_at));
        }
        swept.count += due.len();
        let is_last = due.len() < usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
        let mut messages = Vec::new();
        for due in due {
            match run.app.purchases.check_again(&due, run.now + AGAIN_AFTER).await {
                Ok(true) => messages.push(match due.what {
                    What::Purchase(topup) => {
                        (Message::PaymentCheck { topup: topup.clone() }, topup.to_string())
                    }
                    What::List(processor) => (Message::PaymentList { processor }, processor.to_string()),
                }),
                Ok(false) => {}
                Err(error) => drop(swept.failed.get_or_insert(error.into())),
            }
        }
        for sent in run.app.payment.send_all(&messages).await {
            if let Err(error) = sent {
                swept.failed.get_or_insert(error.into());
            }
        }
        if is_last {
            break;
        }
    }
    swept
}
