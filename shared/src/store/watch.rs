//! What `health` reads of jobs and keeps of its looks. It adds nothing to a job's own calls: the jobs are found
//! by the indexes that they are in anyway.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::events::event_put;
use super::item::{from_item, key, number, text, text_of, to_item};
use super::jobs::JobStore;
use super::keys::{self, PK, WATCH};
use super::{Error, Table};
use domain::event::Event;
use domain::id::{AccountId, JobId};
use domain::job::{CHECK_EVERY, Job};
use domain::policy::rules::Window;
use domain::policy::watch::Watch;
use domain::time::Timestamp;

/// Active jobs of one shard whose accounts are noted.
const LOOK_MAX: i32 = 5;
/// Jobs of one account that are listed for a window: the newest.
const LISTED_MAX: i32 = 1_000;
/// Jobs that are read for a window; of more, every second, third and so on.
const READ_MAX: usize = 1_000;
const CONCURRENCY: usize = 10;

/// The item of `health`, and the jobs that it looks at.
#[derive(Debug, Clone)]
pub struct WatchStore {
    table: Table,
    jobs: JobStore,
}

impl WatchStore {
    pub fn new(table: Table) -> Self {
        Self { jobs: JobStore::new(table.clone()), table }
    }

    /// What the last look kept.
    pub async fn get(&self) -> Result<Watch, Error> {
        let doing = "read the watch";
        let items = self.table.batch_get_now(doing, vec![key(WATCH, WATCH)]).await?;
        let item = items.into_iter().next();
        Ok(item.map(|item| from_item(doing, item)).transpose()?.unwrap_or_default())
    }

    /// Writes the next version with its events. `false` if another run was faster.
    #[expect(clippy::disallowed_methods, reason = "the one write of the watch")]
    pub async fn put(&self, watch: &Watch, events: &[Event]) -> Result<bool, Error> {
        let doing = "write the watch";
        let mut item = to_item(doing, watch)?;
        item.extend(key(WATCH, WATCH));
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(PK) OR version = :before")
            .expression_attribute_values(":before", number(watch.version.saturating_sub(1)))
            .build()
            .expect("table and item are set");
        let mut writes = vec![TransactWriteItem::builder().put(put).build()];
        for event in events {
            writes.push(event_put(&self.table, event)?);
        }
        let sent = self.table.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(_)) => Ok(false),
                _ => Err(Error::sdk(doing, error)),
            },
        }
    }

    /// Accounts that have an active job now: of each shard of the due index, some of those that are looked at
    /// last, but for jobs whose check was put off because it failed.
    pub async fn active_accounts(&self, now: Timestamp) -> Result<BTreeSet<AccountId>, Error> {
        let shards = try_join_all((0..keys::DUE_SHARDS).map(|shard| self.last_checked(shard, now))).await?;
        let jobs = self.jobs.get_many("read active jobs", shards.concat()).await?;
        Ok(jobs.iter().map(|job| job.account().clone()).collect())
    }

    async fn last_checked(&self, shard: u8, now: Timestamp) -> Result<Vec<JobId>, Error> {
        let doing = format!("read active jobs of shard {shard} of the due index");
        let query = self.table.client.query().table_name(&self.table.name).index_name(keys::DUE_INDEX);
        let answer = query
            .key_condition_expression("due_shard = :shard AND check_at <= :soon")
            .expression_attribute_values(":shard", text(keys::due_shard(shard)))
            .expression_attribute_values(":soon", number((now + CHECK_EVERY).as_millis()))
            .scan_index_forward(false)
            .limit(LOOK_MAX)
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        let items = answer.items.unwrap_or_default();
        Ok(items.iter().filter_map(|item| text_of(item, PK).and_then(keys::parse_job)).collect())
    }

    /// What the jobs of these accounts say that were submitted since then.
    pub async fn window(&self, accounts: Vec<AccountId>, since: Timestamp) -> Result<Window, Error> {
        let (jobs, listed) = self.jobs(accounts, since).await?;
        Ok(Window::of(&jobs, listed))
    }

    /// The jobs of these accounts that were submitted since then, or an even sample of them, and how many
    /// were listed.
    pub async fn jobs(&self, accounts: Vec<AccountId>, since: Timestamp) -> Result<(Vec<Job>, usize), Error> {
        let listed = stream::iter(accounts)
            .map(async |account| self.jobs_since(&account, since).await)
            .buffer_unordered(CONCURRENCY)
            .try_concat()
            .await?;
        let step = listed.len().div_ceil(READ_MAX).max(1);
        let sample: Vec<JobId> = listed.iter().step_by(step).cloned().collect();
        let jobs = self.jobs.get_many("read the jobs of a window", sample).await?;
        Ok((jobs, listed.len()))
    }

    async fn jobs_since(&self, account: &AccountId, since: Timestamp) -> Result<Vec<JobId>, Error> {
        let doing = format!("list the latest jobs of {account}");
        let query = self.table.client.query().table_name(&self.table.name).index_name(keys::ACCOUNT_INDEX);
        let answer = query
            .key_condition_expression("account_key = :account AND created_at > :since")
            .expression_attribute_values(":account", text(keys::account(account)))
            .expression_attribute_values(":since", number(since.as_millis()))
            .scan_index_forward(false)
            .limit(LISTED_MAX)
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        let items = answer.items.unwrap_or_default();
        Ok(items.iter().filter_map(|item| text_of(item, PK).and_then(keys::parse_job)).collect())
    }
}
