//! `genmux trace`: the trace of a job as a tree, from the table.

use anyhow::{Context, Result};
use clap::Args;
use domain::id::JobId;
use domain::time::Timestamp;
use domain::trace::TraceId;
use serde_json::{Value, json};
use shared::operate::trace::{Node, read};

use super::print::Output;
use super::{Local, Target};

#[derive(Debug, Args)]
pub(super) struct Trace {
    id: JobId,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(Trace { id, target }: Trace, local: &Local) -> Result<Output> {
    let opened = target.open(local).await?;
    let now = opened.process.clock.now();
    let root = read(&opened.table(), &id).await?.with_context(|| format!("there is no job {id}"))?;
    let trace = TraceId::of_job(&id);
    let mut lines = vec![format!("trace {trace}"), line(&root, root.start, now)];
    draw(&root, root.start, now, "", &mut lines);
    Ok(Output::new(lines.join("\n"), json!({"trace": trace.to_string(), "root": json_of(&root)})))
}

/// What it is, when it began after the root, and how long it took.
fn line(node: &Node, zero: Timestamp, now: Timestamp) -> String {
    let secs = |from: Timestamp, to: Timestamp| to.since(from).as_secs_f64();
    let (at, took) = (secs(zero, node.start), secs(node.start, node.end.unwrap_or(now)));
    let open = if node.end.is_none() { " so far" } else { "" };
    format!("{}  +{at:.3}s  {took:.3}s{open}", node.name)
}

fn draw(node: &Node, zero: Timestamp, now: Timestamp, indent: &str, lines: &mut Vec<String>) {
    for (index, child) in node.children.iter().enumerate() {
        let is_last = index + 1 == node.children.len();
        let (branch, trunk) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        lines.push(format!("{indent}{branch}{}", line(child, zero, now)));
        draw(child, zero, now, &format!("{indent}{trunk}"), lines);
    }
}

fn json_of(node: &Node) -> Value {
    json!({
        "name": node.name,
        "start": node.start.to_string(),
        "end": node.end.map(|end| end.to_string()),
        "children": node.children.iter().map(json_of).collect::<Vec<_>>(),
    })
}
