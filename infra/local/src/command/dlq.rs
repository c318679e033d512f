//! `genmux dlq`: lists the messages of the dead-letter queues and moves them back.

use anyhow::Result;
use domain::id::JobId;
use shared::store::Sqs;
use shared::store::dead_letters::{DeadLetter, DeadLetters, QUEUES};

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
            say!("dead-letter queue of {queue}: {}", dead.depth().await?);
            for message in dead.peek().await? {
                say!("  {}", line(&message));
            }
        } else {
            say!("moved back to {queue}: {}", dead.redrive().await?);
        }
    }
    Ok(())
}

/// The messages about one job in a stack's dead-letter queues.
pub(super) async fn of_job(sqs: &Sqs, stack: &str, job: &JobId) -> Result<Vec<DeadLetter>> {
    let mut found = Vec::new();
    for queue in QUEUES {
        found.extend(DeadLetters::of(sqs.clone(), stack, queue).await?.of_job(job).await?);
    }
    Ok(found)
}

fn line(message: &DeadLetter) -> String {
    let kind = message.kind.as_deref().unwrap_or("unreadable");
    let job = message.job.as_ref().map_or("-", |job| job.as_str());
    format!("{kind:<12}  {job:<30}  receives {}  sent {}", message.receives, message.sent_at)
}
