//! `genmux jobs`: which jobs live, and what has become of one.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use shared::domain::attempt::Attempt;
use shared::domain::credit::Entry;
use shared::domain::job::State;
use shared::domain::request::JobRequest;
use shared::domain::time::Timestamp;
use shared::domain::verdict::Fault;
use shared::store::audit::History;
use shared::store::due::LiveJob;
use shared::store::jobs::JobStore;
use shared::store::queue::DeadLetter;

use super::target::LOCAL_STACK;
use super::{JobsCommand, Target, dlq};

pub(super) async fn run(command: JobsCommand, target: &Target) -> Result<()> {
    let opened = target.open().await?;
    let now = opened.process.clock.now();
    match command {
        JobsCommand::List { stuck, status, limit } => {
            let wanted = |live: &LiveJob| {
                (!stuck || live.is_stuck(now)) && status.is_none_or(|status| live.job.state == status)
            };
            let live = JobStore::new(opened.table()).live(limit, wanted).await?;
            print!("{}", list(&live.jobs, now));
            for id in &live.unreadable {
                println!("{id}  cannot be read by this release");
            }
        }
        JobsCommand::Show { id, request, stack } => {
            let history = History::read(&opened.table(), &id).await?;
            let history = history.with_context(|| format!("there is no job {id}"))?;
            // Nothing on a deployed table says which queues go with it.
            let stack = if target.table.is_none() { Some(LOCAL_STACK) } else { stack.as_deref() };
            let letters = match stack {
                Some(stack) => dlq::of_job(&opened.process.sqs(), stack, &id).await?,
                None => Vec::new(),
            };
            print!("{}", timeline(&history, &letters));
            if request {
                println!("\n{}", parameters(&history.request)?);
            }
        }
    }
    Ok(())
}

/// The state of that name, if a job in it is live.
pub(super) fn live_state(name: &str) -> Result<State, String> {
    let live = || State::ALL.into_iter().filter(|state| !state.is_terminal());
    live().find(|state| state.name() == name).ok_or_else(|| {
        let names: Vec<_> = live().map(State::name).collect();
        format!("a live job is one of {}", names.join(", "))
    })
}

/// A table of live jobs, with a line of headings.
pub fn list(jobs: &[LiveJob], now: Timestamp) -> String {
    let mut text = row(["ID", "ACCOUNT", "STATE", "ATTEMPTS", "PROVIDER", "AGE", "CHECK_AT", "DEADLINE"]);
    for LiveJob { job, check_at } in jobs {
        text += &row([
            job.id.as_str(),
            job.account.as_str(),
            job.state.name(),
            &job.attempts.len().to_string(),
            job.current().map_or("-", |attempt| attempt.provider.name()),
            &span(now.since(job.created_at)),
            &check_at.to_string(),
            &job.deadline.to_string(),
        ]);
    }
    text
}

fn row([id, account, state, attempts, provider, age, check_at, deadline]: [&str; 8]) -> String {
    format!(
        "{id:<30}  {account:<16}  {state:<11}  {attempts:<8}  {provider:<8}  {age:<4}  {check_at:<24}  {deadline}\n"
    )
}

/// A span in the one unit that says enough.
fn span(span: Duration) -> String {
    match span.as_secs() {
        secs @ 0..120 => format!("{secs}s"),
        secs @ 120..7_200 => format!("{}m", secs / 60),
        secs @ 7_200..172_800 => format!("{}h", secs / 3_600),
        secs => format!("{}d", secs / 86_400),
    }
}

/// What a job is, what happened when, and which of its messages were given up. Nothing that its
/// caller has written is in it.
pub fn timeline(history: &History, letters: &[DeadLetter]) -> String {
    let job = &history.job;
    let mut text = String::new();
    let mut fact = |name: &str, value: String| {
        let _infallible = writeln!(text, "{name:<9} {value}");
    };
    fact("job", job.id.to_string());
    fact("account", job.account.to_string());
    fact("model", job.model.clone());
    let why = job.fault.as_ref().map(|fault| format!(": {}", fault_text(fault)));
    fact("state", format!("{}{} (version {})", job.state.name(), why.unwrap_or_default(), job.version));
    fact("updated", job.updated_at.to_string());
    if let Some(stop) = job.stop {
        fact("stop", format!("asked for by {stop:?}").to_lowercase());
    }
    if let Some(check_at) = history.check_at {
        fact("check_at", check_at.to_string());
    }
    if !job.state.is_terminal() {
        fact("deadline", job.deadline.to_string());
    }
    if let Some(media) = &job.media {
        fact("media", format!("{} ({} bytes)", media.key, media.bytes));
    }
    fact("cost", job.cost().to_string());
    for (at, what) in happened(history, letters) {
        let _infallible = writeln!(text, "{at}  {what}");
    }
    text
}

/// Everything with a time, in the order of the times.
fn happened(history: &History, letters: &[DeadLetter]) -> Vec<(Timestamp, String)> {
    let job = &history.job;
    let mut events = vec![(job.created_at, "created".to_owned())];
    for line in &history.lines {
        let kind = match line.entry {
            Entry::Charge { .. } => "CHARGE",
            Entry::Refund { .. } => "REFUND",
            Entry::Grant { .. } => "GRANT",
        };
        events.push((line.at, format!("{kind} {} credits", line.entry.amount())));
    }
    let mut state = State::Queued;
    for moved in &history.moves {
        let (from, to) = (state.name(), moved.state.name());
        let went = if from == to { to.to_owned() } else { format!("{from} → {to}") };
        let about = if moved.attempt > 0 { format!(", attempt {}", moved.attempt) } else { String::new() };
        events.push((moved.at, format!("{went}: {}{about}", moved.event)));
        state = moved.state;
    }
    for attempt in &job.attempts {
        events.push((attempt.started_at, attempt_text(attempt)));
        if let Some(at) = attempt.ended_at {
            events.push((at, format!("attempt {} ended {}", attempt.number, attempt.phase.name())));
        }
    }
    for letter in letters {
        let kind = letter.kind.as_deref().unwrap_or("a message");
        events.push((letter.sent_at, format!("{kind} sent, and given up: receives {}", letter.receives)));
    }
    events.sort_by_key(|(at, _)| *at);
    events
}

fn attempt_text(attempt: &Attempt) -> String {
    let remote = attempt.remote.as_ref().map_or("-", |remote| &remote.id);
    let cost = attempt.cost.map_or_else(|| "-".to_owned(), |cost| cost.to_string());
    let billed = attempt.billed.name();
    let fault = attempt.fault.as_ref().map_or_else(|| "-".to_owned(), fault_text);
    format!(
        "attempt {} at {} by {}: phase {}, remote {remote}, cost {cost}, billed {billed}, fault {fault}",
        attempt.number,
        attempt.provider,
        attempt.route,
        attempt.phase.name(),
    )
}

fn fault_text(fault: &Fault) -> String {
    let code = fault.code.as_ref().map(|code| format!(" ({code})"));
    let words = fault.words.as_ref().map(|words| format!(": {words}"));
    format!("{}{}{}", fault.class.name(), code.unwrap_or_default(), words.unwrap_or_default())
}

/// What was asked for, as JSON, without prompt and negative prompt.
pub fn parameters(request: &JobRequest) -> Result<String> {
    let mut value = serde_json::to_value(request)?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !name.ends_with("prompt"));
    }
    Ok(serde_json::to_string_pretty(&value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_one_unit() {
        for (secs, told) in [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (172_800, "2d")] {
            assert_eq!(span(Duration::from_secs(secs)), told);
        }
    }

    #[test]
    fn only_live_states_can_be_asked_for() {
        assert_eq!(live_state("running"), Ok(State::Running));
        for name in ["succeeded", "Running", ""] {
            assert!(live_state(name).unwrap_err().contains("queued, dispatching, running, settling"));
        }
    }
}
