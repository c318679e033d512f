//! Budgets: what an account or an API key may be charged in a period of UTC.
//!
//! A job is charged to the counters of its period and keeps their names, so that its refund goes back to the
//! same ones.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::credit::Credits;
use super::id::KeyId;
use super::time::Timestamp;

/// The shares of a budget that are an event when a charge reaches them, in percent.
pub const MARKS: [u8; 3] = [50, 80, 100];

/// How long a budget lasts before it begins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    Day,
    Month,
    /// It never begins again.
    Total,
}

impl Period {
    pub const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The period of this kind that a time is in: `2026-11-30`, `2026-11` or `total`.
    fn label(self, at: Timestamp) -> String {
        let date = at.to_string();
        match self {
            Self::Day => date.chars().take("2026-11-30".len()).collect(),
            Self::Month => date.chars().take("2026-11".len()).collect(),
            Self::Total => "total".to_owned(),
        }
    }
}

/// The limits of an account or a key; absent ones do not exist. Its fields are those of a stored policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Budgets {
    #[serde(rename = "budget_day", default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Credits>,
    #[serde(rename = "budget_month", default, skip_serializing_if = "Option::is_none")]
    pub month: Option<Credits>,
    #[serde(rename = "budget_total", default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Credits>,
}

impl Budgets {
    pub const fn limit(self, period: Period) -> Option<Credits> {
        match period {
            Period::Day => self.day,
            Period::Month => self.month,
            Period::Total => self.total,
        }
    }

    pub const fn set(&mut self, period: Period, limit: Credits) {
        match period {
            Period::Day => self.day = Some(limit),
            Period::Month => self.month = Some(limit),
            Period::Total => self.total = Some(limit),
        }
    }

    /// The budgets that a charge at this time counts against.
    pub fn at(self, holder: Holder, now: Timestamp) -> impl Iterator<Item = Budget> {
        Period::ALL.into_iter().filter_map(move |period| {
            let counter = Counter { holder: holder.clone(), label: period.label(now) };
            self.limit(period).map(|limit| Budget { counter, limit })
        })
    }
}

/// Whose spending is counted. The account is that of the job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    Account,
    Key(KeyId),
}

impl Holder {
    const ACCOUNT: &'static str = "account";

    fn name(&self) -> &str {
        match self {
            Self::Account => Self::ACCOUNT,
            Self::Key(id) => id.as_str(),
        }
    }
}

/// What counts the charges of one holder in one period, less their refunds: `account/2026-11`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Counter {
    holder: Holder,
    label: String,
}

/// A text that names no counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a counter, such as `account/2026-11`")]
pub struct InvalidCounter;

impl Counter {
    pub const fn holder(&self) -> &Holder {
        &self.holder
    }

    pub fn period(&self) -> Period {
        match self.label.len() {
            10 => Period::Day,
            7 => Period::Month,
            _ => Period::Total,
        }
    }

    /// When its period has ended and the next begins; `None` for one that never ends.
    pub fn begins_again(&self) -> Option<Timestamp> {
        match self.period() {
            Period::Day => Some(Timestamp::of_day(&self.label)? + Duration::from_secs(24 * 3_600)),
            Period::Month => Some(Timestamp::of_day(&format!("{}-01", self.label))?.month()?.1),
            Period::Total => None,
        }
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.holder.name(), self.label)
    }
}

impl FromStr for Counter {
    type Err = InvalidCounter;

    fn from_str(text: &str) -> Result<Self, InvalidCounter> {
        let (holder, label) = text.split_once('/').ok_or(InvalidCounter)?;
        let holder = match holder {
            Holder::ACCOUNT => Holder::Account,
            id => Holder::Key(id.parse().map_err(|_no_id| InvalidCounter)?),
        };
        let counter = Self { holder, label: label.to_owned() };
        let is_label = counter.begins_again().is_some() || label == "total";
        if is_label { Ok(counter) } else { Err(InvalidCounter) }
    }
}

impl TryFrom<String> for Counter {
    type Error = InvalidCounter;

    fn try_from(text: String) -> Result<Self, InvalidCounter> {
        text.parse()
    }
}

impl From<Counter> for String {
    fn from(counter: Counter) -> Self {
        counter.to_string()
    }
}

/// A limit and what is counted against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    pub counter: Counter,
    pub limit: Credits,
}

impl Budget {
    /// What counts the volume of an account in the month of a time. It refuses no charge.
    pub fn volume(at: Timestamp) -> Self {
        let counter = Counter { holder: Holder::Account, label: Period::Month.label(at) };
        Self { counter, limit: Credits::from_micros(u64::MAX) }
    }
}

/// What is recorded of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Charges less refunds.
    pub spent: Credits,
    /// The amount up to which shares of a limit were events: a limit may have been another then.
    pub announced: Credits,
}

/// What a charge does to a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    Fits,
    /// It fits, and is the first to reach this one of [`MARKS`]: the highest that it reaches.
    Reaches(u8),
    Exceeds,
}

impl Budget {
    /// What a charge does to it from here.
    pub fn charge(&self, from: Spent, price: Credits) -> Charge {
        let after = from.spent.checked_add(price).filter(|after| *after <= self.limit);
        let Some(after) = after else { return Charge::Exceeds };
        let reached = MARKS.into_iter().rev().find(|mark| after >= self.share(*mark));
        let is_news = |mark: &u8| self.share(*mark) > from.announced;
        reached.filter(is_news).map_or(Charge::Fits, Charge::Reaches)
    }

    /// The least amount that is this many percent of the limit.
    pub fn share(&self, percent: u8) -> Credits {
        let share = (u128::from(self.limit.micros()) * u128::from(percent)).div_ceil(100);
        Credits::from_micros(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

/// A budget with what is spent of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub budget: Budget,
    pub spent: Credits,
}

impl Standing {
    /// As the API, events and commands show it.
    pub fn json(&self) -> Value {
        let Budget { counter, limit } = &self.budget;
        let key = match counter.holder() {
            Holder::Account => None,
            Holder::Key(id) => Some(id),
        };
        json!({
            "of": if key.is_some() { "key" } else { Holder::ACCOUNT },
            "key": key,
            "period": counter.period().name(),
            "limit_micro_credits": limit.micros(),
            "spent_micro_credits": self.spent.micros(),
            "begins_again_at": counter.begins_again().map(|at| at.to_string()),
        })
    }

    /// Of several: the one that begins again last, one that never does before all.
    pub fn longest(standings: impl IntoIterator<Item = Self>) -> Option<Self> {
        standings.into_iter().max_by_key(|standing| {
            let end = standing.budget.counter.begins_again();
            (end.is_none(), end)
        })
    }
}

impl fmt::Display for Standing {
    /// `The budget of this key is 100 credits a month, of which 96 are spent; it begins again at ….`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Budget { counter, limit } = &self.budget;
        let of = match counter.holder() {
            Holder::Account => "account",
            Holder::Key(_) => "key",
        };
        let per = match counter.period() {
            Period::Day => " a day",
            Period::Month => " a month",
            Period::Total => " in total",
        };
        write!(f, "The budget of this {of} is {limit} credits{per}, of which {} are spent", self.spent)?;
        match counter.begins_again() {
            Some(at) => write!(f, "; it begins again at {at}."),
            None => f.write_str("; it does not begin again."),
        }
    }
}

#[cfg(test)]
mod tests;
