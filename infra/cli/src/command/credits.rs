//! `genmux credits`: grants credits.

use anyhow::{Context, Result, bail};
use domain::credit::Credits;
use domain::id::base32;
use serde_json::json;
use shared::operate::grants;
use shared::store::ledger::{BALANCE_MAX, Granted, Ledger};

use super::print::Output;
use super::{Grant, Local, Target};

pub(super) async fn run(command: Grant, target: &Target, local: &Local) -> Result<Output> {
    let Grant::Grant { account, amount, id } = command;
    let credits =
        grants::amount(&amount).context("the amount must be in credits above zero, like 100 or 2.5")?;
    let opened = target.open(local).await?;
    let id = id.unwrap_or_else(|| base32(&opened.process.random.bytes::<10>()));
    let account = account.parse()?;
    let ledger = Ledger::new(opened.table());
    let now = opened.process.clock.now();
    let (granted, balance) = grants::grant(&ledger, &account, &id, credits, now).await?;
    let what = match granted {
        Granted::New => format!("granted {credits} credits to {account} (grant {id})"),
        Granted::Exists => format!("grant {id} exists; nothing was changed"),
        Granted::TooMuch => bail!("the balance must not exceed {BALANCE_MAX} credits; nothing was changed"),
        Granted::Conflict => bail!("grant {id} exists with another amount; nothing was changed"),
    };
    let json = json!({
        "account": account,
        "grant": id,
        "is_new": granted == Granted::New,
        "micro_credits": credits.micros(),
        "balance_micro_credits": balance.micros(),
    });
    Ok(Output::new(format_args!("{what}\nbalance {balance}"), json))
}

/// Parses an amount of credits.
pub(super) fn amount(text: &str) -> Result<Credits, String> {
    grants::amount(text).ok_or_else(|| "must be an amount of credits above zero, like 100 or 2.5".to_owned())
}
