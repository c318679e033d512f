//! One sweep over what is due of one shard, of any kind.

use std::time::Duration;

use domain::time::Timestamp;
use shared::edge::batch::BoxError;
use shared::store::Error;
use shared::store::due::PageEnd;

use super::Run;

/// Items per read.
pub(crate) const PAGE_MAX: i32 = 100;

/// What one sweep found due, and the longest delay.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) count: usize,
    pub(crate) overdue: Duration,
    /// The first error. One of a page stopped no other page.
    pub(crate) failed: Option<BoxError>,
}

impl FromIterator<Self> for Swept {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            count: sum.count + one.count,
            overdue: sum.overdue.max(one.overdue),
            failed: sum.failed.or(one.failed),
        })
    }
}

/// One shard of the due index.
pub(crate) trait Shard {
    type Due;

    /// A page of what is due, longest overdue first, and its end if there are more.
    fn page(
        &self,
        run: &Run<'_>,
        start: Option<PageEnd>,
    ) -> impl Future<Output = Result<(Vec<Self::Due>, Option<PageEnd>), Error>> + Send;

    fn check_at(due: &Self::Due) -> Timestamp;

    /// Sends the messages of a page. The first error is returned once all are sent.
    fn send(&self, run: &Run<'_>, due: Vec<Self::Due>) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// Moves the checks of what is due, before anything is sent: of two concurrent runs, one alone sends. Gives what this
/// run has moved, and the errors of the rest: one that cannot be moved stops no other.
pub(crate) async fn claim<D, F: Future<Output = Result<Option<D>, Error>>>(
    due: Vec<D>,
    check_again: impl Fn(D) -> F,
) -> (Vec<D>, Vec<Result<(), Error>>) {
    let (mut claimed, mut errors) = (Vec::new(), Vec::new());
    for due in due {
        match check_again(due).await {
            Ok(moved) => claimed.extend(moved),
            Err(error) => errors.push(Err(error)),
        }
    }
    (claimed, errors)
}

/// Sends the messages of what is due by pages, until there is no more or the time of the run is short. Each item is
/// read once: one that stays due keeps none behind it from its turn.
pub(crate) async fn sweep<S: Shard>(shard: S, run: &Run<'_>) -> Swept {
    let (mut swept, mut start) = (Swept::default(), None);
    while !run.is_short_of_time() {
        let (due, end) = match shard.page(run, start).await {
            Ok(page) => page,
            Err(error) => {
                swept.failed.get_or_insert(error.into());
                break;
            }
        };
        let first = due.first().map_or(Duration::ZERO, |first| run.now.since(S::check_at(first)));
        swept.overdue = swept.overdue.max(first);
        swept.count += due.len();
        swept.failed = swept.failed.or(shard.send(run, due).await.err());
        if end.is_none() {
            break;
        }
        start = end;
    }
    swept
}
