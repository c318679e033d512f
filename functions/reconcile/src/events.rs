//! Events without deliveries, and deliveries whose try is due: each gets its message again.

use std::time::Duration;

use domain::job::CHECK_EVERY;
use shared::edge::batch::BoxError;
use shared::store::events::{DueEvent, What};
use shared::store::queue::Message;

use super::Run;

/// Events of one shard per read, and reads per run.
const PAGE_MAX: i32 = 100;
const PAGES_MAX: usize = 20;
/// How long a message that was sent here has before another is sent.
const AGAIN_AFTER: Duration = CHECK_EVERY.saturating_mul(5);

/// What one run found due, and the longest delay.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) count: usize,
    pub(crate) overdue: Duration,
    /// The first error; it stopped nothing else.
    pub(crate) failed: Option<BoxError>,
}

impl FromIterator<Self> for Swept {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            count: sum.count + one.count,
            overdue: sum.overdue.max(one.overdue),
            failed: sum.failed.or(one.failed),
        })
    }
}

/// Sends the messages of one shard, longest overdue first.
pub(crate) async fn sweep(run: &Run<'_>, shard: u8) -> Swept {
    let mut swept = Swept::default();
    for _ in 0..PAGES_MAX {
        if run.is_short_of_time() {
            break;
        }
        let due = match run.app.events.due(shard, run.now, PAGE_MAX).await {
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
        let sent = send(run, due).await;
        swept.failed = swept.failed.or(sent.err());
        if is_last {
            break;
        }
    }
    swept
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
