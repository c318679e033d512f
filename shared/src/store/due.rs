//! The due index: which live jobs nobody has looked after for a while.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

use super::Error;
use super::item::{Item, key, number, number_of, text, text_of};
use super::jobs::JobStore;
use super::keys::{self, CHECK_AT, PK};
use crate::domain::id::JobId;
use crate::domain::job::Job;
use crate::domain::time::Timestamp;

/// A live job whose `check_at` has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub job: JobId,
    pub check_at: Timestamp,
}

/// How long a check may be overdue before its job counts as stuck: several runs of
/// `reconcile` have passed it by.
pub const STUCK_AFTER: Duration = Duration::from_secs(600);
/// Jobs that are read at once.
const LIVE_PAGE: usize = 100;

/// A live job, and when it is next looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveJob {
    pub job: Job,
    pub check_at: Timestamp,
}

impl LiveJob {
    /// Whether it should have been looked after long ago, or should have ended.
    pub fn is_stuck(&self, now: Timestamp) -> bool {
        now > self.check_at + STUCK_AFTER || now >= self.job.deadline
    }
}

impl JobStore {
    /// The first `limit` live jobs that are `wanted`, longest overdue first, over all shards.
    ///
    /// Reads the keys of all live jobs, and the jobs themselves until the limit is reached:
    /// for an operator. What moves meanwhile may be missing.
    pub async fn live(&self, limit: usize, wanted: impl Fn(&LiveJob) -> bool) -> Result<Vec<LiveJob>, Error> {
        let mut due = Vec::new();
        for shard in 0..keys::DUE_SHARDS {
            self.read_shard(shard, &mut due).await?;
        }
        due.sort_by_key(|due| due.check_at);
        let mut found = Vec::new();
        for page in due.chunks(LIVE_PAGE) {
            let ids: Vec<JobId> = page.iter().map(|due| due.job.clone()).collect();
            for job in self.get_many("read the live jobs", ids).await? {
                let check_at = page.iter().find(|due| due.job == job.id).map(|due| due.check_at);
                let live = check_at.filter(|_| !job.state.is_terminal());
                found.extend(live.map(|check_at| LiveJob { job, check_at }).filter(&wanted));
            }
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// All of one shard of the due index, due or not.
    async fn read_shard(&self, shard: u8, due: &mut Vec<Due>) -> Result<(), Error> {
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

    /// Live jobs of one shard that are due, longest overdue first.
    pub async fn due(&self, shard: u8, now: Timestamp, limit: i32) -> Result<Vec<Due>, Error> {
        let doing = format!("read shard {shard} of the due index");
        let answer = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .index_name(keys::DUE_INDEX)
            .key_condition_expression("due_shard = :shard AND check_at <= :now")
            .expression_attribute_values(":shard", text(keys::due_shard(shard)))
            .expression_attribute_values(":now", number(now.as_millis()))
            .limit(limit)
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        Ok(answer.items.unwrap_or_default().iter().filter_map(due_of).collect())
    }

    /// Moves a due job's next check. `false` if another has moved it, or the job has ended:
    /// then it is not ours to look after.
    #[expect(clippy::disallowed_methods, reason = "the one write that moves a check; it changes no job")]
    pub async fn check_again(&self, due: &Due, at: Timestamp) -> Result<bool, Error> {
        let sent = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::job(&due.job), keys::JOB)))
            .update_expression("SET check_at = :at")
            .condition_expression("check_at = :seen")
            .expression_attribute_values(":at", number(at.as_millis()))
            .expression_attribute_values(":seen", number(due.check_at.as_millis()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(Error::sdk(format!("move the check of job {}", due.job), error)),
            },
        }
    }
}

fn due_of(item: &Item) -> Option<Due> {
    let job = text_of(item, PK).and_then(keys::parse_job)?;
    Some(Due { job, check_at: Timestamp::from_millis(number_of(item, CHECK_AT)?) })
}
