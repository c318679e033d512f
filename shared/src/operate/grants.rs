//! Grants of credits.

use domain::credit::{Balance, Credits};
use domain::id::AccountId;
use domain::time::Timestamp;

use crate::store::Error;
use crate::store::ledger::{Granted, Ledger};

/// Grants credits, once per `id`. Returns the outcome, and the balance after it.
pub async fn grant(
    ledger: &Ledger,
    account: &AccountId,
    id: &str,
    amount: Credits,
    now: Timestamp,
) -> Result<(Granted, Balance), Error> {
    let granted = ledger.grant(account, id, amount, now).await?;
    Ok((granted, ledger.balance(account).await?))
}

/// Parses decimal credits above zero with up to six decimals exactly, without floats.
pub fn amount(text: &str) -> Option<Credits> {
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
        assert_eq!(amount("2.5"), Some(Credits::from_micros(2_500_000)));
        assert_eq!(amount("0.000001"), Some(Credits::from_micros(1)));
        for text in ["", "0", "-1", "1e3", "1.0000001", ".5", "1,5", "99999999999999999999"] {
            assert_eq!(amount(text), None, "{text}");
        }
    }
}
