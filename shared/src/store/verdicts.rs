//! Queues for verdicts: those with a file, and all others.

use std::time::Duration;

use super::Error;
use super::queue::{Message, Queue};
use domain::provider::Provider;

/// The two queues. Failures and refunds do not wait behind downloads.
#[derive(Debug, Clone)]
pub struct Verdicts {
    pub settle: Queue,
    pub fetch: Queue,
}

impl Verdicts {
    /// Sends a message of [`Message::verdict`] to its queue.
    pub async fn send(&self, message: &Message, provider: Provider) -> Result<(), Error> {
        let queue = if matches!(message, Message::Fetch { .. }) { &self.fetch } else { &self.settle };
        queue.send(message, Some(provider.name()), Duration::ZERO).await
    }
}
