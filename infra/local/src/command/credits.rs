//! `genmux credits`: an account's money.

use anyhow::{Context, Result, bail};
use domain::credit::Credits;
use domain::id::base32;
use shared::store::ledger::{BALANCE_MAX, Granted, Ledger};

use super::print::say;
use super::{Grant, Local, Target};

pub(super) async fn run(command: Grant, target: &Target, local: &Local) -> Result<()> {
    let Grant::Grant { account, amount, id } = command;
    let credits = parse(&amount).context("the amount is in credits, like 100 or 2.5, above zero")?;
    let opened = target.open(local).await?;
    let id = id.unwrap_or_else(|| base32(&opened.process.random.bytes::<10>()));
    let account = account.parse()?;
    let ledger = Ledger::new(opened.table());
    match ledger.grant(&account, &id, credits, opened.process.clock.now()).await? {
        Granted::New => say!("granted {credits} credits to {account} (grant {id})"),
        Granted::Exists => say!("grant {id} was made before; nothing was changed"),
        Granted::TooMuch => bail!("an account may hold at most {BALANCE_MAX} credits; nothing was changed"),
        Granted::Conflict => bail!("grant {id} was made before with another amount; nothing was changed"),
    }
    say!("balance {}", ledger.balance(&account).await?);
    Ok(())
}

/// An amount of credits on the command line.
pub(super) fn amount(text: &str) -> Result<Credits, String> {
    parse(text).ok_or_else(|| "an amount of credits, like 100 or 2.5, above zero".to_owned())
}

/// Credits from decimal text with up to six decimals, without a detour over floats.
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
    fn amounts_are_read_to_the_last_decimal() {
        assert_eq!(parse("2.5"), Some(Credits::from_micros(2_500_000)));
        assert_eq!(parse("0.000001"), Some(Credits::from_micros(1)));
        for text in ["", "0", "-1", "1e3", "1.0000001", ".5", "1,5", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
