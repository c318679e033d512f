//! `genmux bills`: a provider's bill against the attempts on record.

mod file;

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use domain::bill::{Comparison, Finding, Kind, Known, Line, Period, compare};
use domain::credit::MicroUsd;
use domain::provider::Provider;
use domain::time::Timestamp;
use serde_json::{Value, json};
use shared::boot::Env;
use shared::boot::config::{base_url_variable, provider_client};
use shared::operate::bills::{Query, around, endpoints, named};
use shared::provider::{BillOf, ProviderClient, adapter};

use self::file::{BYTES_MAX, Columns, read};
use super::jobs::{Since, since};
use super::print::{self, Output, table};
use super::{Local, Target};

/// How far back a list of the provider is read where the command line does not say.
const LIST_SINCE: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug, Args)]
pub(super) struct Bills {
    #[command(subcommand)]
    command: BillsCommand,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum BillsCommand {
    /// List every remote job of a bill that no attempt accounts for at the cost on record, and every billed
    /// attempt that the bill lacks. Exit 1 if there is any.
    Compare(Compare),
}

#[derive(Debug, Args)]
struct Compare {
    #[arg(long)]
    provider: Provider,
    /// The bill: CSV with a line of headings, or JSON with a list of objects. Amounts are in dollars.
    #[arg(long, required_unless_present = "from_api")]
    file: Option<PathBuf>,
    /// Columns of the file with other headings than the usual: id=…,cost=…,at=…,currency=…
    #[arg(long, requires = "file")]
    columns: Option<Columns>,
    /// Ask the provider, with its key in the environment: fal (with `FAL_ADMIN_KEY` for its bill, else for what it
    /// made), replicate and minimax (what they made).
    #[arg(long, conflicts_with = "file")]
    from_api: bool,
    /// The start of the period: a length before now, like 12h or 7d, or a time. Default: the first time in the
    /// file; from the provider, a day before now.
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// The end of the period, exclusive. Default: the last time in the file, or the end of its last day; from the
    /// provider, now.
    #[arg(long, value_parser = since)]
    until: Option<Since>,
    /// Dollars by which a cost may differ.
    #[arg(long, default_value = "0.000001", value_parser = dollars)]
    tolerance: MicroUsd,
    /// Compare the attempts at simulators instead of those at the provider.
    #[arg(long)]
    simulated: bool,
}

fn dollars(text: &str) -> Result<MicroUsd, String> {
    MicroUsd::from_decimal(text).ok_or_else(|| "must be an amount of dollars, like 0.01".to_owned())
}

pub(super) async fn run(args: Bills, local: &Local) -> Result<Output> {
    let Bills { command: BillsCommand::Compare(asked), target } = args;
    let of_file = match &asked.file {
        Some(file) => Some(of_file(file, &asked).with_context(|| format!("{} is no bill", file.display()))?),
        None => None,
    };
    let opened = target.open(local).await?;
    let (now, table) = (opened.process.clock.now(), opened.table());
    let period = asked.period(of_file.as_deref(), now)?;
    let query = Query { provider: asked.provider, simulated: asked.simulated, period };
    let mut known = around(&table, query).await?;
    let lines = match of_file {
        Some(lines) => lines,
        None => of_provider(query, local, &mut known, now).await?,
    };
    known.extend(named(&table, query, &lines, &known).await?);
    Ok(output(asked.provider, period, &compare(&lines, &known, period, asked.tolerance)))
}

impl Compare {
    fn period(&self, of_file: Option<&[Line]>, now: Timestamp) -> Result<Period> {
        let times = || of_file.unwrap_or_default().iter().filter_map(|line| line.at);
        let (first, last) = match of_file {
            Some(_) => (times().map(|at| at.since).min(), times().map(|at| at.until).max()),
            None => (Some(now.minus(LIST_SINCE)), Some(now)),
        };
        let since = self.since.map(|since| since.before(now)).or(first);
        let until = self.until.map(|until| until.before(now)).or(last);
        let (since, until) =
            since.zip(until).context("the file has no times: name the period with --since and --until")?;
        ensure!(since < until, "the period must begin before it ends: {since} is not before {until}");
        let listed_for = adapter(self.provider).listed_for().filter(|_| self.from_api);
        if let Some(length) = listed_for {
            let days = length.as_secs() / 86_400;
            ensure!(since >= now.minus(length), "{} lists what it made for {days} days", self.provider);
        }
        Ok(Period { since, until })
    }
}

fn of_file(path: &Path, asked: &Compare) -> Result<Vec<Line>> {
    let (file, mut bytes) = (File::open(path)?, Vec::new());
    // One byte more shows that it is too large.
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    read(&bytes, asked.provider, &asked.columns.clone().unwrap_or_default())
}

/// The provider's own list. What it does not have of a route is missing in no list: of `known`, such attempts stay
/// if it names them.
async fn of_provider(
    query: Query,
    local: &Local,
    known: &mut Vec<Known>,
    now: Timestamp,
) -> Result<Vec<Line>> {
    let Query { provider, period, .. } = query;
    let catalog = local.own.catalog()?;
    let endpoints = endpoints(&catalog, provider, known);
    let endpoints = endpoints.iter().map(String::as_str).collect();
    let env = Env::from_process();
    let bill_key = adapter(provider).setup().bill_key.and_then(|name| env.get(name));
    let of = BillOf { period, endpoints, is_admin: bill_key.is_some() };
    let bill = client(provider, &env, bill_key)?.bill(provider, &of, now).await;
    let bill = bill.with_context(|| format!("{provider} gave no list"))?;
    for route in bill.keep_listed(provider, &catalog, known) {
        print::warning(format_args!(
            "{provider} lists nothing of {route}, or not of all its endpoints: what the list lacks of it is not \
             reported"
        ));
    }
    Ok(bill.lines)
}

/// A client of this provider alone, with its key of the environment, or with another in its place.
pub(super) fn client(provider: Provider, env: &Env, other_key: Option<&str>) -> Result<ProviderClient> {
    let setup = adapter(provider).setup();
    let names = setup.key.iter().copied().chain(setup.settings.iter().map(|(name, _)| *name));
    let names = names.map(str::to_owned).chain([base_url_variable(provider)]);
    let given = names.filter_map(|name| Some((name.clone(), env.get(&name)?.to_owned())));
    let mut own = Env::from_pairs(given).with("PROVIDERS", provider.name().to_owned());
    if let (Some(other), [name]) = (other_key, setup.key) {
        own = own.with(name, other.to_owned());
    }
    let mut read = own.reader();
    let client = provider_client(&mut read)?;
    Ok(read.finish(client)?)
}

fn output(provider: Provider, period: Period, compared: &Comparison) -> Output {
    let Comparison { lines, billed, matched, recorded, unpriced, findings } = compared;
    let Period { since, until } = period;
    let mut text = format!("{provider} from {since} to {until}\nlines    {lines}, {billed}\n");
    let _infallible = writeln!(text, "matched  {matched}, on record {recorded}");
    if *unpriced > 0 {
        let _infallible =
            writeln!(text, "unpriced {unpriced}: of these lines, only what exists was compared");
    }
    if !findings.is_empty() {
        let rows: Vec<_> = findings.iter().map(row).collect();
        let heads = ["FINDING", "REMOTE_JOB", "LINE", "JOB", "ATTEMPT", "BILLED", "RECORDED"];
        let _infallible = write!(text, "\n{}\n", table(heads, &rows));
    }
    for kind in Kind::ALL {
        let (count, sum) = compared.of(kind);
        let _infallible = writeln!(text, "{}: {count}, {sum}", kind.name());
    }
    let kinds = Kind::ALL.map(|kind| {
        let (count, sum) = compared.of(kind);
        (kind.name().to_owned(), json!({"count": count, "micro_usd": sum}))
    });
    let json = json!({
        "provider": provider,
        "since": since.to_string(),
        "until": until.to_string(),
        "lines": lines,
        "billed_micro_usd": billed,
        "matched": matched,
        "recorded_micro_usd": recorded,
        "without_amount": unpriced,
        "kinds": serde_json::Map::from_iter(kinds),
        "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
    });
    Output { failed: !findings.is_empty(), ..Output::new(text, json) }
}

fn row(finding: &Finding) -> [String; 7] {
    let none = || "-".to_owned();
    let amount = |amount: Option<MicroUsd>| amount.map_or_else(none, |amount| amount.to_string());
    let (job, attempt) = match &finding.attempt {
        Some((job, number)) => (job.to_string(), number.to_string()),
        None => (none(), none()),
    };
    [
        finding.kind.name().to_owned(),
        finding.remote.clone(),
        finding.line.map_or_else(none, |line| line.to_string()),
        job,
        attempt,
        amount(finding.billed),
        amount(finding.recorded),
    ]
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind.name(),
        "remote_job": finding.remote,
        "line": finding.line,
        "job": finding.attempt.as_ref().map(|(job, _)| job),
        "attempt": finding.attempt.as_ref().map(|(_, number)| number),
        "billed_micro_usd": finding.billed,
        "recorded_micro_usd": finding.recorded,
        "micro_usd": finding.sum(),
    })
}
