//! Money as integers: credits that callers pay, and dollars that attempts cost us.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{JobId, TopupId};

/// An amount of credits in micro-credits (1 credit = 1,000,000). Never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credits(u64);

impl Credits {
    pub const ZERO: Self = Self(0);
    /// One credit.
    pub const ONE: Self = Self(1_000_000);

    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> u64 {
        self.0
    }

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, at least zero.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub fn checked_mul(self, times: u64) -> Option<Self> {
        self.0.checked_mul(times).map(Self)
    }
}

impl fmt::Display for Credits {
    /// Credits without trailing zeros: `2.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if rest == 0 {
            write!(f, "{whole}")
        } else {
            write!(f, "{whole}.{}", format!("{rest:06}").trim_end_matches('0'))
        }
    }
}

/// *Our* cost of an attempt at its provider, in micro-dollars. Never mixed with credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// The same amount in credits: a credit is a cent.
    pub const fn as_credits(self) -> Credits {
        Credits(self.0.saturating_mul(100))
    }

    /// The amount of a decimal of dollars, as `0.35` or `4.5e-5`, rounded to the nearest micro-dollar, without
    /// floats. `None` for another form, an amount below zero, and one that does not fit.
    pub fn from_decimal(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{rest}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits: u128 = digits.parse().ok()?;
        let shift = exponent.checked_add(6)?.checked_sub(i32::try_from(rest.len()).ok()?)?;
        let scale = 10_u128.checked_pow(shift.unsigned_abs());
        let micros = match (shift >= 0, scale) {
            (true, Some(scale)) => digits.checked_mul(scale)?,
            (true, None) => return (digits == 0).then_some(Self(0)),
            (false, Some(scale)) => digits.checked_add(scale / 2)? / scale,
            // Less than a part of a micro-dollar in 10^38.
            (false, None) => 0,
        };
        u64::try_from(micros).ok().map(Self)
    }
}

impl Credits {
    /// The same amount in micro-dollars, rounded down: a credit is a cent.
    pub const fn as_usd(self) -> MicroUsd {
        MicroUsd(self.0 / 100)
    }
}

/// The balance of an account in micro-credits. Only money that left again takes it below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Balance(i64);

impl Balance {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// What can be spent: nothing of a balance below zero.
    pub fn available(self) -> Credits {
        Credits(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", Credits(self.0.unsigned_abs()))
    }
}

impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// One line of an account's ledger. Its key makes it idempotent: one per job and kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// The quoted price, charged when the job is created.
    Charge { job: JobId, amount: Credits },
    /// The refund when the job ends without a result.
    Refund { job: JobId, amount: Credits },
    /// Credits granted by the operator, or for a payment; `id` makes a repeat safe.
    Grant {
        id: String,
        amount: Credits,
        /// The purchase that was paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topup: Option<TopupId>,
    },
    /// Credits taken back for money that left again, by one refund or dispute. It alone may take a balance
    /// below zero.
    Clawback { id: String, amount: Credits, topup: TopupId },
    /// Credits given back for money that came back, of one refund or dispute.
    Reinstate { id: String, amount: Credits, topup: TopupId },
}

impl Entry {
    /// Its kind, as it is shown.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Charge { .. } => "charge",
            Self::Refund { .. } => "refund",
            Self::Grant { .. } => "grant",
            Self::Clawback { .. } => "clawback",
            Self::Reinstate { .. } => "reinstate",
        }
    }

    pub fn amount(&self) -> Credits {
        match self {
            Self::Charge { amount, .. }
            | Self::Refund { amount, .. }
            | Self::Grant { amount, .. }
            | Self::Clawback { amount, .. }
            | Self::Reinstate { amount, .. } => *amount,
        }
    }

    /// What it does to the balance, in micro-credits.
    pub fn effect(&self) -> i128 {
        let amount = i128::from(self.amount().micros());
        match self {
            Self::Charge { .. } | Self::Clawback { .. } => -amount,
            Self::Refund { .. } | Self::Grant { .. } | Self::Reinstate { .. } => amount,
        }
    }

    pub fn job(&self) -> Option<&JobId> {
        match self {
            Self::Charge { job, .. } | Self::Refund { job, .. } => Some(job),
            Self::Grant { .. } | Self::Clawback { .. } | Self::Reinstate { .. } => None,
        }
    }

    /// The purchase that it is of.
    pub const fn topup(&self) -> Option<&TopupId> {
        match self {
            Self::Clawback { topup, .. } | Self::Reinstate { topup, .. } => Some(topup),
            Self::Grant { topup, .. } => topup.as_ref(),
            Self::Charge { .. } | Self::Refund { .. } => None,
        }
    }

    /// What makes it unique beside its kind, of a line that is not of a job.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Grant { id, .. } | Self::Clawback { id, .. } | Self::Reinstate { id, .. } => Some(id),
            Self::Charge { .. } | Self::Refund { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_print_without_trailing_zeros() {
        assert_eq!(Credits::from_micros(2_500_000).to_string(), "2.5");
        assert_eq!(Credits::from_micros(3_000_000).to_string(), "3");
        assert_eq!(Credits::from_micros(1).to_string(), "0.000001");
        assert_eq!(MicroUsd(1_600_000).to_string(), "$1.600000");
    }

    #[test]
    fn decimals_of_dollars_are_read_exactly_and_rounded_once() {
        for (text, micros) in [
            ("0", 0),
            ("0.35", 350_000),
            ("12", 12_000_000),
            (".5", 500_000),
            ("0.0000004", 0),
            ("0.0000005", 1),
            ("0.29999999999999998", 300_000),
            ("4.5e-5", 45),
            ("1E2", 100_000_000),
            ("1e-99", 0),
            ("0e99", 0),
        ] {
            assert_eq!(MicroUsd::from_decimal(text), Some(MicroUsd(micros)), "{text}");
        }
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1,5",
            "$1",
            "1 ",
            "NaN",
            "1e",
            "1e99",
            "1e-99999999999",
            "١",
            &"9".repeat(50),
        ] {
            assert_eq!(MicroUsd::from_decimal(text), None, "{text}");
        }
    }

    #[test]
    fn an_overflowing_sum_is_none() {
        assert_eq!(Credits::from_micros(u64::MAX).checked_add(Credits::ONE), None);
        assert_eq!(Credits::ONE.checked_mul(u64::MAX), None);
    }

    #[test]
    fn a_credit_is_a_cent() {
        assert_eq!(MicroUsd(10_000).as_credits(), Credits::ONE);
        assert_eq!(Credits::ONE.as_usd(), MicroUsd(10_000));
        assert_eq!(MicroUsd(u64::MAX).as_credits().micros(), u64::MAX);
    }

    #[test]
    fn a_difference_is_never_negative() {
        let (two, three) = (Credits::from_micros(2), Credits::from_micros(3));
        assert_eq!((three.less(two), two.less(three)), (Credits::from_micros(1), Credits::ZERO));
    }

    #[test]
    fn credits_add_up_and_multiply() {
        let (two, three) = (Credits::from_micros(2), Credits::from_micros(3));
        assert_eq!(two.checked_add(three).map(Credits::micros), Some(5));
        assert_eq!(two.checked_mul(3).map(Credits::micros), Some(6));
    }

    #[test]
    fn a_ledger_line_has_its_amount_and_its_job() {
        let (job, amount) = (JobId::from_bytes([7; 16]), Credits::from_micros(3));
        let charge = Entry::Charge { job: job.clone(), amount };
        let refund = Entry::Refund { job: job.clone(), amount };
        let grant = Entry::Grant { id: "g1".to_owned(), amount, topup: None };
        assert_eq!([&charge, &refund, &grant].map(Entry::amount), [amount; 3]);
        assert_eq!([&charge, &refund, &grant].map(Entry::job), [Some(&job), Some(&job), None]);
    }

    #[test]
    fn lines_of_a_purchase_name_it_and_older_grants_are_read() {
        let topup: TopupId = "top_a".parse().unwrap();
        let (id, amount) = ("stripe:re_1".to_owned(), Credits::from_micros(3));
        let clawback = Entry::Clawback { id: id.clone(), amount, topup: topup.clone() };
        let reinstate = Entry::Reinstate { id, amount, topup: topup.clone() };
        assert_eq!([&clawback, &reinstate].map(Entry::effect), [-3, 3]);
        assert_eq!([&clawback, &reinstate].map(Entry::topup), [Some(&topup); 2]);
        let old: Entry = serde_json::from_str(r#"{"kind":"grant","id":"g1","amount":3}"#).unwrap();
        assert_eq!(old, Entry::Grant { id: "g1".to_owned(), amount, topup: None });
    }

    #[test]
    fn a_balance_below_zero_has_a_sign_and_nothing_to_spend() {
        let balance = Balance::from_micros(-2_500_000);
        assert_eq!((balance.to_string(), balance.available()), ("-2.5".to_owned(), Credits::ZERO));
        assert_eq!(Balance::from_micros(3_000_000).to_string(), "3");
    }
}
