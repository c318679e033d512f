//! Lists of jobs.

use domain::id::{AccountId, JobId};
use domain::job::{Job, State};
use domain::time::Timestamp;

use crate::store::Error;
use crate::store::due::{Live, LiveJob};
use crate::store::jobs::JobStore;

/// How many jobs of an account are read at once for a list of all.
const PAGE: i32 = 100;
/// The least number of jobs that a filtered list reads at once.
const PAGE_MIN: i32 = 20;
/// How often a filtered page reads before it is returned with what it has found.
const READS_MAX: usize = 10;

/// The place of a job in the list of its account.
pub type Place = (Timestamp, JobId);

/// A page of an account's jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    pub jobs: Vec<Job>,
    /// Where the next page begins, if there may be one: also of a page that has found nothing yet.
    pub next: Option<Place>,
}

/// Up to `limit` jobs of an account with this status, newest first, after a place.
pub async fn page(
    store: &JobStore,
    account: &AccountId,
    status: Option<State>,
    limit: i32,
    mut after: Option<Place>,
) -> Result<Page, Error> {
    let wanted = usize::try_from(limit).unwrap_or(0);
    let size = if status.is_some() { limit.max(PAGE_MIN) } else { limit };
    let mut jobs = Vec::new();
    for _ in 0..READS_MAX {
        let read = store.list(account, size, after.clone()).await?;
        let is_last = read.len() < usize::try_from(size).unwrap_or(0);
        for job in read {
            after = Some((job.created_at(), job.id().clone()));
            if status.is_none_or(|status| status == job.state()) {
                jobs.push(job);
            }
            if jobs.len() == wanted {
                return Ok(Page { jobs, next: after });
            }
        }
        if is_last {
            return Ok(Page { jobs, next: None });
        }
    }
    Ok(Page { jobs, next: after })
}

/// Which jobs of an account are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    pub status: Option<State>,
    /// Only jobs created then or later.
    pub since: Option<Timestamp>,
}

/// Up to `limit` jobs of an account, newest first.
pub async fn of_account(
    store: &JobStore,
    account: &AccountId,
    filter: Filter,
    limit: usize,
) -> Result<Vec<Job>, Error> {
    let is_new = |at: Timestamp| filter.since.is_none_or(|since| at >= since);
    let (mut found, mut after) = (Vec::new(), None);
    while found.len() < limit {
        let page = page(store, account, filter.status, PAGE, after).await?;
        found.extend(page.jobs.into_iter().filter(|job| is_new(job.created_at())));
        after = page.next.filter(|(at, _)| is_new(*at));
        if after.is_none() {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// Up to `limit` active jobs with this status, longest overdue first; with `stuck`, only those whose
/// check is long overdue or whose deadline has passed.
pub async fn active(
    store: &JobStore,
    stuck: bool,
    status: Option<State>,
    limit: usize,
    now: Timestamp,
) -> Result<Live, Error> {
    let is_listed = |live: &LiveJob| {
        (!stuck || live.is_stuck(now)) && status.is_none_or(|status| live.job.state() == status)
    };
    store.live(limit, is_listed).await
}
