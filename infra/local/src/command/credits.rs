//! `genmux credits`: grants credits.

use anyhow::{Context, Result, bail};
use domain::credit::Credits;
use domain::id::base32;
use shared::store::ledger::{BALANCE_MAX, Granted, Ledger};

use super::print::say;
use super::{Grant, Local, Target};

pub(super) async fn run(command: Grant, target: &Target, local: &Local) -> Result<()> {
    let Grant::Grant { account, amount, id } = command;
    let credits = parse(&amount).context("the amount must be in credits above zero, like 100 or 2.5")?;
    let opened = target.open(local).await?;
    let id = id.unwrap_or_else(|| base32(&opened.process.random.bytes::<10>()));
    let account = account.parse()?;
    let ledger = Ledger::new(opened.table());
    match ledger.grant(&account, &id, credits, opened.process.clock.now()).await? {
        Granted::New => say!("granted {credits} credits to {account} (grant {id})"),
        Granted::Exists => say!("grant {id} exists; nothing was changed"),
        Granted::TooMuch => bail!("the balance must not exceed {BALANCE_MAX} credits; nothing was changed"),
        Granted::Conflict => bail!("grant {id} exists with another amount; nothing was changed"),
    }
    say!("balance {}", ledger.balance(&account).await?);
    Ok(())
}

/// Parses an amount of credits.
pub(super) fn amount(text: &str) -> Result<Credits, String> {
    parse(text).ok_or_else(|| "must be an amount of credits above zero, like 100 or 2.5".to_owned())
}

/// Parses decimal credits with up to six decimals exactly, without floats.
fn parse(text: &str) -> Option<Credits> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || rest.len() > 6 || !digits(whole) || !digits(rest) {
        return None;
    }
    let micros: u64 = format!("{whole}{rest:0<6}").parse().ok()?;
    Some(Credits::from_micros(micros)).filter(|credits| *credits > Credits::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_parsed_exactly() {
        assert_eq!(parse("2.5"), Some(Credits::from_micros(2_500_000)));
        assert_eq!(parse("0.000001"), Some(Credits::from_micros(1)));
        for text in ["", "0", "-1", "1e3", "1.0000001", ".5", "1,5", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
