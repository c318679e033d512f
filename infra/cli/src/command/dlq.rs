//! `genmux dlq`: lists the messages of the dead-letter queues and moves them back.

use anyhow::Result;
use serde_json::{Value, json};
use shared::operate::dead_letters;
use shared::store::dead_letters::{DeadLetter, QUEUES};

use super::print::{Output, plain};
use super::{DlqCommand, Local, Queues};

pub(super) async fn run(command: DlqCommand, queues: &Queues, local: &Local) -> Result<Output> {
    let (opened, stack) = queues.open(local).await?;
    let sqs = opened.process.sqs();
    let (mut lines, mut list) = (Vec::new(), Vec::new());
    match command {
        DlqCommand::List => {
            for queue in QUEUES {
                let shown = dead_letters::list(&sqs, stack, queue).await?;
                lines.push(format!("dead-letter queue of {queue}: {}", shown.depth));
                lines.extend(shown.first.iter().map(|message| format!("  {}", line(message))));
                let first: Vec<_> = shown.first.iter().map(message_json).collect();
                list.push(json!({"queue": queue, "messages": shown.depth, "first": first}));
            }
        }
        DlqCommand::Redrive { queue: only } => {
            for queue in QUEUES.into_iter().filter(|queue| only.as_deref().is_none_or(|only| only == *queue))
            {
                let moved = dead_letters::redrive(&sqs, stack, queue).await?;
                lines.push(format!("moved back to {queue}: {moved}"));
                list.push(json!({"queue": queue, "moved": moved}));
            }
        }
    }
    Ok(Output::new(lines.join("\n"), json!({"queues": list})))
}

fn line(message: &DeadLetter) -> String {
    let kind = message.kind.as_deref().unwrap_or("unreadable");
    let job = message.job.as_ref().map_or("-", |job| job.as_str());
    plain(&format!("{kind:<12}  {job:<30}  receives {}  sent {}", message.receives, message.sent_at))
}

fn message_json(message: &DeadLetter) -> Value {
    json!({
        "type": message.kind,
        "job": message.job,
        "receives": message.receives,
        "sent_at": message.sent_at.to_string(),
    })
}
