//! Runs a handler for each message of a batch and returns a partial batch response. A message whose
//! handler panics or hangs fails alone.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures_util::FutureExt;
use futures_util::future::join_all;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::error::Category;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::edge::http::chain;
use crate::edge::{invocation, note_attempt};
use crate::store;
use crate::store::queue::{Message, Queue};
use crate::trace::{self, Kind};
use domain::attempt::Attempt;
use domain::id::{EventId, JobId};
use domain::job::Job;
use domain::time::Timestamp;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a message was not handled.
#[derive(Debug)]
pub enum Unfinished {
    /// Too early, no error: the message is delivered again.
    Later(&'static str),
    /// A retry may succeed: the message is delivered again.
    Retry(BoxError),
    /// No retry can succeed: the message is moved to the dead-letter queue now.
    Park(BoxError),
}

impl Unfinished {
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self::Retry(error.into())
    }

    pub fn park(error: impl Into<BoxError>) -> Self {
        Self::Park(error.into())
    }

    /// A message of a type that the function does not handle.
    pub fn of_another_queue() -> Self {
        Self::park("this message is for another queue")
    }
}

/// The attempt that a message is about. Notes it for the log.
///
/// # Errors
///
/// [`Unfinished::Park`] if the job has no such attempt: attempts are never removed.
pub fn attempt_of(job: &Job, number: u8) -> Result<&Attempt, Unfinished> {
    let attempt = job.attempt(number);
    note_attempt(job, attempt);
    attempt.ok_or_else(|| Unfinished::park(format!("job {} has no attempt {number}", job.id())))
}

impl From<store::Error> for Unfinished {
    fn from(error: store::Error) -> Self {
        if error.is_final() { Self::park(error) } else { Self::retry(error) }
    }
}

/// The time reserved at the end of an invocation to return the response.
const SPARE_MAX: Duration = Duration::from_secs(1);

/// When Lambda stops an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Option<Timestamp>);

impl Deadline {
    /// The deadline of an invocation, by Lambda's clock.
    pub fn of(context: &Context) -> Self {
        let millis = i64::try_from(context.deadline).ok().filter(|millis| *millis > 0);
        Self(millis.map(Timestamp::from_millis))
    }

    /// The time left; [`Duration::MAX`] without a deadline.
    pub fn left(self, now: Timestamp) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.since(now))
    }
}

/// Handles the messages of a batch concurrently. A message whose handler fails, panics or does not
/// finish shortly before the deadline is logged and delivered again, until its queue moves it to the
/// dead-letter queue. A message that no retry can help is moved there now. The others are deleted.
pub async fn each<F, Fut>(
    event: LambdaEvent<SqsEvent>,
    now: Timestamp,
    dead_letters: &Queue,
    handle: F,
) -> SqsBatchResponse
where
    F: Fn(Message, Deadline) -> Fut,
    Fut: Future<Output = Result<(), Unfinished>>,
{
    let deadline = Deadline::of(&event.context);
    let left = deadline.left(now);
    let limit = left.saturating_sub((left / 10).min(SPARE_MAX));
    let Context { request_id, env_config, .. } = &event.context;
    let invocation = invocation(request_id, &env_config.function_name);
    let handled = event.payload.records.into_iter().map(|record| {
        let (id, body) = (record.message_id.unwrap_or_default(), record.body.unwrap_or_default());
        let message = serde_json::from_str::<Message>(&body);
        let span = invocation.in_scope(|| span(request_id, &id, message.as_ref().ok()));
        let kind = message.as_ref().map_or("message", Message::kind);
        let ids = [request_id.to_owned(), id.clone()];
        let handle = &handle;
        let handled = async move {
            if let Some(job) = message.as_ref().ok().and_then(Message::job_id) {
                trace::note_job(job);
            }
            let running = contained(message, deadline, handle);
            let done = tokio::time::timeout(limit, running).await;
            let late = |_elapsed| Err(Unfinished::retry("it was not done in time"));
            let unfinished = done.unwrap_or_else(late).err()?;
            (!is_dealt_with(unfinished, dead_letters, &body).await).then(|| {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = id;
                failure
            })
        };
        let handled = handled.instrument(span);
        async move { trace::unit(kind, Kind::Consumer, ids.each_ref().map(String::as_str), handled).await }
    });
    let failures = join_all(handled).await.into_iter().flatten().collect();
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failures;
    response
}

/// Logs why a message is not done, and parks one that cannot succeed. Returns whether it is off its
/// queue.
async fn is_dealt_with(unfinished: Unfinished, dead_letters: &Queue, body: &str) -> bool {
    let why = match unfinished {
        Unfinished::Later(why) => {
            tracing::info!(why, "message.postponed");
            return false;
        }
        Unfinished::Retry(error) => {
            trace::note_failure();
            tracing::warn!(error = chain(&*error), "message.failed");
            return false;
        }
        Unfinished::Park(why) => {
            trace::note_failure();
            chain(&*why)
        }
    };
    match dead_letters.send_as_is(body).await {
        Ok(()) => tracing::error!(error = why, "message.parked"),
        Err(error) => {
            tracing::warn!(why, error = chain(&error), "message.not_parked");
            return false;
        }
    }
    true
}

/// The span of one message: every line within it carries the invocation, the message, and what it is
/// about.
fn span(request_id: &str, message_id: &str, message: Option<&Message>) -> Span {
    tracing::error_span!(
        "message",
        request_id,
        message_id,
        kind = message.map(Message::kind),
        job = message.and_then(Message::job_id).map(JobId::as_str),
        event = message.and_then(Message::event).map(EventId::as_str),
        attempt = message.and_then(Message::attempt),
        account = Empty,
        provider = Empty
    )
}

/// Handles one message. Shared state is behind locks that stay usable after a panic.
async fn contained<F, Fut>(
    message: serde_json::Result<Message>,
    deadline: Deadline,
    handle: &F,
) -> Result<(), Unfinished>
where
    F: Fn(Message, Deadline) -> Fut,
    Fut: Future<Output = Result<(), Unfinished>>,
{
    let message = message.map_err(|error| match error.classify() {
        // Well-formed but unknown: a newer release that is being deployed may support it.
        Category::Data => Unfinished::retry(error),
        Category::Io | Category::Syntax | Category::Eof => Unfinished::park(error),
    })?;
    // The call itself may panic before it returns a future.
    // On the heap: a handler's future is large, and several of them are held at once.
    let running = catch_unwind(AssertUnwindSafe(|| Box::pin(handle(message, deadline)))).map_err(panicked)?;
    AssertUnwindSafe(running).catch_unwind().await.map_err(panicked)?
}

fn panicked(panic: Box<dyn Any + Send>) -> Unfinished {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Unfinished::retry(format!("it panicked: {}", text.unwrap_or_default()))
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
