//! `genmux dlq`: look at dead letters, and have them delivered again.

use anyhow::Result;
use domain::id::JobId;
use shared::store::Sqs;
use shared::store::queue::{DeadLetter, DeadLetters, QUEUES};

use super::print::say;
use super::{DlqCommand, Local, Queues};

pub(super) async fn run(command: DlqCommand, queues: &Queues, local: &Local) -> Result<()> {
    let (opened, stack) = queues.open(local).await?;
    let only = match &command {
        DlqCommand::Redrive { queue } => queue.as_deref(),
        DlqCommand::List => None,
    };
    for queue in QUEUES.into_iter().filter(|queue| only.is_none_or(|only| only == *queue)) {
        let dead = DeadLetters::of(opened.process.sqs(), stack, queue).await?;
        if matches!(command, DlqCommand::List) {
            say!("dead letters of {queue}: {}", dead.depth().await?);
            for letter in dead.peek().await? {
                say!("  {}", line(&letter));
            }
        } else {
            say!("dead letters of {queue} on their way back: {}", dead.redrive().await?);
        }
    }
    Ok(())
}

/// What lies in a stack's dead-letter queues about one job.
pub(super) async fn of_job(sqs: &Sqs, stack: &str, job: &JobId) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for queue in QUEUES {
        letters.extend(DeadLetters::of(sqs.clone(), stack, queue).await?.of_job(job).await?);
    }
    Ok(letters)
}

fn line(letter: &DeadLetter) -> String {
    let kind = letter.kind.as_deref().unwrap_or("unreadable");
    let job = letter.job.as_ref().map_or("-", |job| job.as_str());
    format!("{kind:<12}  {job:<30}  receives {}  sent {}", letter.receives, letter.sent_at)
}
