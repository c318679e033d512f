//! `genmux jobs`: lists jobs, and shows the timeline of one.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::attempt::Attempt;
use domain::credit::Entry;
use domain::job::{Job, State};
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::Fault;
use shared::operate::timeline::{self, Event, Wait};
use shared::operate::{dead_letters, jobs};
use shared::store::admission::AdmissionStore;
use shared::store::audit::History;
use shared::store::dead_letters::DeadLetter;
use shared::store::due::LiveJob;
use shared::store::jobs::JobStore;

use super::print::{self, say};
use super::target::LOCAL_STACK;
use super::{JobsCommand, Local, Target};

pub(super) async fn run(command: JobsCommand, target: &Target, local: &Local) -> Result<()> {
    let opened = target.open(local).await?;
    let now = opened.process.clock.now();
    match command {
        JobsCommand::List { account: Some(account), status, limit, .. } => {
            let jobs = jobs::of_account(&JobStore::new(opened.table()), &account, status, limit).await?;
            print::text(table(jobs.iter().map(|job| (job, None)), now));
        }
        JobsCommand::List { stuck, account: None, status, limit } => {
            ensure!(
                status.is_none_or(|status| !status.is_terminal()),
                "jobs that have ended are listed by account: add --account"
            );
            let live = jobs::active(&JobStore::new(opened.table()), stuck, status, limit, now).await?;
            print::text(list(&live.jobs, now));
            for id in &live.unreadable {
                say!("{id}  cannot be read by this release");
            }
        }
        JobsCommand::Show { id, request, stack } => {
            let history = History::read(&opened.table(), &id).await?;
            let history = history.with_context(|| format!("there is no job {id}"))?;
            // A deployed table does not name its stack.
            let stack = if target.table.is_none() { Some(LOCAL_STACK) } else { stack.as_deref() };
            let dead = match stack {
                Some(stack) => dead_letters::of_job(&opened.process.sqs(), stack, &id).await?,
                None => Vec::new(),
            };
            print::text(text_of(&history, &dead));
            if history.job.state() == State::Queued {
                let known = AdmissionStore::new(opened.table()).states(Provider::ALL).await?;
                for wait in timeline::waits(&history.request, &known, now) {
                    say!("waits     {}", wait_text(wait));
                }
            }
            if request {
                say!("\n{:#}", timeline::parameters(&history.request)?);
            }
        }
    }
    Ok(())
}

/// Parses a job status.
pub(super) fn state(name: &str) -> Result<State, String> {
    State::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
        let names = State::ALL.map(State::name);
        format!("must be one of {}", names.join(", "))
    })
}

/// A table of live jobs, with a header line.
pub fn list(jobs: &[LiveJob], now: Timestamp) -> String {
    table(jobs.iter().map(|live| (&live.job, Some(live.check_at))), now)
}

/// A table of jobs with the time of each one's next check.
fn table<'a>(jobs: impl Iterator<Item = (&'a Job, Option<Timestamp>)>, now: Timestamp) -> String {
    let mut text = row(["ID", "ACCOUNT", "STATE", "ATTEMPTS", "PROVIDER", "AGE", "CHECK_AT", "DEADLINE"]);
    for (job, check_at) in jobs {
        text += &row([
            job.id().as_str(),
            job.account().as_str(),
            job.state().name(),
            &job.attempts().len().to_string(),
            job.current().map_or("-", |attempt| attempt.provider.name()),
            &span(now.since(job.created_at())),
            &check_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            &job.deadline().to_string(),
        ]);
    }
    text
}

fn row([id, account, state, attempts, provider, age, check_at, deadline]: [&str; 8]) -> String {
    format!(
        "{id:<30}  {account:<16}  {state:<11}  {attempts:<8}  {provider:<8}  {age:<4}  {check_at:<24}  {deadline}\n"
    )
}

/// A duration, rounded down to one unit.
fn span(span: Duration) -> String {
    match span.as_secs() {
        secs @ 0..120 => format!("{secs}s"),
        secs @ 120..7_200 => format!("{}m", secs / 60),
        secs @ 7_200..172_800 => format!("{}h", secs / 3_600),
        secs => format!("{}d", secs / 86_400),
    }
}

/// A job's state, events and dead-lettered messages, without prompt and other texts of its caller.
pub fn text_of(history: &History, dead: &[DeadLetter]) -> String {
    let job = &history.job;
    let mut text = String::new();
    let mut fact = |name: &str, value: String| {
        let _infallible = writeln!(text, "{name:<9} {value}");
    };
    fact("job", job.id().to_string());
    fact("account", job.account().to_string());
    fact("model", job.model().to_owned());
    let why = job.fault().map(|fault| format!(": {}", fault_text(fault)));
    fact("state", format!("{}{} (version {})", job.state().name(), why.unwrap_or_default(), job.version()));
    fact("updated", job.updated_at().to_string());
    if let Some(stop) = job.stop() {
        fact("stop", format!("requested by {stop:?}").to_lowercase());
    }
    if let Some(check_at) = history.check_at {
        fact("check_at", check_at.to_string());
    }
    if !job.state().is_terminal() {
        fact("deadline", job.deadline().to_string());
    }
    if let Some(media) = &job.media() {
        fact("media", format!("{} ({} bytes)", media.key, media.bytes));
    }
    fact("cost", job.cost().to_string());
    for (at, event) in timeline::events(history, dead) {
        let _infallible = writeln!(text, "{at}  {}", event_text(event));
    }
    text
}

fn event_text(event: Event<'_>) -> String {
    match event {
        Event::Created => "created".to_owned(),
        Event::Ledger(entry) => {
            let kind = match entry {
                Entry::Charge { .. } => "CHARGE",
                Entry::Refund { .. } => "REFUND",
                Entry::Grant { .. } => "GRANT",
            };
            format!("{kind} {} credits", entry.amount())
        }
        Event::Moved(from, moved) => {
            let (from, to) = (from.name(), moved.state.name());
            let step = if from == to { to.to_owned() } else { format!("{from} → {to}") };
            let about =
                if moved.attempt > 0 { format!(", attempt {}", moved.attempt) } else { String::new() };
            format!("{step}: {}{about}", moved.event)
        }
        Event::AttemptStarted(attempt) => attempt_text(attempt),
        Event::AttemptEnded(attempt) => {
            format!("attempt {} ended {}", attempt.number, attempt.phase.name())
        }
        Event::DeadLetter(message) => {
            let kind = message.kind.as_deref().unwrap_or("a message");
            format!("{kind} sent, now in the dead-letter queue: receives {}", message.receives)
        }
    }
}

fn wait_text(wait: Wait) -> String {
    match wait {
        Wait::Paused { provider, since } => {
            format!("{provider} is paused since {since}: `genmux providers resume {provider}`")
        }
        Wait::BreakerOpen { provider, open } => {
            format!("{provider}'s breaker is open since {} ({})", open.since, open.why.name())
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_one_unit() {
        for (secs, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (172_800, "2d")] {
            assert_eq!(span(Duration::from_secs(secs)), text);
        }
    }

    #[test]
    fn an_unknown_state_is_rejected_with_the_allowed_ones() {
        assert_eq!(state("failed"), Ok(State::Failed));
        for name in ["Running", ""] {
            assert!(state(name).unwrap_err().contains("queued, dispatching, running, settling"));
        }
    }
}
