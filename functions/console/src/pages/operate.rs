//! Pages of the operator: providers, active jobs, alarms, accounts. They show no prompt.

use domain::id::AccountId;
use domain::policy::alarm::Alarm;
use domain::policy::health::Condition;
use domain::policy::rules::Rule;
use domain::policy::watch::Watch;
use domain::provider::Provider;
use lambda_http::{Body, Response};
use maud::{Markup, html};
use shared::edge::http::Problem;
use shared::operate::providers::Overview;
use shared::operate::{accounts, jobs, providers as operate};
use shared::store::dead_letters::QUEUES;
use shared::store::due::LiveJob;

use crate::Page;
use crate::layout::{Content, credits, live, status, table, time};

const ACTIVE_MAX: usize = 100;

pub(crate) async fn providers(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let shown = operate::list(&page.app.admission, page.app.clock.now()).await?;
    let used = shown.iter().filter(|shown| page.app.providers.contains(&shown.provider));
    let rows: Vec<_> = used.map(|shown| row(page, shown)).collect();
    let headings =
        ["Provider", "Health", "Circuit breaker", "Paused", "Slots in use", "Retries left", "Action"];
    let body = html! {
        (live(&table("Providers", headings, &rows, "No provider is configured."), true))
        p.quiet { "A pause takes effect within 60 s. Running attempts continue." }
    };
    Ok(page
        .layout
        .page(page.visitor, Content { title: "Providers", entry: "operate/providers", media: None, body }))
}

fn row(page: &Page<'_>, shown: &Overview) -> [Markup; 7] {
    let health = shown.health.map_or("unknown", Condition::name);
    let (action, name) = if shown.paused_at.is_some() { ("resume", "Resume") } else { ("pause", "Pause") };
    let target = page.layout.at(&format!("operate/providers/{}/{action}", shown.provider));
    [
        html! { (shown.provider) },
        html! { span class={ "status " (health) } { (health) } },
        html! { @match shown.open { Some(open) => { span.bad { "open" } " (" (open.why.name()) ") since " (time(open.since)) } None => "closed" } },
        html! { @if let Some(at) = shown.paused_at { "since " (time(at)) } @else { "no" } },
        html! { (shown.slots) },
        html! { (shown.retries) },
        html! { form method="post" action=(target) { button.plain type="submit" aria-label={ (name) " " (shown.provider) } { (name) } } },
    ]
}

/// `POST operate/providers/{name}/pause|resume`.
pub(crate) async fn pause(page: &Page<'_>, name: &str, action: &str) -> Result<Response<Body>, Problem> {
    page.check_write()?;
    let provider: Provider = name.parse().map_err(|_unknown| Problem::not_found())?;
    let pause = match action {
        "pause" => true,
        "resume" => false,
        _ => return Err(Problem::not_found()),
    };
    let (stamp, now) = (page.app.random.u64(), page.app.clock.now());
    operate::pause(&page.app.admission, provider, pause, stamp, now).await?;
    Ok(page.layout.redirect("operate/providers"))
}

/// Active jobs, longest overdue first.
pub(crate) async fn active(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let now = page.app.clock.now();
    let stuck = page.form.get("stuck").is_some();
    let found = jobs::active(&page.app.jobs, stuck, None, ACTIVE_MAX, now).await?;
    let row = |live: &LiveJob| {
        let job = &live.job;
        [
            html! { code { (job.id()) } },
            html! { (job.account()) },
            status(job.state()),
            html! { (job.current().map_or("–", |attempt| attempt.provider.name())) },
            html! { (job.attempts().len()) },
            time(job.created_at()),
            time(live.check_at),
            time(job.deadline()),
        ]
    };
    let rows: Vec<_> = found.jobs.iter().map(row).collect();
    let headings = ["Job", "Account", "Status", "Provider", "Attempts", "Created", "Next check", "Deadline"];
    let here = page.layout.at("operate/jobs");
    let body = html! {
        p { @if stuck { "Only jobs that are stuck: ten minutes past their check, or past their deadline. " a href=(here) { "All active jobs" } }
            @else { a href={ (here) "?stuck=1" } { "Only stuck jobs" } } }
        (live(&table("Active jobs", headings, &rows, if stuck { "No job is stuck." } else { "No job is active." }), true))
        @for id in &found.unreadable { p.bad { code { (id) } " cannot be read by this release." } }
        p.quiet { "At most " (ACTIVE_MAX) " are shown. " code { "genmux jobs show JOB --table …" } " prints the timeline of one, " code { "genmux dlq list" } " the dead-letter queues, and " code { "genmux audit" } " checks every row and file." }
    };
    Ok(page
        .layout
        .page(page.visitor, Content { title: "Active jobs", entry: "operate/jobs", media: None, body }))
}

/// The dead-letter queues and the rules over recent jobs, as `health` has seen them in the last minutes.
pub(crate) async fn alarms(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let watch = page.app.watch.get().await?;
    let row = |name: &str, alarm: &str, calm: &str, bad: &str| {
        let raised_at = watch.alarms.get(alarm).and_then(Alarm::raised_at);
        [
            html! { (name) },
            html! { @if raised_at.is_some() { span.status.failed { (bad) } } @else { (calm) } },
            html! { @if let Some(at) = raised_at { (time(at)) } },
        ]
    };
    let queues = QUEUES.map(|queue| row(queue, &Watch::dead_letters(queue), "no alarm", "has messages"));
    let rules = Rule::ALL.map(|rule| row(rule.event(), rule.event(), "no alarm", "raised"));
    let body = html! {
        (live(&html! {
            h2 { "Dead-letter queues" }
            (table("Dead-letter queues", ["Queue", "State", "Since (UTC)"], &queues, ""))
            h2 { "Rules over recent jobs" }
            (table("Rules", ["Event", "State", "Since (UTC)"], &rules, ""))
            @if let Some(at) = watch.judged_at { p.quiet { "The rules were judged at " (time(at)) " UTC." } }
        }, true))
        p.quiet { "A queue is looked at every minute, and an alarm is over after three calm looks. " code { "genmux dlq list" } " shows the messages, " code { "genmux dlq redrive" } " moves them back. " code { "genmux audit" } " checks every row and file; its result is kept nowhere." }
    };
    Ok(page
        .layout
        .page(page.visitor, Content { title: "Alarms", entry: "operate/alarms", media: None, body }))
}

/// One account: its balance, settings and newest jobs.
pub(crate) async fn account(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let wanted = page.form.get("account");
    let id: Option<AccountId> = wanted.and_then(|text| text.parse().ok());
    let found = match &id {
        Some(id) => Some(facts(page, id).await?),
        None => None,
    };
    let body = html! {
        form.row method="get" action=(page.layout.at("operate/accounts")) {
            div { label for="account" { "Account" } input #account name="account" placeholder="acct_…" value=(wanted.unwrap_or_default()); }
            button type="submit" { "Show" }
        }
        @if wanted.is_some() && id.is_none() { p.bad role="alert" { "An account is " code { "acct_" } " and characters of a-z and 0-9." } }
        @if let Some(found) = found { (found) }
    };
    Ok(page
        .layout
        .page(page.visitor, Content { title: "Accounts", entry: "operate/accounts", media: None, body }))
}

async fn facts(page: &Page<'_>, id: &AccountId) -> Result<Markup, Problem> {
    let app = page.app;
    let shown = accounts::show(&app.ledger, &app.accounts, id).await?;
    let newest = app.jobs.list(id, 20, None).await?;
    let row = |job: &domain::job::Job| {
        [
            html! { code { (job.id()) } },
            status(job.state()),
            html! { (job.model()) },
            credits(job.price()),
            time(job.created_at()),
        ]
    };
    let rows: Vec<_> = newest.iter().map(row).collect();
    let policy = &shown.policy;
    Ok(html! {
        dl.facts {
            dt { "Balance" } dd { (shown.balance) }
            dt { "Active jobs at most" } dd { (policy.live_jobs_max.map_or_else(|| "default".to_owned(), |max| max.to_string())) }
            dt { "Losses per day at most" } dd { (policy.loss_per_day.map_or_else(|| "no limit".to_owned(), |max| max.to_string())) }
            dt { "Low balance" } dd { (policy.low_below.map_or_else(|| "no mark".to_owned(), |mark| format!("below {mark} credits"))) }
        }
        h2 { "Newest jobs" }
        (table("Newest jobs", ["Job", "Status", "Model", "Price", "Created (UTC)"], &rows, "This account has no job."))
        p.quiet { code { "genmux accounts set " (id) } " changes the settings, " code { "genmux credits grant " (id) " AMOUNT" } " adds credits." }
    })
}
