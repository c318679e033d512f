//! Where verdicts go: those with a file, and all others.

use std::time::Duration;

use super::Error;
use super::queue::{Message, Queue};
use domain::provider::Provider;

/// The two queues. Bytes take their time; money, failures and refunds do not wait behind them.
#[derive(Debug, Clone)]
pub struct Verdicts {
    pub settle: Queue,
    pub fetch: Queue,
}

impl Verdicts {
    /// Sends what [`Message::verdict`] made, to the queue that it is for.
    pub async fn send(&self, message: &Message, provider: Provider) -> Result<(), Error> {
        let queue = if matches!(message, Message::Fetch { .. }) { &self.fetch } else { &self.settle };
        queue.send(message, Some(provider.name()), Duration::ZERO).await
    }
}
