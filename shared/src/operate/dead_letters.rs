//! The dead-letter queues of a stack: what is in them, and its way back.

use domain::id::JobId;

use crate::store::dead_letters::{DeadLetter, DeadLetters, QUEUES};
use crate::store::{Error, Sqs};

/// What an operator sees of a dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Approximate number of messages.
    pub depth: u64,
    /// The first messages, which stay in the queue.
    pub first: Vec<DeadLetter>,
}

/// Shows the dead-letter queue of one of a stack's [`QUEUES`].
pub async fn list(sqs: &Sqs, stack: &str, queue: &str) -> Result<Overview, Error> {
    let dead = DeadLetters::of(sqs.clone(), stack, queue).await?;
    Ok(Overview { depth: dead.depth().await?, first: dead.peek().await? })
}

/// Moves the messages back to one of a stack's [`QUEUES`], and returns their approximate number.
pub async fn redrive(sqs: &Sqs, stack: &str, queue: &str) -> Result<u64, Error> {
    DeadLetters::of(sqs.clone(), stack, queue).await?.redrive().await
}

/// The messages about one job in all dead-letter queues of a stack.
pub async fn of_job(sqs: &Sqs, stack: &str, job: &JobId) -> Result<Vec<DeadLetter>, Error> {
    let mut found = Vec::new();
    for queue in QUEUES {
        found.extend(DeadLetters::of(sqs.clone(), stack, queue).await?.of_job(job).await?);
    }
    Ok(found)
}
