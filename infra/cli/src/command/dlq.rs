//! `genmux dlq`: lists the messages of the dead-letter queues and moves them back.

use anyhow::Result;
use shared::operate::dead_letters;
use shared::store::dead_letters::{DeadLetter, QUEUES};

use super::print::say;
use super::{DlqCommand, Local, Queues};

pub(super) async fn run(command: DlqCommand, queues: &Queues, local: &Local) -> Result<()> {
    let (opened, stack) = queues.open(local).await?;
    let only = match &command {
        DlqCommand::Redrive { queue } => queue.as_deref(),
        DlqCommand::List => None,
    };
    for queue in QUEUES.into_iter().filter(|queue| only.is_none_or(|only| only == *queue)) {
        let sqs = opened.process.sqs();
        if matches!(command, DlqCommand::List) {
            let shown = dead_letters::list(&sqs, stack, queue).await?;
            say!("dead-letter queue of {queue}: {}", shown.depth);
            for message in shown.first {
                say!("  {}", line(&message));
            }
        } else {
            say!("moved back to {queue}: {}", dead_letters::redrive(&sqs, stack, queue).await?);
        }
    }
    Ok(())
}

fn line(message: &DeadLetter) -> String {
    let kind = message.kind.as_deref().unwrap_or("unreadable");
    let job = message.job.as_ref().map_or("-", |job| job.as_str());
    format!("{kind:<12}  {job:<30}  receives {}  sent {}", message.receives, message.sent_at)
}
