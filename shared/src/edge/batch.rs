//! One message's handler → a partial batch response.

use std::future::Future;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures_util::future::join_all;

use crate::edge::http::chain;
use crate::store::queue::Message;

/// Why a message comes back.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Handles every message of a batch at once. One that fails is logged and delivered
/// again, until its queue gives it to the dead-letter queue; the others are done.
pub async fn each<F, Fut>(event: SqsEvent, handle: F) -> SqsBatchResponse
where
    F: Fn(Message) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    let handled = event.records.into_iter().map(|record| {
        let id = record.message_id.unwrap_or_default();
        let message = serde_json::from_str::<Message>(record.body.as_deref().unwrap_or_default());
        let running = message.map(&handle);
        async move {
            let done = match running {
                Ok(running) => running.await,
                Err(unreadable) => Err(unreadable.into()),
            };
            let error = done.err()?;
            tracing::warn!(message.id = id, error = chain(&*error), "message.failed");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            Some(failure)
        }
    });
    let failures = join_all(handled).await.into_iter().flatten().collect();
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failures;
    response
}
