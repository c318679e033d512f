//! `genmux jobs`: lists jobs, and shows the timeline of one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::attempt::Attempt;
use domain::catalog::Catalog;
use domain::credit::Entry;
use domain::id::AccountId;
use domain::job::{Job, State};
use domain::provider::Provider;
use domain::request::JobRequest;
use domain::time::Timestamp;
use domain::verdict::Fault;
use shared::store::admission::{AdmissionStore, ProviderState};
use shared::store::audit::History;
use shared::store::dead_letters::DeadLetter;
use shared::store::due::LiveJob;
use shared::store::jobs::JobStore;

use super::print::{self, say};
use super::target::LOCAL_STACK;
use super::{JobsCommand, Local, Target, dlq};

/// How many jobs of an account are read at once.
const PAGE: i32 = 100;

pub(super) async fn run(command: JobsCommand, target: &Target, local: &Local) -> Result<()> {
    let opened = target.open(local).await?;
    let now = opened.process.clock.now();
    match command {
        JobsCommand::List { account: Some(account), status, limit, .. } => {
            let jobs = of_account(&JobStore::new(opened.table()), &account, status, limit).await?;
            print::text(table(jobs.iter().map(|job| (job, None)), now));
        }
        JobsCommand::List { stuck, account: None, status, limit } => {
            ensure!(
                status.is_none_or(|status| !status.is_terminal()),
                "jobs that have ended are listed by account: add --account"
            );
            let wanted = |live: &LiveJob| {
                (!stuck || live.is_stuck(now)) && status.is_none_or(|status| live.job.state() == status)
            };
            let live = JobStore::new(opened.table()).live(limit, wanted).await?;
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
                Some(stack) => dlq::of_job(&opened.process.sqs(), stack, &id).await?,
                None => Vec::new(),
            };
            print::text(timeline(&history, &dead));
            if history.job.state() == State::Queued {
                let known = AdmissionStore::new(opened.table()).states(Provider::ALL).await?;
                for reason in waits(&history.request, &known, now) {
                    say!("waits     {reason}");
                }
            }
            if request {
                say!("\n{}", parameters(&history.request)?);
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

/// Up to `limit` jobs of an account with this status, newest first.
async fn of_account(
    store: &JobStore,
    account: &AccountId,
    status: Option<State>,
    limit: usize,
) -> Result<Vec<Job>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    while found.len() < limit {
        let page = store.list(account, PAGE, cursor).await?;
        let Some(last) = page.last() else { break };
        cursor = Some((last.created_at(), last.id().clone()));
        found.extend(page.into_iter().filter(|job| status.is_none_or(|status| job.state() == status)));
    }
    found.truncate(limit);
    Ok(found)
}

/// Why a queued job waits: which providers that could run it are paused or have an open breaker.
pub fn waits(request: &JobRequest, known: &BTreeMap<Provider, ProviderState>, now: Timestamp) -> Vec<String> {
    let catalog = Catalog::for_providers(Provider::ALL);
    let names = std::iter::once(&request.model).chain(&request.fallback_models);
    let routes = names.filter_map(|name| catalog.model(name)).flat_map(|model| &model.routes);
    let mut capable: Vec<Provider> =
        routes.filter(|route| request.fits(route)).map(|route| route.provider).collect();
    capable.retain(|provider| !request.pin || request.provider.is_none_or(|pinned| pinned == *provider));
    capable.sort();
    capable.dedup();
    let reason = |provider: &Provider| {
        let admission = known.get(provider)?.admission.as_ref()?;
        if let Some(since) = admission.paused_at {
            return Some(format!("{provider} is paused since {since}: `genmux providers resume {provider}`"));
        }
        let open = admission.breaker.open.filter(|_| admission.breaker.rejects(now))?;
        Some(format!("{provider}'s breaker is open since {} ({})", open.since, open.why.name()))
    };
    capable.iter().filter_map(reason).collect()
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
pub fn timeline(history: &History, dead: &[DeadLetter]) -> String {
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
    for (at, what) in events(history, dead) {
        let _infallible = writeln!(text, "{at}  {what}");
    }
    text
}

/// All events with their times, oldest first.
fn events(history: &History, dead: &[DeadLetter]) -> Vec<(Timestamp, String)> {
    let job = &history.job;
    let mut events = vec![(job.created_at(), "created".to_owned())];
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
        let step = if from == to { to.to_owned() } else { format!("{from} → {to}") };
        let about = if moved.attempt > 0 { format!(", attempt {}", moved.attempt) } else { String::new() };
        events.push((moved.at, format!("{step}: {}{about}", moved.event)));
        state = moved.state;
    }
    for attempt in job.attempts() {
        events.push((attempt.started_at, attempt_text(attempt)));
        if let Some(at) = attempt.ended_at {
            events.push((at, format!("attempt {} ended {}", attempt.number, attempt.phase.name())));
        }
    }
    for message in dead {
        let kind = message.kind.as_deref().unwrap_or("a message");
        let text = format!("{kind} sent, now in the dead-letter queue: receives {}", message.receives);
        events.push((message.sent_at, text));
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

/// The request as JSON, without prompt and negative prompt.
pub fn parameters(request: &JobRequest) -> Result<String> {
    let mut value = serde_json::to_value(request)?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !name.ends_with("prompt"));
    }
    Ok(serde_json::to_string_pretty(&value)?)
}

#[cfg(test)]
mod tests {
    use domain::policy::admission::Admission;

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

    #[test]
    fn a_queued_job_waits_for_capable_providers_that_are_paused() {
        let now = Timestamp::from_secs(1_800_000_000);
        let order = |pin: bool| {
            let provider = pin.then_some("runway");
            let order =
                serde_json::json!({"model": "veo-3.1", "prompt": "a", "provider": provider, "pin": pin});
            let catalog = Catalog::for_providers(Provider::ALL);
            JobRequest::new(serde_json::from_value(order).unwrap(), &catalog).unwrap()
        };
        let paused = |provider| {
            let admission = Admission::new(now).paused(true, now).expect("it was not paused");
            (provider, ProviderState { admission: Some(admission), ..ProviderState::default() })
        };
        let known = BTreeMap::from([paused(Provider::Fal), paused(Provider::Luma)]);
        let reasons = waits(&order(false), &known, now);
        assert!(reasons.len() == 1 && reasons[0].starts_with("fal is paused since "), "{reasons:?}");
        assert_eq!(waits(&order(true), &known, now), Vec::<String>::new());
    }
}
