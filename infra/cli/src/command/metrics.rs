//! `genmux metrics`: what the table says of the last hour, in numbers.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use domain::figures::{Figures, Spread};
use domain::id::AccountId;
use serde_json::{Value, json};
use shared::boot::metrics::prometheus::{Family, Sample};
use shared::operate::figures;

use super::jobs::{Since, since};
use super::print::{Output, table};
use super::{Local, Target};

#[derive(Debug, Args)]
pub(super) struct Metrics {
    /// Only jobs submitted since then: a length, like 12h or 7d, or a time.
    #[arg(long, value_parser = since, default_value = "1h")]
    since: Since,
    /// Accounts to count beside those that had an active job within a day.
    #[arg(long)]
    account: Vec<AccountId>,
    /// Print Prometheus' text format, for a collector that reads files.
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: Metrics, local: &Local) -> Result<Output> {
    let Metrics { since, account, prometheus, target } = args;
    let opened = target.open(local).await?;
    let now = opened.process.clock.now();
    let start = since.before(now);
    let figures = figures::read(&opened.table(), account, start, now).await?;
    let text = if prometheus { text_of(&families(&figures)) } else { rows(&figures) };
    let mut json = json_of(&figures);
    json["since"] = start.to_string().into();
    Ok(Output::new(text, json))
}

fn rows(figures: &Figures) -> String {
    let span = |span: Option<Duration>| {
        span.map_or_else(|| "-".to_owned(), |span| format!("{:.1}s", span.as_secs_f64()))
    };
    let both = |spread: &Spread| format!("{} / {}", span(spread.p50), span(spread.p95));
    let percent = figures.success_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
    let mut rows = vec![["jobs submitted".to_owned(), figures.submitted.to_string()]];
    if figures.read < figures.submitted {
        rows.push(["  of them read".to_owned(), figures.read.to_string()]);
    }
    rows.extend(figures.jobs.iter().map(|(status, count)| [format!("  {status}"), count.to_string()]));
    rows.push(["success rate".to_owned(), percent]);
    rows.push(["time to done p50 / p95".to_owned(), both(&figures.time_to_done)]);
    rows.push(["time in queue p50 / p95".to_owned(), both(&figures.queue_wait)]);
    rows.extend(figures.errors.iter().map(|(class, count)| [format!("error {class}"), count.to_string()]));
    rows.push(["attempts with an unknown outcome".to_owned(), figures.unknown_attempts.to_string()]);
    rows.push(["refunds".to_owned(), format!("{} ({} credits)", figures.refunds, figures.refunded)]);
    rows.push(["cost".to_owned(), figures.cost.to_string()]);
    rows.push(["callback lag p50 / p95".to_owned(), both(&figures.callback_lag)]);
    rows.push(["longest overdue job".to_owned(), span(Some(figures.overdue_jobs))]);
    rows.push(["longest overdue event".to_owned(), span(Some(figures.overdue_events))]);
    table(["FIGURE", "VALUE"], &rows)
}

fn json_of(figures: &Figures) -> Value {
    let millis =
        |span: Option<Duration>| span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let spread = |spread: &Spread| json!({"count": spread.count, "p50_ms": millis(spread.p50), "p95_ms": millis(spread.p95)});
    json!({
        "submitted": figures.submitted,
        "read": figures.read,
        "jobs": figures.jobs,
        "success_percent": figures.success_percent,
        "time_to_done": spread(&figures.time_to_done),
        "queue_wait": spread(&figures.queue_wait),
        "errors": figures.errors,
        "unknown_attempts": figures.unknown_attempts,
        "refunds": figures.refunds,
        "refunded_micro_credits": figures.refunded.micros(),
        "cost_micro_usd": figures.cost,
        "callback_lag": spread(&figures.callback_lag),
        "overdue_jobs_s": figures.overdue_jobs.as_secs(),
        "overdue_events_s": figures.overdue_events.as_secs(),
    })
}

fn text_of(families: &[Family]) -> String {
    families.iter().map(Family::to_string).collect()
}

/// Gauges: each is of a time, and a later one does not go on from it.
fn families(figures: &Figures) -> Vec<Family> {
    let gauge = |name: &str, help: &str, samples: Vec<Sample>| Family {
        name: format!("genmux_recent_{name}"),
        kind: "gauge",
        help: help.to_owned(),
        samples,
    };
    let one = |value: f64| vec![sample(None, value)];
    let by = |name: &'static str, counts: &std::collections::BTreeMap<&'static str, u32>| {
        counts.iter().map(|(value, count)| sample(Some((name, value)), f64::from(*count))).collect()
    };
    let spread = |spread: &Spread| {
        let both = [("0.5", spread.p50), ("0.95", spread.p95)].into_iter();
        let both = both.filter_map(|(quantile, span)| Some((quantile, span?.as_secs_f64())));
        both.map(|(quantile, secs)| sample(Some(("quantile", quantile)), secs)).collect()
    };
    let ratio = figures.success_percent.map(|percent| sample(None, f64::from(percent) / 100.0));
    vec![
        gauge("jobs", "jobs that were submitted, by status", by("status", &figures.jobs)),
        gauge("success_ratio", "successes of the jobs that ended", ratio.into_iter().collect()),
        gauge(
            "time_to_done_seconds",
            "from the submit of a job to its success",
            spread(&figures.time_to_done),
        ),
        gauge("queue_wait_seconds", "from the submit to the first attempt", spread(&figures.queue_wait)),
        gauge("job_errors", "failed jobs by the class of their error", by("class", &figures.errors)),
        gauge("unknown_attempts", "attempts with an unknown outcome", one(figures.unknown_attempts.into())),
        gauge("refunds", "refunds", one(figures.refunds.into())),
        gauge("refunded_credits", "what was refunded", one(millionths(figures.refunded.micros()))),
        gauge("cost_usd", "what attempts may have cost", one(millionths(figures.cost.0))),
        gauge("callback_lag_seconds", "from an event to its arrival", spread(&figures.callback_lag)),
        gauge(
            "overdue_jobs_seconds",
            "the longest time past a job's check",
            one(figures.overdue_jobs.as_secs_f64()),
        ),
        gauge(
            "overdue_events_seconds",
            "the longest time past an event's or delivery's check",
            one(figures.overdue_events.as_secs_f64()),
        ),
    ]
}

fn sample(label: Option<(&'static str, &str)>, value: f64) -> Sample {
    let labels = label.map(|(name, value)| (name, value.to_owned()));
    Sample { suffix: "", labels: labels.into_iter().collect(), value }
}

#[expect(clippy::cast_precision_loss, reason = "the format has floats alone")]
fn millionths(micros: u64) -> f64 {
    micros as f64 / 1e6
}
