//! `genmux accounts`: an account's balance and settings.

use anyhow::Result;
use domain::credit::Credits;
use domain::request::Prefer;
use serde_json::Value;
use shared::operate;
use shared::store::accounts::{Accounts, Policy};
use shared::store::ledger::Ledger;

use super::print::{self, say};
use super::{AccountsCommand, Local, Target};

pub(super) async fn run(command: AccountsCommand, target: &Target, local: &Local) -> Result<()> {
    let opened = target.open(local).await?;
    let accounts = Accounts::new(opened.table());
    match command {
        AccountsCommand::Show { account } => {
            let ledger = Ledger::new(opened.table());
            let shown = operate::accounts::show(&ledger, &accounts, &account).await?;
            say!("balance    {}", shown.balance);
            print::text(settings(&shown.policy));
        }
        AccountsCommand::Set { account, reset, prefer, live_jobs, loss_per_day, low_below } => {
            let loss_per_day = loss_per_day.map(Credits::as_usd);
            let named = Policy { prefer, live_jobs_max: live_jobs, loss_per_day, low_below };
            let policy = operate::accounts::set(&accounts, &account, reset, &named).await?;
            print::text(settings(&policy));
            say!("takes effect within 60 s");
        }
    }
    Ok(())
}

/// Parses a preference.
pub(super) fn prefer(name: &str) -> Result<Prefer, String> {
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
    format!("prefer     {prefer}\nlive jobs  {live_jobs}\nlosses     {loss}\nlow        {low}\n")
}
