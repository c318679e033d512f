//! What is sold: packs of credits, and free amounts at a price for each credit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::money::{AMOUNT_MAX, Currency, Money};
use crate::credit::Credits;
use crate::request::FieldError;

/// The table `topups` of a catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topups {
    /// Free amounts, by currency.
    #[serde(default)]
    pub amounts: BTreeMap<Currency, Rate>,
    #[serde(default)]
    pub packs: Vec<Pack>,
}

/// Free amounts of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Price of one credit, in millionths of the currency's unit.
    pub per_credit: u64,
    /// Minimum and maximum amount, in minor units.
    pub min: u64,
    pub max: u64,
}

/// Credits at a fixed price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    pub name: String,
    pub title: String,
    pub credits: u64,
    /// In minor units, by currency.
    pub prices: BTreeMap<Currency, u64>,
}

/// Maximum number of packs.
const PACKS_MAX: usize = 100;
/// Maximum credits of one purchase: ten thousand purchases of these still are a number that every JSON parser
/// reads exactly.
const CREDITS_MAX: u64 = 500_000;

/// What a caller wants to buy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    Pack(&'a str),
    /// In minor units.
    Amount(u64),
}

impl Topups {
    /// Whether each price can be charged.
    ///
    /// # Errors
    ///
    /// What is wrong, with its place.
    pub fn check(&self) -> Result<(), String> {
        for (currency, rate) in &self.amounts {
            if rate.per_credit == 0 || rate.min == 0 || rate.min > rate.max || rate.max > AMOUNT_MAX {
                let limits = format!("1 <= min <= max <= {AMOUNT_MAX}");
                return Err(format!("`amounts.{currency}` needs a `per_credit` above 0 and {limits}"));
            }
            let most = rate.credits(Money { minor: rate.max, currency: *currency });
            if !is_possible(rate.credits(Money { minor: rate.min, currency: *currency }))
                || !is_possible(most)
            {
                return Err(format!(
                    "`amounts.{currency}` sells less than a micro-credit, or too many credits"
                ));
            }
        }
        if self.packs.len() > PACKS_MAX {
            return Err(format!("has more than {PACKS_MAX} packs"));
        }
        for (place, pack) in self.packs.iter().enumerate() {
            let name = &pack.name;
            let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
            if !(1..=64).contains(&name.len()) || !name.bytes().all(is_allowed) {
                return Err(format!("pack {place} needs a `name` of 1 to 64 of a-z, 0-9, `_` and `-`"));
            }
            if self.packs[..place].iter().any(|other| other.name == *name) {
                return Err(format!("pack `{name}` is named twice"));
            }
            if pack.title.is_empty() || pack.title.len() > 200 || pack.title.contains(char::is_control) {
                return Err(format!("pack `{name}` needs a `title` of 1 to 200 characters"));
            }
            let is_price = |minor: &u64| (1..=AMOUNT_MAX).contains(minor);
            if !(1..=CREDITS_MAX).contains(&pack.credits)
                || pack.prices.is_empty()
                || !pack.prices.values().all(is_price)
            {
                let limits = format!("1 to {CREDITS_MAX} `credits` and prices of 1 to {AMOUNT_MAX}");
                return Err(format!("pack `{name}` needs {limits}"));
            }
        }
        Ok(())
    }

    /// What a purchase costs and brings, fixed when it is made.
    ///
    /// # Errors
    ///
    /// The field that is wrong, with the values that are allowed.
    pub fn quote(&self, wanted: Wanted<'_>, currency: Option<&str>) -> Result<(Money, Credits), FieldError> {
        match wanted {
            Wanted::Pack(name) => self.quote_pack(name, currency),
            Wanted::Amount(minor) => self.quote_amount(minor, currency),
        }
    }

    fn quote_pack(&self, name: &str, currency: Option<&str>) -> Result<(Money, Credits), FieldError> {
        let pack = self.packs.iter().find(|pack| pack.name == name);
        let names = || self.packs.iter().map(|pack| pack.name.clone()).collect();
        let pack = pack.ok_or_else(|| wrong("pack", "is not sold", names()))?;
        let mut prices = pack.prices.iter();
        let price = match (currency, pack.prices.len()) {
            (Some(code), _) => prices.find(|(currency, _)| currency.code() == code),
            (None, 1) => prices.next(),
            (None, _) => None,
        };
        let codes = || pack.prices.keys().map(Currency::to_string).collect();
        let (currency, minor) =
            price.ok_or_else(|| wrong("currency", "must be one of the pack's", codes()))?;
        Ok((Money { minor: *minor, currency: *currency }, credits(pack.credits)))
    }

    fn quote_amount(&self, minor: u64, currency: Option<&str>) -> Result<(Money, Credits), FieldError> {
        let rate = self.amounts.iter().find(|(known, _)| Some(known.code()) == currency);
        let codes = || self.amounts.keys().map(Currency::to_string).collect();
        let (currency, rate) = rate.ok_or_else(|| wrong("currency", "is not sold in", codes()))?;
        if !(rate.min..=rate.max).contains(&minor) {
            let detail = format!("is a whole number of minor units from {} to {}", rate.min, rate.max);
            return Err(wrong("amount", &detail, Vec::new()));
        }
        let money = Money { minor, currency: *currency };
        Ok((money, rate.credits(money)))
    }
}

impl Rate {
    /// The credits for an amount, rounded down to a micro-credit.
    fn credits(self, money: Money) -> Credits {
        let millionths = u128::from(money.minor) * u128::from(money.currency.millionths());
        let micros = millionths * u128::from(Credits::ONE.micros()) / u128::from(self.per_credit);
        Credits::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

fn credits(whole: u64) -> Credits {
    Credits::ONE.checked_mul(whole).unwrap_or(Credits::ZERO)
}

fn is_possible(amount: Credits) -> bool {
    amount > Credits::ZERO && amount <= credits(CREDITS_MAX)
}

fn wrong(field: &'static str, detail: &str, allowed: Vec<String>) -> FieldError {
    FieldError { field: field.into(), detail: detail.to_owned(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn a_quote_is_exact_in_every_currency() {
        let topups = Catalog::built_in().topups().clone();
        let quote =
            |wanted, code| topups.quote(wanted, code).map(|(money, credits)| (money.to_string(), credits));
        let dollars = quote(Wanted::Amount(1_000), Some("USD")).unwrap();
        assert_eq!(dollars, ("10.00 USD".to_owned(), credits(1_000)), "a credit is a cent");
        let rate = Rate { per_credit: 1_500_000, min: 1, max: 9 };
        let credits_of =
            |minor, code: &str| rate.credits(Money { minor, currency: code.parse().unwrap() }).to_string();
        assert_eq!(credits_of(1_500, "JPY"), "1000");
        assert_eq!(credits_of(1_500, "KWD"), "1");
        assert_eq!(credits_of(1_000, "USD"), "6.666666", "rounded down");
    }

    #[test]
    fn what_is_not_sold_is_refused_with_the_field_and_the_values() {
        let topups = Catalog::built_in().topups().clone();
        let refused = |wanted, code| topups.quote(wanted, code).unwrap_err();
        assert_eq!(refused(Wanted::Pack("x"), None).field, "pack");
        assert!(!refused(Wanted::Pack("x"), None).allowed.is_empty());
        let pack = topups.packs[0].name.clone();
        assert_eq!(refused(Wanted::Pack(&pack), Some("XXX")).field, "currency");
        assert_eq!(refused(Wanted::Pack(&pack), None).allowed.len(), topups.packs[0].prices.len());
        assert_eq!(refused(Wanted::Amount(1_000), None).field, "currency");
        assert_eq!(refused(Wanted::Amount(0), Some("USD")).field, "amount");
        assert_eq!(refused(Wanted::Amount(u64::MAX), Some("USD")).field, "amount");
    }

    #[test]
    fn prices_that_cannot_be_charged_are_found() {
        let check = |text: &str| toml::from_str::<Topups>(text).unwrap().check();
        assert_eq!(check(""), Ok(()));
        for text in [
            "[amounts]\nUSD = { per_credit = 0, min = 1, max = 2 }",
            "[amounts]\nUSD = { per_credit = 10_000, min = 3, max = 2 }",
            "[amounts]\nUSD = { per_credit = 10_000, min = 1, max = 100_000_000 }",
            "[amounts]\nUSD = { per_credit = 1, min = 1, max = 99_999_999 }",
            "[[packs]]\nname = \"A\"\ntitle = \"a\"\ncredits = 1\nprices = { USD = 1 }",
            "[[packs]]\nname = \"a\"\ntitle = \"\"\ncredits = 1\nprices = { USD = 1 }",
            "[[packs]]\nname = \"a\"\ntitle = \"a\"\ncredits = 0\nprices = { USD = 1 }",
            "[[packs]]\nname = \"a\"\ntitle = \"a\"\ncredits = 1\nprices = {}",
            "[[packs]]\nname = \"a\"\ntitle = \"a\"\ncredits = 1\nprices = { USD = 1 }\n\
             [[packs]]\nname = \"a\"\ntitle = \"a\"\ncredits = 1\nprices = { USD = 1 }",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
        assert!(toml::from_str::<Topups>("[amounts]\nusd = { per_credit = 1, min = 1, max = 1 }").is_err());
    }
}
