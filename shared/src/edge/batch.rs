//! One message's handler → a partial batch response. Each message is contained: one that panics
//! or hangs fails alone.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::FutureExt;
use futures_util::future::join_all;
use lambda_runtime::{Context, LambdaEvent};
use tracing::Instrument;

use crate::domain::time::Timestamp;
use crate::edge::http::chain;
use crate::edge::invocation;
use crate::store::queue::Message;

/// Why a message comes back.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message that comes back because its time has not come. Nothing went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotYet(pub &'static str);

/// What is kept of an invocation's time to answer for the messages that were handled.
const SPARE_MAX: Duration = Duration::from_secs(1);

/// When an invocation is stopped by the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Option<Timestamp>);

impl Deadline {
    /// That of an invocation, on the clock of the platform.
    pub fn of(context: &Context) -> Self {
        let millis = i64::try_from(context.deadline).ok().filter(|millis| *millis > 0);
        Self(millis.map(Timestamp::from_millis))
    }

    /// How much time is left. Without a deadline there is no end to it.
    pub fn left(self, now: Timestamp) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.since(now))
    }
}

/// Handles every message of a batch at once. One that fails, panics, or is not done shortly
/// before the invocation is stopped is logged and delivered again, until its queue gives it to
/// the dead-letter queue; the others are done.
pub async fn each<F, Fut>(event: LambdaEvent<SqsEvent>, now: Timestamp, handle: F) -> SqsBatchResponse
where
    F: Fn(Message, Deadline) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    let deadline = Deadline::of(&event.context);
    let left = deadline.left(now);
    let limit = left.saturating_sub((left / 10).min(SPARE_MAX));
    let span = invocation(&event.context.request_id);
    let handled = event.payload.records.into_iter().map(|record| {
        let id = record.message_id.clone().unwrap_or_default();
        let handle = &handle;
        async move {
            let done = tokio::time::timeout(limit, contained(record, deadline, handle)).await;
            let error = done.unwrap_or_else(|_late| Err("it was not done in time".into())).err()?;
            match error.downcast_ref::<NotYet>() {
                Some(NotYet(why)) => tracing::info!(message.id = id, why, "message.postponed"),
                None => tracing::warn!(message.id = id, error = chain(&*error), "message.failed"),
            }
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            Some(failure)
        }
    });
    let failures = join_all(handled).instrument(span).await.into_iter().flatten().collect();
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failures;
    response
}

/// Handles one message. What a handler shares is behind locks that a panic leaves usable.
async fn contained<F, Fut>(record: SqsMessage, deadline: Deadline, handle: &F) -> Result<(), BoxError>
where
    F: Fn(Message, Deadline) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    let message = serde_json::from_str::<Message>(record.body.as_deref().unwrap_or_default())?;
    // The call itself is inside as well: it may panic before it gives a future.
    let running = catch_unwind(AssertUnwindSafe(|| handle(message, deadline))).map_err(panicked)?;
    AssertUnwindSafe(running).catch_unwind().await.map_err(panicked)?
}

fn panicked(panic: Box<dyn Any + Send>) -> BoxError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn context(deadline_ms: u64) -> Context {
        let mut context = Context::default();
        context.deadline = deadline_ms;
        context
    }

    #[test]
    fn the_time_left_shrinks_to_nothing_and_is_endless_without_a_deadline() {
        let deadline = Deadline::of(&context(1_700_000_060_000));
        assert_eq!(deadline.left(NOW), Duration::from_secs(60));
        assert_eq!(deadline.left(NOW + Duration::from_secs(45)), Duration::from_secs(15));
        assert_eq!(deadline.left(NOW + Duration::from_secs(61)), Duration::ZERO);
        assert_eq!(Deadline::of(&context(0)).left(NOW), Duration::MAX);
    }
}
