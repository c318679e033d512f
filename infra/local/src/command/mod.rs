//! The subcommands of `genmux`.

mod accounts;
mod audit;
mod client;
mod credits;
mod demo;
mod deploy_local;
mod dlq;
pub mod jobs;
mod keys;
mod local;
mod print;
pub mod providers;
mod serve;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use domain::credit::Credits;
use domain::id::{AccountId, JobId};
use domain::job::State;
use domain::provider::Provider;
use domain::request::Prefer;
use shared::store::queue::QUEUES;

/// Genmux on this machine: the whole stack, a demo, and an operator's commands.
#[derive(Debug, Parser)]
#[command(name = "genmux", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    local: Local,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole stack until Ctrl-C (the default).
    Serve,
    /// Submit a prompt over HTTP, wait, and save the video.
    Demo(Demo),
    /// API keys.
    Keys(Keys),
    /// An account's credits.
    Credits(CreditsCommand),
    /// An account's balance, and rules of its own.
    Accounts(Accounts),
    /// Live jobs, and the story of one.
    Jobs(Jobs),
    /// Dead letters: messages that were delivered in vain too often.
    Dlq(Dlq),
    /// How the providers stand; keep new attempts away from one.
    Providers(Providers),
    /// Check every invariant over the whole table and bucket; exit 1 on a violation.
    Audit(Audit),
    /// Deploy the template with the release binaries to an emulator, and play the suite there.
    DeployLocal(DeployLocal),
}

/// The local stack that a command starts or works on: before or after the subcommand.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Local stack")]
struct Local {
    /// Where everything of it is kept. `serve` and `demo` make the folder.
    #[arg(long, global = true, default_value = ".genmux")]
    data: PathBuf,
    /// Port of the API where this starts one: by default 8787 for `serve`, any for others.
    #[arg(long, global = true)]
    port: Option<u16>,
    /// With `serve` or `demo`: tell no provider where to report, so that every attempt is polled.
    #[arg(long, global = true)]
    no_webhooks: bool,
    /// With `serve` or `demo`: call these providers for real, with the keys of the environment.
    /// That costs money. No other provider is used then. By default `GENMUX_REAL`, and else none.
    #[arg(long, global = true, value_name = "NAME,…", value_delimiter = ',')]
    real: Vec<Provider>,
    /// With `serve` or `demo`: simulate these providers and no others. By default all, or none
    /// where any is real.
    #[arg(long, global = true, value_name = "NAME,…", value_delimiter = ',')]
    simulate: Vec<Provider>,
}

/// From a clone of the repository, with Python and its package registry.
#[derive(Debug, Args)]
struct DeployLocal {
    /// Let no function do more than its role grants.
    #[arg(long)]
    auth: bool,
    /// Where the functions' binaries are; without it they are built, in release mode.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Leave out one permission statement, as `SubmitRole/1`, to see what fails then.
    #[arg(long)]
    without: Option<String>,
}

#[derive(Debug, Args)]
struct Demo {
    /// What the video or still shall show.
    prompt: String,
    /// A model of `GET /v1/models`.
    #[arg(long, default_value = "veo-3.1-fast")]
    model: String,
    /// An https URL of an image to start from, where the model takes one. A model that needs one
    /// and gets none is given a made-up one, which simulated providers do not fetch.
    #[arg(long)]
    image: Option<String>,
    /// Where the file is saved; by default the job's id with `.mp4` or what else it is.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Local data, or a deployed table.
#[derive(Debug, Clone, Args)]
struct Target {
    /// A deployed table, reached with the usual AWS configuration, instead of local data.
    #[arg(long, global = true)]
    table: Option<String>,
    /// The deployed bucket; needed by `audit`.
    #[arg(long, global = true, requires = "table")]
    bucket: Option<String>,
}

#[derive(Debug, Args)]
struct Audit {
    /// After how many days the bucket deletes files, 0 for never; by default as its lifecycle
    /// rules say.
    #[arg(long)]
    media_days: Option<u32>,
    /// Read every file, to compare its content with what was stored.
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key. It is shown this once.
    Create {
        /// `acct_` and lower-case letters and digits.
        #[arg(long)]
        account: String,
        /// Let the key read, and not submit or cancel.
        #[arg(long)]
        read_only: bool,
    },
    /// Revoke a key for good.
    Revoke { id: String },
    /// All keys, without their secrets.
    List,
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
    /// Put credits into an account.
    Grant {
        account: String,
        /// In credits, with up to six decimals.
        amount: String,
        /// Makes a repeat harmless: one grant per id. By default a random one.
        #[arg(long)]
        id: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Accounts {
    #[command(subcommand)]
    command: AccountsCommand,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum AccountsCommand {
    /// Its balance and its rules.
    Show { account: AccountId },
    /// Set the rules that are named, and leave the others.
    #[command(group = clap::ArgGroup::new("rules").required(true).multiple(true))]
    Set {
        account: AccountId,
        /// First set all rules back to the defaults.
        #[arg(long, group = "rules")]
        reset: bool,
        /// `cheapest` or `fastest`, for orders that do not say.
        #[arg(long, group = "rules", value_parser = accounts::prefer)]
        prefer: Option<Prefer>,
        /// Live jobs that it may have at once; with 0 it can submit nothing.
        #[arg(long, group = "rules")]
        live_jobs: Option<u32>,
        /// Credits that may be given back to it on one day though providers may bill them; beyond
        /// that it can submit nothing until the next day.
        #[arg(long, group = "rules", value_parser = credits::amount)]
        loss_per_day: Option<Credits>,
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
    /// Live jobs, longest overdue first; or all jobs of an account, newest first.
    List {
        /// Only those whose check is overdue by more than ten minutes, or whose deadline has passed.
        #[arg(long, conflicts_with = "account")]
        stuck: bool,
        /// All jobs of this account, also those that have ended.
        #[arg(long)]
        account: Option<AccountId>,
        /// Only those in this state; with `--account` also `succeeded`, `failed` or `canceled`.
        #[arg(long, value_parser = jobs::state)]
        status: Option<State>,
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One job's timeline: its moves, its attempts, its money, its dead letters, what it waits for.
    /// Never its prompt.
    Show {
        id: JobId,
        /// Show what was asked for as well, without prompt and negative prompt.
        #[arg(long)]
        request: bool,
        /// The deployed stack whose dead letters to look through.
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
    /// Health, breaker, pause, places taken, and retries left, of every provider.
    List,
    /// Let no new attempt go to this provider. Those that run go on.
    Pause { name: Provider },
    /// Let attempts go to it again.
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
    /// How many letters each queue has, and what the first ten are. Nothing is taken away.
    List,
    /// Move the letters back to the queues that they came from.
    Redrive {
        /// The dead letters of this queue alone.
        #[arg(value_parser = QUEUES)]
        queue: Option<String>,
    },
}

/// Local queues, or those of a deployed stack.
#[derive(Debug, Clone, Args)]
struct Queues {
    /// A deployed stack, reached with the usual AWS configuration, instead of local data.
    #[arg(long, global = true)]
    stack: Option<String>,
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    let Cli { command, local } = cli;
    let command = command.unwrap_or(Command::Serve);
    let starts = matches!(command, Command::Serve | Command::Demo(_));
    ensure!(
        starts || !(local.no_webhooks || local.names_providers()),
        "--real, --simulate and --no-webhooks are for `serve` and `demo`"
    );
    let local = &local;
    match command {
        Command::Serve => serve::run(local).await?,
        Command::Demo(args) => demo::run(args, local).await?,
        Command::Keys(Keys { command, target }) => keys::run(command, &target, local).await?,
        Command::Credits(CreditsCommand { command, target }) => {
            credits::run(command, &target, local).await?;
        }
        Command::Accounts(Accounts { command, target }) => accounts::run(command, &target, local).await?,
        Command::Jobs(Jobs { command, target }) => jobs::run(command, &target, local).await?,
        Command::Providers(Providers { command, target }) => providers::run(command, &target, local).await?,
        Command::Dlq(Dlq { command, queues }) => dlq::run(command, &queues, local).await?,
        Command::DeployLocal(args) => return deploy_local::run(args).await,
        Command::Audit(args) => return audit::run(&args, local).await,
    }
    Ok(ExitCode::SUCCESS)
}
