//! Usage of an account by pages.

use domain::id::AccountId;
use domain::time::Timestamp;
use domain::usage::{Group, Usage, Width};

use crate::store::Error;
use crate::store::usage::{Place, UsageStore};

/// What is wanted, in whole buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub start: Timestamp,
    /// Exclusive.
    pub end: Timestamp,
    pub width: Width,
    pub groups: Vec<Group>,
    /// Buckets of a page, at most.
    pub limit: u32,
}

/// Some buckets of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub usage: Usage,
    /// The starts of its buckets. The last may have only a part of its jobs: the next page begins with the
    /// same bucket then, and has the rest.
    pub starts: Vec<Timestamp>,
    /// Where the next page begins.
    pub next: Option<Place>,
}

/// The page of an account's usage that begins at a place, with up to `jobs_max` jobs; each job is in one page.
pub async fn page(
    store: &UsageStore,
    account: &AccountId,
    query: &Query,
    from: &Place,
    jobs_max: i32,
) -> Result<Page, Error> {
    let Query { width, limit, .. } = *query;
    let first = width.start(from.0);
    let end = query.end.min(first + width.times(limit));
    let (records, more) = store.page(account, from, end, jobs_max).await?;
    let mut usage = Usage::new(width, query.groups.clone());
    records.iter().for_each(|record| usage.add(record));
    let last = more.as_ref().map_or(end, |(at, _)| width.start(*at) + width.times(1));
    let starts = std::iter::successors(Some(first), |start| Some(*start + width.times(1)));
    let starts = starts.take_while(|start| *start < last).collect();
    let next = more.or_else(|| (end < query.end).then_some((end, None)));
    Ok(Page { usage, starts, next })
}
