//! A small SQS server: the operations that Genmux uses, on standard queues.
//!
//! Delays, visibility and retention follow the given clock; only a long poll waits in real time.
//! An acknowledged message survives a crash of the process.
//! It has no FIFO queues, no access policies, no encryption and no limit on messages in flight.

mod digest;
mod error;
mod message;
mod queue;
mod serve;
mod store;
#[cfg(test)]
mod tests;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use domain::time::Timestamp;
use shared::boot::Clock;
use tokio::time::{Instant, timeout, timeout_at};

pub use error::{Code, Error};
pub use message::{Attribute, Attributes, Received};
pub use queue::{QueueSpec, Redrive};
pub use store::Depth;

use message::Receipt;
use store::Store;

const ACCOUNT: &str = "000000000000";

/// The interval at which a manual clock is checked, in real time.
const MANUAL_CLOCK_TICK: Duration = Duration::from_millis(10);

/// The queues: a handle to share, over HTTP by [`Sqs::router`] and in process by the other methods.
///
/// In process, a queue that does not exist is [`Code::QueueDoesNotExist`].
#[derive(Debug, Clone)]
pub struct Sqs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    base_url: String,
}

impl Sqs {
    /// Opens the queues kept in `file`, which is made if it is missing, or in memory without one.
    ///
    /// `base_url` is where the router will be served, as `http://127.0.0.1:PORT`.
    pub fn open(file: Option<&Path>, clock: Clock, base_url: String) -> Result<Self, Error> {
        Ok(Self(Arc::new(Inner { store: Store::open(file)?, clock, base_url })))
    }

    /// Creates the queue, or changes its settings and keeps its messages.
    ///
    /// Its dead-letter queue must exist, so create that one first.
    pub fn create_queue(&self, spec: &QueueSpec) -> Result<(), Error> {
        self.store().put_queue(spec, self.now())
    }

    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.0.base_url)
    }

    pub fn router(&self) -> Router {
        serve::router(self.clone())
    }

    /// Takes up to `max` visible messages, at once, and hides them for the queue's visibility timeout.
    pub fn receive(&self, queue: &str, max: u32) -> Result<Vec<Received>, Error> {
        let queue = self.store().queue(queue)?.spec;
        self.store().receive(&queue, max, queue.visibility_timeout_s, self.now())
    }

    /// Deletes what was received. A stale handle deletes nothing and is no error.
    pub fn delete(&self, queue: &str, receipt_handle: &str) -> Result<(), Error> {
        self.store().delete(&Receipt::parse(receipt_handle, queue)?)
    }

    /// Moves what was received to the queue's dead-letter queue, or deletes it where there is none.
    pub fn give_up(&self, queue: &str, receipt_handle: &str) -> Result<(), Error> {
        let spec = self.store().queue(queue)?.spec;
        let receipt = Receipt::parse(receipt_handle, queue)?;
        match spec.redrive {
            Some(redrive) => self.store().bury(&receipt, &redrive.dead_letter_queue, self.now()),
            None => self.store().delete(&receipt),
        }
    }

    /// Shows a message in flight again after `after`. A stale handle changes nothing and is no error.
    pub fn make_visible(&self, queue: &str, receipt_handle: &str, after: Duration) -> Result<(), Error> {
        let now = self.now();
        self.store().hide(&Receipt::parse(receipt_handle, queue)?, now + after, now)?;
        Ok(())
    }

    /// Resolves once a message is visible in this queue: at once if one is.
    ///
    /// No message is missed between a receive that found none and this call. Another consumer may still
    /// be faster, and the message may turn out to be due for the dead-letter queue.
    pub async fn sent(&self, queue: &str) -> Result<(), Error> {
        self.store().queue(queue)?;
        loop {
            // Created before the check, so that no later notification is missed.
            let rung = self.store().bell.notified();
            let Some(at) = self.store().first_visible_at(queue)? else {
                rung.await;
                continue;
            };
            let now = self.now();
            if at <= now {
                return Ok(());
            }
            let patience = match self.0.clock {
                Clock::System => at.since(now),
                // A manual clock sends no notification.
                Clock::Manual(_) => MANUAL_CLOCK_TICK,
            };
            let _ = timeout(patience, rung).await;
        }
    }

    pub fn depth(&self, queue: &str) -> Result<Depth, Error> {
        let queue = self.store().queue(queue)?.spec;
        self.store().depth(&queue, self.now())
    }

    /// The earliest time in the future at which a hidden or delayed message of any queue turns visible.
    pub fn next_visible_at(&self) -> Result<Option<Timestamp>, Error> {
        self.store().next_visible_at(self.now())
    }

    /// Receives, and waits for up to `wait` of real time while there is nothing to receive.
    async fn long_poll(
        &self,
        queue: &QueueSpec,
        max: u32,
        hidden_s: u32,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        let deadline = Instant::now() + wait;
        loop {
            let received = self.store().receive(queue, max, hidden_s, self.now())?;
            if !received.is_empty() || wait.is_zero() {
                return Ok(received);
            }
            match timeout_at(deadline, self.sent(&queue.name)).await {
                Ok(sent) => sent?,
                Err(_elapsed) => return Ok(received),
            }
        }
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}
