//! The subcommands of `genmux`.

mod accounts;
mod api;
mod audit;
mod bills;
mod budgets;
mod catalog;
mod client;
mod credits;
mod dlq;
mod endpoints;
mod image;
mod inbound;
pub mod jobs;
mod keys;
#[cfg(feature = "local")]
mod local;
mod metrics;
mod prices;
mod print;
mod providers;
mod save;
mod shell;
mod target;
mod topups;
mod trace;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use domain::id::{AccountId, JobId};
use domain::inbound::SourceName;
use domain::job::State;
use domain::provider::Provider;
use shared::store::dead_letters::QUEUES;

#[cfg(feature = "local")]
use local::{Local, demo, deploy_local, listen, serve};

/// Genmux: the local stack, a demo and operator commands.
#[derive(Debug, Parser)]
#[command(name = "genmux", version)]
#[cfg_attr(
    not(feature = "local"),
    command(about = "Genmux: operator commands", arg_required_else_help = true)
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    local: Local,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "local")]
    /// Run the local stack until Ctrl-C (the default).
    Serve,
    #[cfg(feature = "local")]
    /// Submit a prompt over HTTP, wait, and save the result.
    Demo(demo::Demo),
    #[cfg(feature = "local")]
    /// Receive events on this machine, verify and print them.
    Listen(listen::Listen),
    /// List the models of an API.
    Models(api::Models),
    /// Print the price of a job before it is submitted, its usual duration and its routes.
    Quote(api::Quote),
    /// Submit a prompt to an API; with --wait, save the result.
    Submit(api::Submit),
    /// Wait for a job's end; exit 1 if it did not succeed.
    Wait(api::Wait),
    /// Save the file of a succeeded job, and check its SHA-256.
    Download(api::Download),
    /// Cancel a job.
    Cancel(api::Cancel),
    /// List what credits cost at an API, and how they can be paid.
    Packs(topups::Packs),
    /// Buy credits at an API; list and show purchases.
    Topups(topups::Topups),
    /// Create, change, revoke and list API keys.
    Keys(keys::Keys),
    /// Grant credits to an account.
    Credits(CreditsCommand),
    /// Show an account's balance and settings; change its settings.
    Accounts(accounts::Accounts),
    /// Show, set and compare versions of the prices.
    Prices(prices::Prices),
    /// Compare a provider's bill with the attempts on record; exit 1 if anything does not agree.
    Bills(bills::Bills),
    /// Sum up what jobs brought and cost, by day or hour, group and provider.
    Usage(usage::Usage),
    /// Success rate, durations, errors, refunds, cost and what is overdue, of the last hour.
    Metrics(metrics::Metrics),
    /// List jobs; show the timeline of one.
    Jobs(Jobs),
    /// Show the trace of a job as a tree with durations: states, attempts, deliveries.
    Trace(trace::Trace),
    /// Check, show or upload your own catalogue of models, routes and prices; compare it with lists of providers.
    Catalog(CatalogArgs),
    /// Print the URL of an inbound source; check a list of sources.
    Inbound(Inbound),
    /// List the messages of the dead-letter queues; move them back.
    Dlq(Dlq),
    /// Where events go: of the operator, or of an account. Add, change and test its endpoints.
    Endpoints(endpoints::Endpoints),
    /// List provider state; pause and resume a provider.
    Providers(Providers),
    /// Check every invariant over the whole table and bucket; exit 1 on a violation.
    Audit(Audit),
    /// Print the completions of a shell: `source <(genmux completions bash)`.
    Completions { shell: Shell },
    /// Print the manual page: `genmux man | man -l -`.
    Man,
    #[cfg(feature = "local")]
    /// Deploy the template with the release binaries to an emulator, and run the test suite there.
    DeployLocal(deploy_local::DeployLocal),
}

/// A build without the local stack has no options for it.
#[cfg(not(feature = "local"))]
#[derive(Debug, Clone, Args)]
struct Local {
    #[command(flatten)]
    own: catalog::OwnFile,
}

/// The local data folder, or a deployed table.
#[derive(Debug, Clone, Args)]
struct Target {
    /// A deployed table instead of the local data folder, with the usual AWS configuration.
    #[arg(long, global = true)]
    table: Option<String>,
    /// The deployed bucket; required by `audit`.
    #[arg(long, global = true, requires = "table")]
    bucket: Option<String>,
}

#[derive(Debug, Args)]
struct Audit {
    /// After how many days the bucket deletes files; 0 for never. Default: its lifecycle rule.
    #[arg(long)]
    media_days: Option<u32>,
    /// Read every file and compare its SHA-256 with the recorded one.
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// Print every mistake of a file with its line.
    Check { file: PathBuf },
    /// List the models: the built-in ones, or with those of a file.
    Show { file: Option<PathBuf> },
    /// Compare a list of a provider, or of others' prices, with the catalogue. Changes nothing.
    Diff(catalog::sync::Sync),
    /// Write what such a list changed to your own catalogue. What you changed yourself stays; of what both
    /// changed, --on-conflict decides.
    Apply(catalog::sync::Apply),
    /// Check a file and write it to the media bucket, with the usual AWS configuration. Each content has
    /// a name of its own, so that functions change only with a deployment.
    Put {
        file: PathBuf,
        #[arg(long)]
        bucket: String,
    },
}

#[derive(Debug, Args)]
struct Inbound {
    #[command(subcommand)]
    command: InboundCommand,
}

#[derive(Debug, Subcommand)]
enum InboundCommand {
    /// Print the URL to register at the platform: of the running local stack, or of a deployed one.
    Url {
        /// The name of the source: a-z, 0-9 and `_`.
        source: SourceName,
        /// Whose events its webhooks become.
        #[arg(long)]
        account: AccountId,
        /// The deployed secret: the output `InboundSourcesSecret` of the stack.
        #[arg(long, requires = "api")]
        secret: Option<String>,
        /// The deployed API's URL, as its callers know it.
        #[arg(long, requires = "secret")]
        api: Option<String>,
    },
    /// Check a file with a JSON list of sources: `[{"source": …, "account": …, "secrets": […]}]`.
    Check { file: PathBuf },
}

#[derive(Debug, Args)]
struct CreditsCommand {
    #[command(subcommand)]
    command: Grant,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Grant {
    /// Grant credits to an account.
    Grant {
        account: String,
        /// In credits, with up to six decimals.
        amount: String,
        /// Idempotency id: a repeat with the same id changes nothing. Default: random.
        #[arg(long)]
        id: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Jobs {
    #[command(subcommand)]
    command: JobsCommand,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// List live jobs, longest overdue first; or all jobs of an account, newest first.
    List {
        /// Only jobs whose check is overdue by more than ten minutes or whose deadline has passed.
        #[arg(long, conflicts_with = "account")]
        stuck: bool,
        /// All jobs of this account, including ended ones.
        #[arg(long)]
        account: Option<AccountId>,
        /// Only jobs with this status; `succeeded`, `failed` and `canceled` need `--account`.
        #[arg(long, value_parser = jobs::state)]
        status: Option<State>,
        /// Only jobs created since then: a length, like 12h or 7d, or a time; needs `--account`.
        #[arg(long, requires = "account", value_parser = jobs::since)]
        since: Option<jobs::Since>,
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a job's timeline: transitions, attempts, ledger entries, messages in dead-letter queues and
    /// what it waits for. Never the prompt.
    Show {
        id: JobId,
        /// Also show the request, without prompt and negative prompt.
        #[arg(long)]
        request: bool,
        /// The deployed stack whose dead-letter queues are searched.
        #[arg(long, requires = "table")]
        stack: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Providers {
    #[command(subcommand)]
    command: ProvidersCommand,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum ProvidersCommand {
    /// List health, breaker, pause, used concurrency slots and remaining retries of every provider.
    List,
    /// Show the latest changes of a provider's health, newest first. They are kept for 30 days.
    History {
        name: Provider,
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..))]
        limit: u8,
    },
    /// Send no new attempts to this provider. Running attempts continue.
    Pause { name: Provider },
    /// Send attempts to it again.
    Resume { name: Provider },
}

#[derive(Debug, Args)]
struct Dlq {
    #[command(subcommand)]
    command: DlqCommand,
    #[command(flatten)]
    queues: Queues,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// List the number of messages of each dead-letter queue, and the first ten. Removes none.
    List,
    /// Move the messages back to their source queues.
    Redrive {
        /// Only the messages of this queue.
        #[arg(value_parser = QUEUES)]
        queue: Option<String>,
    },
}

/// The local queues, or those of a deployed stack.
#[derive(Debug, Clone, Args)]
struct Queues {
    /// A deployed stack instead of the local data folder, with the usual AWS configuration.
    #[arg(long, global = true)]
    stack: Option<String>,
}

/// Prints why a command failed: all causes in one line, without a backtrace.
pub fn report(error: &anyhow::Error) {
    print::notice(format_args!("Error: {error:#}"));
}

/// Runs the command and prints its result.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    let Cli { command, json, local } = cli;
    #[cfg(feature = "local")]
    let command = Some(local.checked(command.unwrap_or(Command::Serve))?);
    // Without the local stack, the command line has required one.
    let Some(command) = command else { return Ok(ExitCode::FAILURE) };
    let local = &local;
    let output = match command {
        #[cfg(feature = "local")]
        Command::Serve => return serve::run(local, json).await,
        #[cfg(feature = "local")]
        Command::Demo(args) => demo::run(args, local, json).await?,
        #[cfg(feature = "local")]
        Command::Listen(args) => return listen::run(args, json).await,
        #[cfg(feature = "local")]
        Command::DeployLocal(args) => return deploy_local::run(args).await,
        Command::Completions { shell } => shell::completions(shell)?,
        Command::Man => shell::manual()?,
        Command::Models(args) => api::models(args, local).await?,
        Command::Quote(args) => api::quote(args, local).await?,
        Command::Submit(args) => api::submit(args, local).await?,
        Command::Wait(args) => api::wait(args, local).await?,
        Command::Download(args) => api::download(args, local).await?,
        Command::Cancel(args) => api::cancel(args, local).await?,
        Command::Packs(args) => topups::packs(args, local).await?,
        Command::Topups(args) => Box::pin(topups::run(args, local)).await?,
        Command::Keys(args) => Box::pin(keys::run(args, local)).await?,
        Command::Credits(CreditsCommand { command, target }) => credits::run(command, &target, local).await?,
        Command::Accounts(args) => Box::pin(accounts::run(args, local)).await?,
        Command::Prices(args) => Box::pin(prices::run(args, local)).await?,
        Command::Bills(args) => Box::pin(bills::run(args, local)).await?,
        Command::Usage(args) => Box::pin(usage::run(args, local)).await?,
        Command::Metrics(args) => Box::pin(metrics::run(args, local)).await?,
        Command::Jobs(Jobs { command, target }) => Box::pin(jobs::run(command, &target, local)).await?,
        Command::Trace(args) => Box::pin(trace::run(args, local)).await?,
        Command::Providers(Providers { command, target }) => providers::run(command, &target, local).await?,
        Command::Catalog(CatalogArgs { command }) => Box::pin(catalog::run(command)).await?,
        Command::Inbound(Inbound { command }) => inbound::run(command, local).await?,
        Command::Endpoints(args) => Box::pin(endpoints::run(args, local)).await?,
        Command::Dlq(Dlq { command, queues }) => dlq::run(command, &queues, local).await?,
        Command::Audit(args) => audit::run(&args, local).await?,
    };
    Ok(output.print(json))
}
