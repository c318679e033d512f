//! Lists of what an account was billed for, or had made.

use std::collections::BTreeSet;

use domain::bill::{Known, Line, Period};
use domain::catalog::Catalog;
use domain::credit::MicroUsd;
use domain::provider::Provider;
use domain::time::Timestamp;
use serde_json::Value;

use super::adapters::adapter;
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

/// A whole list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    pub lines: Vec<Line>,
    /// Of a list by endpoint, the endpoints that the provider knows of those asked for.
    pub endpoints: Option<BTreeSet<String>>,
}

impl Bill {
    /// Keeps the attempts that it names, and those on routes of which it has all: of a list by endpoint, if the
    /// provider knows each endpoint of the route, and the catalogue says which they are. Returns the other routes.
    pub fn keep_listed(
        &self,
        provider: Provider,
        catalog: &Catalog,
        known: &mut Vec<Known>,
    ) -> BTreeSet<String> {
        let is_whole = |name: &str| {
            let Some(listed) = &self.endpoints else { return adapter(provider).lists_route(name) };
            let is_listed = |endpoint: &str| listed.contains(endpoint);
            catalog.route(name).is_some_and(|route| route.endpoints().all(is_listed))
        };
        let named: BTreeSet<&str> = self.lines.iter().map(|line| &*line.remote).collect();
        let mut others = BTreeSet::new();
        known.retain(|known| {
            let is_whole = is_whole(&known.route);
            if !is_whole {
                others.insert(known.route.clone());
            }
            is_whole || named.contains(&*known.remote)
        });
        others
    }
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
