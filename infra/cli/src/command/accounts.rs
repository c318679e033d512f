//! `genmux accounts`: an account's balance and settings.

use anyhow::Result;
use clap::{Args, Subcommand};
use domain::credit::Credits;
use domain::id::AccountId;
use domain::policy::live::LiveMax;
use domain::request::Prefer;
use serde_json::{Value, json};
use shared::operate;
use shared::store::accounts::{Accounts as AccountStore, Policy};
use shared::store::budgets::BudgetStore;
use shared::store::ledger::Ledger;

use super::budgets::{self, BudgetArgs};
use super::print::Output;
use super::{Local, Target, credits};

#[derive(Debug, Args)]
pub(super) struct Accounts {
    #[command(subcommand)]
    command: AccountsCommand,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum AccountsCommand {
    /// Show the balance, the settings and what is spent of the budgets.
    Show { account: AccountId },
    /// Change the given settings; others stay unchanged.
    #[command(group = clap::ArgGroup::new("settings").required(true).multiple(true))]
    Set {
        account: AccountId,
        /// Reset all settings to their defaults first.
        #[arg(long, group = "settings")]
        reset: bool,
        /// The default of `prefer` in requests: `cheapest` or `fastest`.
        #[arg(long, group = "settings", value_parser = prefer)]
        prefer: Option<Prefer>,
        /// The maximum number of active jobs; 0 blocks all submissions, `none` is no limit.
        #[arg(long, group = "settings")]
        live_jobs: Option<LiveMax>,
        /// The maximum of credits per day (UTC) that are refunded although providers may bill them;
        /// above it, submissions are rejected until the next day.
        #[arg(long, group = "settings", value_parser = credits::amount)]
        loss_per_day: Option<Credits>,
        /// The balance below which endpoints of the account get `credits.low`, once after each grant.
        #[arg(long, group = "settings", value_parser = credits::amount)]
        low_below: Option<Credits>,
        #[command(flatten)]
        budgets: BudgetArgs,
    },
}

pub(super) async fn run(args: Accounts, local: &Local) -> Result<Output> {
    let Accounts { command, target } = args;
    let opened = target.open(local).await?;
    let accounts = AccountStore::new(opened.table());
    match command {
        AccountsCommand::Show { account } => {
            let ledger = Ledger::new(opened.table());
            let shown = operate::accounts::show(&ledger, &accounts, &account).await?;
            let (store, now) = (BudgetStore::new(opened.table()), opened.process.clock.now());
            let spent = operate::budgets::standings(&store, &account, &shown.policy, None, now).await?;
            let text = format!(
                "balance    {}\n{}{}",
                shown.balance,
                settings(&shown.policy),
                budgets::lines(&spent)
            );
            let json = json!({
                "account": account,
                "balance_micro_credits": shown.balance.micros(),
                "settings": settings_json(&shown.policy),
                "budgets": budgets::json(&spent),
            });
            Ok(Output::new(text, json))
        }
        AccountsCommand::Set { account, reset, prefer, live_jobs, loss_per_day, low_below, budgets } => {
            let loss_per_day = loss_per_day.map(Credits::as_usd);
            let budgets = budgets.budgets();
            let named = Policy { prefer, live_jobs_max: live_jobs, loss_per_day, low_below, budgets };
            let policy = accounts.change_policy(&account, reset, &named).await?;
            let text = format!("{}takes effect within 60 s", settings(&policy));
            Ok(Output::new(text, json!({"account": account, "settings": settings_json(&policy)})))
        }
    }
}

/// Parses a preference.
fn prefer(name: &str) -> Result<Prefer, String> {
    serde_json::from_value(Value::from(name)).map_err(|_unknown| "must be cheapest or fastest".to_owned())
}

fn settings(policy: &Policy) -> String {
    let prefer = match policy.prefer {
        Some(Prefer::Fastest) => "fastest",
        Some(Prefer::Cheapest) => "cheapest",
        None => "default",
    };
    let live_jobs = policy.live_jobs_max.map_or_else(|| "default".to_owned(), |max| max.to_string());
    let loss =
        policy.loss_per_day.map_or_else(|| "no limit".to_owned(), |most| format!("at most {most} per day"));
    let low = policy.low_below.map_or_else(|| "no event".to_owned(), |mark| format!("below {mark}"));
    let limits = budgets::limits(policy.budgets);
    format!(
        "prefer     {prefer}\nlive jobs  {live_jobs}\nlosses     {loss}\nlow        {low}\nlimits     {limits}\n"
    )
}

/// `null` is the default.
fn settings_json(policy: &Policy) -> Value {
    let mut json = json!({
        "prefer": policy.prefer,
        "live_jobs_max": policy.live_jobs_max,
        "loss_per_day_micro_usd": policy.loss_per_day,
        "low_below_micro_credits": policy.low_below,
    });
    budgets::add_limits(&mut json, policy.budgets);
    json
}
