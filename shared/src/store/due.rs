//! The due index: which live jobs nobody has looked after for a while.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

use super::Error;
use super::item::{key, number, number_of, text, text_of};
use super::jobs::JobStore;
use super::keys::{self, CHECK_AT, PK};
use crate::domain::id::JobId;
use crate::domain::time::Timestamp;

/// A live job whose `check_at` has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub job: JobId,
    pub check_at: Timestamp,
}

impl JobStore {
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
        let due = answer.items.unwrap_or_default().into_iter().filter_map(|item| {
            let job = text_of(&item, PK).and_then(keys::parse_job)?;
            Some(Due { job, check_at: Timestamp::from_millis(number_of(&item, CHECK_AT)?) })
        });
        Ok(due.collect())
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
