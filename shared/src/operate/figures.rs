//! Numbers of a stack from its table: bounded reads, whatever the table holds.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::store::events::EventStore;
use crate::store::jobs::JobStore;
use crate::store::keys::{DUE_SHARDS, EVENT_SHARDS};
use crate::store::watch::WatchStore;
use crate::store::{Error, Table};
use domain::delivery::Delivery;
use domain::figures::Figures;
use domain::id::{AccountId, EventId};
use domain::time::Timestamp;

/// Events of one account whose deliveries are read: the newest.
const EVENTS_MAX: i32 = 20;
/// Events of all accounts.
const ALL_EVENTS_MAX: usize = 500;
const CONCURRENCY: usize = 10;

/// The numbers of the jobs that were submitted since then by these accounts, by those with an active job
/// now, and by those that `health` saw with one within a day, at most 200.
///
/// Of each account the newest 1,000 jobs are listed, and of all 1,000 are read: an even sample if there are
/// more. The lag of callbacks is of the newest 20 events of an account, and of 500 at most.
pub async fn read(
    table: &Table,
    accounts: Vec<AccountId>,
    since: Timestamp,
    now: Timestamp,
) -> Result<Figures, Error> {
    let (watch, events) = (WatchStore::new(table.clone()), EventStore::new(table.clone()));
    let mut all: BTreeSet<_> = watch.get().await?.accounts.into_keys().chain(accounts).collect();
    all.extend(watch.active_accounts(now).await?);
    let all: Vec<_> = all.into_iter().collect();
    let (jobs, submitted) = watch.jobs(all.clone(), since).await?;
    let deliveries = deliveries(&events, all, since).await?;
    let jobs_due = JobStore::new(table.clone());
    let jobs_due = try_join_all((0..DUE_SHARDS).map(|shard| jobs_due.due(shard, now, 1))).await?;
    let events_due = try_join_all((0..EVENT_SHARDS).map(|shard| events.due(shard, now, 1, None))).await?;
    let job = jobs_due.iter().flatten().map(|due| due.check_at).min();
    let event = events_due.iter().flat_map(|(due, _)| due).map(|due| due.check_at).min();
    Ok(Figures::of(&jobs, submitted, &deliveries).overdue(job, event, now))
}

async fn deliveries(
    events: &EventStore,
    accounts: Vec<AccountId>,
    since: Timestamp,
) -> Result<Vec<Delivery>, Error> {
    let listed: Vec<EventId> = stream::iter(accounts)
        .map(async |account| {
            let page = events.list(&account, EVENTS_MAX, None).await?;
            let recent = page.items.into_iter().filter(|event| event.created_at > since);
            Ok::<_, Error>(recent.map(|event| event.id).collect::<Vec<_>>())
        })
        .buffer_unordered(CONCURRENCY)
        .try_concat()
        .await?;
    stream::iter(listed.into_iter().take(ALL_EVENTS_MAX))
        .map(async |id| Ok(events.with_deliveries(&id).await?.map_or_else(Vec::new, |(_, found)| found)))
        .buffer_unordered(CONCURRENCY)
        .try_concat()
        .await
}
