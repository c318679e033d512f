//! Lists of what an account was billed for, or had made.

use domain::bill::{Line, Period};
use domain::credit::MicroUsd;
use domain::time::Timestamp;
use serde_json::Value;

use super::reading::{remote, text};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct BillOf<'a> {
    pub period: Period,
    /// The endpoints of our routes, for lists by endpoint.
    pub endpoints: Vec<&'a str>,
    /// The key may read bills. Without, a provider that reserves them lists only what it made.
    pub is_admin: bool,
}

/// One page of a list, from its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillPage {
    pub lines: Vec<Line>,
    /// Where the next page begins.
    pub next: Option<String>,
}

impl BillPage {
    /// The page with these items; `part` returns id, time and amount in dollars of one. `None` if an id cannot be
    /// read: a bill without one of its lines would seem to agree.
    pub(super) fn of<'v>(
        items: &'v [Value],
        next: Option<String>,
        part: impl Fn(&'v Value) -> (&'v Value, Option<Timestamp>, &'v Value),
    ) -> Option<Self> {
        let line = |item| {
            let (id, at, amount) = part(item);
            let cost = text(amount).map(|amount| MicroUsd::from_decimal(&amount));
            // An amount that is there must be one.
            Some(Line {
                number: 0,
                remote: remote(id)?.id,
                at: at.map(Period::at),
                cost: cost.map_or(Some(None), |it| it.map(Some))?,
            })
        };
        Some(Self { lines: items.iter().map(line).collect::<Option<_>>()?, next })
    }
}

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoList {
    #[error("it has no such list")]
    Unlisted,
    /// With what its answer says, cleaned.
    #[error("it answered {status}: {says}")]
    Refused { status: u16, says: String },
    #[error("it did not answer: {0}")]
    NoAnswer(&'static str),
    #[error("its answer is not a page of its list")]
    Unreadable,
    #[error("its list has more than {0} pages: select a shorter period")]
    TooLong(usize),
}
