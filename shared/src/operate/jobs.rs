//! Lists of jobs.

use domain::id::AccountId;
use domain::job::{Job, State};
use domain::time::Timestamp;

use crate::store::Error;
use crate::store::due::{Live, LiveJob};
use crate::store::jobs::JobStore;

/// How many jobs of an account are read at once.
const PAGE: i32 = 100;

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
    let is_new = |job: &Job| filter.since.is_none_or(|since| job.created_at() >= since);
    let (mut found, mut cursor) = (Vec::new(), None);
    while found.len() < limit {
        let page = store.list(account, PAGE, cursor).await?;
        let Some(last) = page.last() else { break };
        cursor = Some((last.created_at(), last.id().clone()));
        let is_last = !is_new(last);
        let listed = |job: &Job| is_new(job) && filter.status.is_none_or(|status| job.state() == status);
        found.extend(page.into_iter().filter(listed));
        if is_last {
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
