//! `genmux accounts`: an account's balance and settings.

use anyhow::Result;
use domain::credit::Credits;
use domain::request::Prefer;
use serde_json::{Value, json};
use shared::operate;
use shared::store::accounts::{Accounts, Policy};
use shared::store::ledger::Ledger;

use super::print::Output;
use super::{AccountsCommand, Local, Target};

pub(super) async fn run(command: AccountsCommand, target: &Target, local: &Local) -> Result<Output> {
    let opened = target.open(local).await?;
    let accounts = Accounts::new(opened.table());
    match command {
        AccountsCommand::Show { account } => {
            let ledger = Ledger::new(opened.table());
            let shown = operate::accounts::show(&ledger, &accounts, &account).await?;
            let text = format!("balance    {}\n{}", shown.balance, settings(&shown.policy));
            let (balance, settings) = (shown.balance.micros(), settings_json(&shown.policy));
            let json = json!({"account": account, "balance_micro_credits": balance, "settings": settings});
            Ok(Output::new(text, json))
        }
        AccountsCommand::Set { account, reset, prefer, live_jobs, loss_per_day, low_below } => {
            let loss_per_day = loss_per_day.map(Credits::as_usd);
            let named = Policy { prefer, live_jobs_max: live_jobs, loss_per_day, low_below };
            let policy = operate::accounts::set(&accounts, &account, reset, &named).await?;
            let text = format!("{}takes effect within 60 s", settings(&policy));
            Ok(Output::new(text, json!({"account": account, "settings": settings_json(&policy)})))
        }
    }
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

/// `null` is the default.
fn settings_json(policy: &Policy) -> Value {
    json!({
        "prefer": policy.prefer,
        "live_jobs_max": policy.live_jobs_max,
        "loss_per_day_micro_usd": policy.loss_per_day,
        "low_below_micro_credits": policy.low_below,
    })
}
