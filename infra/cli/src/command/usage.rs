//! `genmux usage`: what jobs brought and cost, by day or hour, group and provider.

use anyhow::Result;
use clap::Args;
use domain::credit::{Credits, MicroUsd};
use domain::id::AccountId;
use domain::time::Timestamp;
use domain::usage::{AtProvider, Group, Sums, Usage as Found, Width, project};
use serde_json::{Value, json};
use shared::store::usage::UsageStore;

use super::jobs::{Since, since};
use super::print::{Output, table};
use super::{Local, Target};

/// Jobs that are read at a time.
const JOBS_MAX: i32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct Usage {
    /// Only the jobs of this account. Without it, the whole table is read.
    #[arg(long)]
    account: Option<AccountId>,
    /// Only jobs charged since then: a length, like 12h or 7d, or a time. Default: the start of this month.
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// The length of a bucket: 1h or 1d.
    #[arg(long, default_value = "1d", value_parser = width)]
    every: Width,
    /// Group by model, provider, key, status or metadata.NAME. Once for each group: a name may have a comma.
    #[arg(long, value_name = "GROUP", value_parser = group)]
    by: Vec<Group>,
    #[command(flatten)]
    target: Target,
}

/// Parses the length of a bucket.
fn width(text: &str) -> Result<Width, String> {
    let found = Width::ALL.into_iter().find(|width| width.name() == text);
    found.ok_or_else(|| "must be 1h or 1d".to_owned())
}

fn group(text: &str) -> Result<Group, String> {
    text.parse().map_err(|_none| format!("must be one of {}", Group::NAMES.join(", ")))
}

pub(super) async fn run(args: Usage, local: &Local) -> Result<Output> {
    let Usage { account, since, every, by, target } = args;
    let opened = target.open(local).await?;
    let now = opened.process.clock.now();
    let month = now.month();
    let start = since.map(|since| since.before(now)).or(month.map(|(start, _)| start)).unwrap_or(now);
    let start = every.start(start);
    let mut usage = Found::new(every, by.clone());
    let store = UsageStore::new(opened.table());
    match &account {
        Some(account) => {
            let mut from = (start, None);
            loop {
                let (records, next) = store.page(account, &from, now, JOBS_MAX).await?;
                records.iter().for_each(|record| usage.add(record));
                let Some(next) = next else { break };
                from = next;
            }
        }
        None => store.scan(start, now, |record| usage.add(record)).await?,
    }
    let projection = month.filter(|(month, _)| *month == start);
    let projection = projection.map(|(start, end)| project(usage.net(), start, now, end));
    Ok(output(&usage, every, (start, now), &by, projection))
}

fn output(
    usage: &Found,
    width: Width,
    (start, end): (Timestamp, Timestamp),
    groups: &[Group],
    projection: Option<u64>,
) -> Output {
    let (mut rows, mut results) = (Vec::new(), Vec::new());
    let starts = std::iter::successors(Some(start), |start| Some(*start + width.times(1)));
    for start in starts.take_while(|start| *start < end) {
        for (values, sums) in usage.results(start) {
            rows.push(row(start, values, sums));
            let mut result = sums_json(sums);
            result["start"] = start.to_string().into();
            for (group, value) in groups.iter().zip(values) {
                result[group.to_string()] = json!(value);
            }
            results.push(result);
        }
    }
    let heads =
        ["START", "GROUP", "JOBS", "SUCCEEDED", "SECONDS", "CHARGED", "REFUNDED", "COST", "LOST", "MARGIN"];
    let of_provider: Vec<_> =
        usage.providers().iter().map(|(name, at)| provider_row(name.name(), at)).collect();
    let providers = table(["PROVIDER", "ATTEMPTS", "COST", "LOST"], &of_provider);
    let mut text = format!("{}\n{providers}", table(heads, &rows));
    if let Some(projected) = projection {
        text.push_str(&format!(
            "\nthis month comes to {} credits if it goes on like this\n",
            Credits::from_micros(projected)
        ));
    }
    let providers = usage.providers().iter().map(|(name, AtProvider { attempts, cost, lost })| {
        json!({"provider": name, "attempts": attempts, "cost_micro_usd": cost, "lost_micro_usd": lost})
    });
    let json = json!({
        "results": results,
        "providers": providers.collect::<Vec<_>>(),
        "projected_micro_credits": projection,
    });
    Output::new(text, json)
}

fn row(start: Timestamp, values: &[Option<String>], sums: &Sums) -> [String; 10] {
    let values: Vec<_> = values.iter().map(|value| value.as_deref().unwrap_or("-")).collect();
    [
        start.to_string(),
        if values.is_empty() { "-".to_owned() } else { values.join(" ") },
        sums.jobs.to_string(),
        sums.succeeded.to_string(),
        sums.seconds.to_string(),
        Credits::from_micros(sums.charged).to_string(),
        Credits::from_micros(sums.refunded).to_string(),
        sums.cost.to_string(),
        sums.lost.to_string(),
        dollars(sums.margin_micro_usd()),
    ]
}

fn provider_row(name: &str, at: &AtProvider) -> [String; 4] {
    [name.to_owned(), at.attempts.to_string(), at.cost.to_string(), at.lost.to_string()]
}

/// An amount that may be below zero.
fn dollars(micro_usd: i128) -> String {
    let amount = MicroUsd(u64::try_from(micro_usd.unsigned_abs()).unwrap_or(u64::MAX));
    if micro_usd < 0 { format!("-{amount}") } else { amount.to_string() }
}

fn sums_json(sums: &Sums) -> Value {
    let mut json = json!({
        "cost_micro_usd": sums.cost,
        "lost_micro_usd": sums.lost,
        "margin_micro_usd": i64::try_from(sums.margin_micro_usd()).ok(),
    });
    for (name, sum) in Sums::NAMES.into_iter().zip(sums.values()) {
        json[name] = sum.into();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_an_amount_below_zero() {
        assert_eq!(
            (dollars(1_500_000), dollars(-1_500_000)),
            ("$1.500000".to_owned(), "-$1.500000".to_owned())
        );
    }
}
