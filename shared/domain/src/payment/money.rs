//! Amounts of money: integers in the minor units of their currency, never a float.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::credit::Credits;

/// The known currencies by the decimals of their minor unit, as ISO 4217 has them. Those are left out of which
/// processors count other decimals (HUF, ISK, TWD, UGX).
const BY_EXPONENT: [(u8, &[&str]); 3] = [
    (0, &["CLP", "JPY", "KRW", "PYG", "VND", "XAF", "XOF", "XPF"]),
    (
        2,
        &[
            "AED", "ARS", "AUD", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "EUR", "GBP", "HKD", "IDR",
            "ILS", "INR", "MXN", "MYR", "NOK", "NZD", "PEN", "PHP", "PLN", "RON", "SAR", "SEK", "SGD", "THB",
            "TRY", "UAH", "USD", "ZAR",
        ],
    ),
    (3, &["BHD", "JOD", "KWD", "OMR", "TND"]),
];

/// A currency by its ISO 4217 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    exponent: u8,
}

/// A text that is no known currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known currency: three capital letters, as in ISO 4217")]
pub struct UnknownCurrency;

impl Currency {
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// Decimals of the minor unit: 0 for JPY, 2 for USD, 3 for KWD.
    pub const fn exponent(self) -> u8 {
        self.exponent
    }

    /// How many millionths of the currency's unit a minor unit is.
    pub(crate) const fn millionths(self) -> u64 {
        10_u64.pow(6 - self.exponent as u32)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let all =
            BY_EXPONENT.iter().flat_map(|(exponent, codes)| codes.iter().map(move |code| (code, exponent)));
        let mut named = all.filter(|(code, _)| **code == text);
        named.next().map(|(code, exponent)| Self { code, exponent: *exponent }).ok_or(UnknownCurrency)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// In minor units: cents of USD, yen of JPY.
    #[serde(rename = "amount")]
    pub minor: u64,
    pub currency: Currency,
}

/// Maximum amount in minor units: eight digits, as processors take them.
pub const AMOUNT_MAX: u64 = 99_999_999;

impl Money {
    /// As a decimal of the currency's unit: `10.00`, and `1500` of a currency without minor units.
    pub fn decimal(self) -> String {
        let digits = usize::from(self.currency.exponent);
        if digits == 0 {
            return self.minor.to_string();
        }
        let scale = 10_u64.pow(u32::from(self.currency.exponent));
        format!("{}.{:0digits$}", self.minor / scale, self.minor % scale)
    }

    /// The amount of such a decimal, exactly. `None` for another form, and for more decimals than the currency
    /// has, unless they are zeros.
    pub fn from_decimal(text: &str, currency: Currency) -> Option<Self> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let digits = usize::from(currency.exponent);
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let (kept, over) = rest.split_at_checked(digits.min(rest.len()))?;
        if whole.is_empty() || !is_number(whole) || !is_number(kept) || over.bytes().any(|b| b != b'0') {
            return None;
        }
        let minor = format!("{whole}{kept:0<digits$}").parse().ok()?;
        Some(Self { minor, currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

/// The part of the credits that stands for `part` of `whole`, rounded down; all of them for the whole and more.
pub fn share(credits: Credits, part: u64, whole: u64) -> Credits {
    let part = u128::from(part.min(whole));
    let micros = u128::from(credits.micros()) * part / u128::from(whole.max(1));
    Credits::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: u64, code: &str) -> Money {
        Money { minor, currency: code.parse().unwrap() }
    }

    #[test]
    fn an_amount_is_printed_and_read_with_the_decimals_of_its_currency() {
        for (minor, code, text) in [
            (1_000, "USD", "10.00"),
            (5, "USD", "0.05"),
            (1_500, "JPY", "1500"),
            (1_500, "KWD", "1.500"),
            (99_999_999, "EUR", "999999.99"),
        ] {
            assert_eq!(money(minor, code).decimal(), text);
            assert_eq!(Money::from_decimal(text, code.parse().unwrap()), Some(money(minor, code)));
        }
        assert_eq!(Money::from_decimal("10", "USD".parse().unwrap()), Some(money(1_000, "USD")));
        assert_eq!(Money::from_decimal("1500.00", "JPY".parse().unwrap()), Some(money(1_500, "JPY")));
        for text in ["", ".5", "-1", "1e3", "1.005", "1,00", "99999999999999999999", "1.0.0", "1.\u{e4}"] {
            assert_eq!(Money::from_decimal(text, "USD".parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn no_currency_is_named_twice_and_other_texts_are_none() {
        let codes: Vec<_> = BY_EXPONENT.iter().flat_map(|(_, codes)| codes.iter()).collect();
        let unique: std::collections::BTreeSet<_> = codes.iter().collect();
        assert_eq!(codes.len(), unique.len());
        for text in ["", "usd", "US", "XXX", "USDT", "HUF"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
        assert_eq!("KWD".parse::<Currency>().unwrap().exponent(), 3);
    }

    #[test]
    fn shares_of_a_whole_never_exceed_it() {
        let credits = Credits::from_micros(1_000);
        assert_eq!(share(credits, 1, 3), Credits::from_micros(333));
        assert_eq!(share(credits, 3, 3), credits);
        assert_eq!(share(credits, 7, 3), credits);
        assert_eq!(share(Credits::from_micros(u64::MAX), u64::MAX, u64::MAX).micros(), u64::MAX);
        assert_eq!(share(credits, 0, 0), Credits::ZERO);
    }
}
