//! The due index: active jobs whose check is due.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

use super::item::{Item, key, number, number_of, text, text_of};
use super::jobs::{JobStore, job_from_item};
use super::keys::{self, CHECK_AT, PK};
use super::{Error, Table};
use domain::id::JobId;
use domain::job::{CHECK_EVERY, Job};
use domain::time::Timestamp;

/// An active job whose `check_at` has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub job: JobId,
    pub check_at: Timestamp,
}

/// The end of a page of the due index.
#[derive(Debug)]
pub struct PageEnd(Item);

/// A due job.
#[derive(Debug)]
pub struct DueJob {
    pub due: Due,
    /// Consecutive failures to reconcile it.
    pub failures: u32,
    pub job: Result<Job, Error>,
}

/// Consecutive failures to reconcile a job.
const CHECK_FAILURES: &str = "check_failures";
/// Maximum back-off of a job that could not be reconciled.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// 2, 4, 8 … 60 minutes.
fn failure_pause(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.min(16));
    CHECK_EVERY.saturating_mul(doubled).min(FAILURE_PAUSE_MAX)
}

/// How long a check may be overdue before its job counts as stuck: several runs of `reconcile` have
/// missed it.
pub const STUCK_AFTER: Duration = Duration::from_secs(600);
/// Jobs per read.
const LIVE_PAGE: usize = 100;

/// An active job and its next check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveJob {
    pub job: Job,
    pub check_at: Timestamp,
}

/// Active jobs, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub jobs: Vec<LiveJob>,
    /// Jobs that this release cannot read.
    pub unreadable: Vec<JobId>,
}

impl LiveJob {
    /// Whether its check is long overdue, or its deadline has passed.
    pub fn is_stuck(&self, now: Timestamp) -> bool {
        now > self.check_at + STUCK_AFTER || now >= self.job.deadline()
    }
}

impl JobStore {
    /// The first `limit` active jobs that match `filter`, longest overdue first, over all shards.
    ///
    /// Reads the keys of all active jobs, and the jobs until the limit is reached: for operators. Jobs
    /// that move meanwhile may be missing. Unreadable ones are named.
    pub async fn live(&self, limit: usize, filter: impl Fn(&LiveJob) -> bool) -> Result<Live, Error> {
        let mut due = Vec::new();
        for shard in 0..keys::DUE_SHARDS {
            self.read_shard(shard, &mut due).await?;
        }
        due.sort_by_key(|due| due.check_at);
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for page in due.chunks(LIVE_PAGE) {
            let ids: Vec<JobId> = page.iter().map(|due| due.job.clone()).collect();
            let (jobs, others) = self.get_readable("read the live jobs", ids).await?;
            unreadable.extend(others);
            for job in jobs {
                let check_at = page.iter().find(|due| due.job == *job.id()).map(|due| due.check_at);
                let live = check_at.filter(|_| !job.state().is_terminal());
                found.extend(live.map(|check_at| LiveJob { job, check_at }).filter(&filter));
            }
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(Live { jobs: found, unreadable })
    }

    /// All of one shard of the due index, due or not.
    pub(super) async fn read_shard(&self, shard: u8, due: &mut Vec<Due>) -> Result<(), Error> {
        let doing = format!("read all of shard {shard} of the due index");
        let query = self.table.client.query().table_name(&self.table.name).index_name(keys::DUE_INDEX);
        let query = query.key_condition_expression("due_shard = :shard");
        let query = query.expression_attribute_values(":shard", text(keys::due_shard(shard)));
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.next().await {
            due.extend(due_of(&item.map_err(|source| Error::sdk(&doing, source))?));
        }
        Ok(())
    }

    /// Due jobs of one shard, longest overdue first.
    pub async fn due(&self, shard: u8, now: Timestamp, limit: i32) -> Result<Vec<Due>, Error> {
        Ok(self.due_page(shard, now, limit, None).await?.0)
    }

    /// As [`due`](Self::due), by pages. Returns the end of the page if there are more.
    pub async fn due_page(
        &self,
        shard: u8,
        now: Timestamp,
        limit: i32,
        start: Option<PageEnd>,
    ) -> Result<(Vec<Due>, Option<PageEnd>), Error> {
        let doing = format!("read shard {shard} of the due index");
        self.table.due_page(&doing, keys::due_shard(shard), (now, limit), start, due_of).await
    }

    /// The current state of due jobs, or why a job is unreadable. Missing ones are omitted.
    pub async fn read_due(&self, due: &[Due]) -> Result<Vec<DueJob>, Error> {
        let doing = "read the jobs that are due";
        // An index may show a moving job twice, and a batch read accepts each key once.
        let jobs: BTreeSet<&JobId> = due.iter().map(|due| &due.job).collect();
        let keys = jobs.into_iter().map(|job| key(keys::job(job), keys::JOB)).collect();
        let items = self.table.batch_get_now(doing, keys).await?;
        let mut by_key: HashMap<String, Item> =
            items.into_iter().filter_map(|item| Some((text_of(&item, PK)?.to_owned(), item))).collect();
        let found = due.iter().filter_map(|due| {
            let item = by_key.remove(&keys::job(&due.job))?;
            let failures = number_of(&item, CHECK_FAILURES).unwrap_or(0);
            Some(DueJob { due: due.clone(), failures, job: job_from_item(doing, item) })
        });
        Ok(found.collect())
    }

    /// Moves the check of a job that could not be reconciled, with exponential back-off. The job may be
    /// unreadable.
    #[expect(clippy::disallowed_methods, reason = "the one write of a failed check; it changes no job")]
    pub async fn check_failed(&self, due: &Due, failures: u32, now: Timestamp) -> Result<Timestamp, Error> {
        let at = now + failure_pause(failures);
        let update = self.table.client.update_item().table_name(&self.table.name);
        let sent = update
            .set_key(Some(key(keys::job(&due.job), keys::JOB)))
            .update_expression("SET check_at = :at, check_failures = :failures")
            .condition_expression("check_at = :seen")
            .expression_attribute_values(":at", number(at.as_millis()))
            .expression_attribute_values(":failures", number(failures + 1))
            .expression_attribute_values(":seen", number(due.check_at.as_millis()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(at),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(at),
                _ => Err(Error::sdk(format!("move the failed check of job {}", due.job), error)),
            },
        }
    }

    /// Moves a due job's next check. `false` if another run has moved it, or the job has ended.
    pub async fn check_again(&self, due: &Due, at: Timestamp) -> Result<bool, Error> {
        let doing = format!("move the check of job {}", due.job);
        self.table.move_check(&doing, key(keys::job(&due.job), keys::JOB), due.check_at, at).await
    }
}

impl Table {
    /// What is due of one shard, longest overdue first: at most `limit`, and the end of the page if there are more.
    /// An item that is not understood is left out and logged; it is still due, and keeps no other from being read.
    pub(super) async fn due_page<T>(
        &self,
        doing: &str,
        shard: String,
        (now, limit): (Timestamp, i32),
        start: Option<PageEnd>,
        parse: impl Fn(&Item) -> Option<T>,
    ) -> Result<(Vec<T>, Option<PageEnd>), Error> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(keys::DUE_INDEX)
            .key_condition_expression("due_shard = :shard AND check_at <= :now")
            .expression_attribute_values(":shard", text(shard))
            .expression_attribute_values(":now", number(now.as_millis()))
            .limit(limit)
            .set_exclusive_start_key(start.map(|PageEnd(key)| key))
            .send()
            .await
            .map_err(|source| Error::sdk(doing, source))?;
        let parsed = |item: &Item| {
            let parsed = parse(item);
            if parsed.is_none() {
                let key = text_of(item, PK).unwrap_or_default();
                tracing::error!(key, "due.unreadable");
            }
            parsed
        };
        let due = answer.items.unwrap_or_default().iter().filter_map(parsed).collect();
        Ok((due, answer.last_evaluated_key.map(PageEnd)))
    }

    /// Moves the check of an item in the due index, if it is still the one that was seen.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one write that moves a check; it changes nothing else"
    )]
    pub(super) async fn move_check(
        &self,
        doing: &str,
        item: Item,
        seen: Timestamp,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(item))
            .update_expression("SET check_at = :at REMOVE check_failures")
            .condition_expression("check_at = :seen")
            .expression_attribute_values(":at", number(at.as_millis()))
            .expression_attribute_values(":seen", number(seen.as_millis()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(Error::sdk(doing, error)),
            },
        }
    }
}

fn due_of(item: &Item) -> Option<Due> {
    let job = text_of(item, PK).and_then(keys::parse_job)?;
    Some(Due { job, check_at: Timestamp::from_millis(number_of(item, CHECK_AT)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_fails_again_and_again_pauses_longer_and_at_most_an_hour() {
        let minutes = (0..7).map(|failures| failure_pause(failures).as_secs() / 60);
        assert_eq!(minutes.collect::<Vec<_>>(), [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(failure_pause(u32::MAX), FAILURE_PAUSE_MAX);
    }
}
