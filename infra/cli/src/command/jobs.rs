//! `genmux jobs`: lists jobs, and shows the timeline of one.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::attempt::Attempt;
use domain::id::JobId;
use domain::job::{Job, State};
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::Fault;
use serde_json::{Value, json};
use shared::edge::dialect::native::JobView;
use shared::operate::jobs::Filter;
use shared::operate::timeline::{self, Event, Wait};
use shared::operate::{dead_letters, jobs};
use shared::store::admission::AdmissionStore;
use shared::store::audit::History;
use shared::store::dead_letters::DeadLetter;
use shared::store::due::LiveJob;
use shared::store::jobs::JobStore;

use super::print::{Output, plain, table};
use super::target::{LOCAL_STACK, Opened};
use super::{JobsCommand, Local, Target};

pub(super) async fn run(command: JobsCommand, target: &Target, local: &Local) -> Result<Output> {
    let opened = target.open(local).await?;
    let now = opened.process.clock.now();
    match command {
        JobsCommand::List { account: Some(account), status, since, limit, .. } => {
            let filter = Filter { status, since: since.map(|since| since.before(now)) };
            let jobs = jobs::of_account(&JobStore::new(opened.table()), &account, filter, limit).await?;
            let jobs: Vec<_> = jobs.iter().map(|job| (job, None)).collect();
            Ok(Output::new(table_of(&jobs, now), json!({"jobs": list_json(&jobs)})))
        }
        JobsCommand::List { stuck, account: None, status, limit, .. } => {
            ensure!(
                status.is_none_or(|status| !status.is_terminal()),
                "jobs that have ended are listed by account: add --account"
            );
            let live = jobs::active(&JobStore::new(opened.table()), stuck, status, limit, now).await?;
            let mut text = list(&live.jobs, now);
            for id in &live.unreadable {
                let _infallible = writeln!(text, "{id}  cannot be read by this release");
            }
            let json = json!({"jobs": list_json(&due(&live.jobs)), "unreadable": live.unreadable});
            Ok(Output::new(text, json))
        }
        JobsCommand::Show { id, request, stack } => {
            // A deployed table does not name its stack.
            let stack = if target.table.is_none() { Some(LOCAL_STACK) } else { stack.as_deref() };
            show(&opened, &id, request, stack).await
        }
    }
}

async fn show(opened: &Opened, id: &JobId, with_request: bool, stack: Option<&str>) -> Result<Output> {
    let now = opened.process.clock.now();
    let history = History::read(&opened.table(), id).await?;
    let history = history.with_context(|| format!("there is no job {id}"))?;
    let dead = match stack {
        Some(stack) => dead_letters::of_job(&opened.process.sqs(), stack, id).await?,
        None => Vec::new(),
    };
    let waits: Vec<_> = if history.job.state() == State::Queued {
        let known = AdmissionStore::new(opened.table()).states(Provider::ALL).await?;
        timeline::waits(&history.request, &known, now).into_iter().map(wait_text).collect()
    } else {
        Vec::new()
    };
    let mut text = text_of(&history, &dead);
    for wait in &waits {
        let _infallible = writeln!(text, "waits     {}", plain(wait));
    }
    let timeline = timeline::events(&history, &dead).into_iter();
    let timeline = timeline.map(|(at, event)| json!({"at": at.to_string(), "event": event_text(event)}));
    let mut json = json!({
        "job": JobView::new(&history.job, None, None),
        "check_at": history.check_at.map(|at| at.to_string()),
        "deadline": history.job.deadline().to_string(),
        "cost_micro_usd": history.job.cost(),
        "timeline": timeline.collect::<Vec<_>>(),
        "waits": waits,
    });
    if with_request {
        let parameters = timeline::parameters(&history.request)?;
        let _infallible = writeln!(text, "\n{parameters:#}");
        json["request"] = parameters;
    }
    Ok(Output::new(text, json))
}

/// How far back a list goes: a time, or a length before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    At(Timestamp),
    Ago(Duration),
}

impl Since {
    pub(super) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(length) => now.minus(length),
        }
    }
}

/// Parses `90s`, `30m`, `12h`, `7d` or a time of RFC 3339.
pub(super) fn since(text: &str) -> Result<Since, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let ago = units.into_iter().find_map(|(unit, secs)| {
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Since::Ago(Duration::from_secs(u64::from(number) * secs)))
    });
    ago.or_else(|| Timestamp::parse(text).map(Since::At)).ok_or_else(|| {
        "must be a length, like 90s, 30m, 12h or 7d, or a time, like 2026-11-30T08:00:00Z".to_owned()
    })
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
    table_of(&due(jobs), now)
}

/// A job, and the time of its next check.
type Listed<'a> = (&'a Job, Option<Timestamp>);

fn due(jobs: &[LiveJob]) -> Vec<Listed<'_>> {
    jobs.iter().map(|live| (&live.job, Some(live.check_at))).collect()
}

fn table_of(jobs: &[Listed<'_>], now: Timestamp) -> String {
    let row = |(job, check_at): &Listed<'_>| {
        [
            job.id().to_string(),
            job.account().to_string(),
            job.state().name().to_owned(),
            job.attempts().len().to_string(),
            job.current().map_or("-", |attempt| attempt.provider.name()).to_owned(),
            span(now.since(job.created_at())),
            check_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            job.deadline().to_string(),
        ]
    };
    let headings = ["ID", "ACCOUNT", "STATE", "ATTEMPTS", "PROVIDER", "AGE", "CHECK_AT", "DEADLINE"];
    table(headings, &jobs.iter().map(row).collect::<Vec<_>>())
}

/// Each as the API shows it, with the time of its next check and its deadline.
fn list_json(jobs: &[Listed<'_>]) -> Vec<Value> {
    let json = |(job, check_at): &Listed<'_>| {
        let mut json = json!(JobView::new(job, None, None));
        json["check_at"] = json!(check_at.map(|at| at.to_string()));
        json["deadline"] = json!(job.deadline().to_string());
        json
    };
    jobs.iter().map(json).collect()
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
        let _infallible = writeln!(text, "{name:<9} {}", plain(&value));
    };
    fact("job", job.id().to_string());
    fact("account", job.account().to_string());
    fact("model", job.model().to_owned());
    let why = job.fault().map(|fault| format!(": {}", fault_text(fault)));
    fact("state", format!("{}{} (version {})", job.state().name(), why.unwrap_or_default(), job.version()));
    fact("updated", job.updated_at().to_string());
    if let Some(stop) = job.stop() {
        fact("stop", format!("requested by {}", stop.name()));
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
        let _infallible = writeln!(text, "{at}  {}", plain(&event_text(event)));
    }
    text
}

fn event_text(event: Event<'_>) -> String {
    match event {
        Event::Created => "created".to_owned(),
        Event::Ledger(entry) => {
            format!("{} {} credits", entry.name().to_uppercase(), entry.amount())
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
    fn a_list_goes_back_by_a_length_or_to_a_time() {
        let now = Timestamp::from_secs(1_800_000_000);
        for (text, secs) in [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(
                since(text).unwrap().before(now),
                Timestamp::from_secs(1_800_000_000 - secs),
                "{text}"
            );
        }
        assert_eq!(since("2027-01-15T08:00:00Z").unwrap().before(now), now);
        for text in ["", "h", "-1h", "1w", "99999999999d", "yesterday", "é"] {
            assert!(since(text).unwrap_err().contains("30m"), "{text}");
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
