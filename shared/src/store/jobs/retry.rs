//! Calls of clients that number their tries and send no key: a retry finds the job of the call that it
//! repeats.
//!
//! The item of an order names its newest job, and whether the first call or a retry made it. It is written
//! in the transaction that creates the job, so that of a first call and its retries, in whatever order they
//! arrive, one creates a job.

use std::time::Duration;

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};

use super::JobStore;
use crate::store::Error;
use crate::store::item::{Item, key, number, text, text_of};
use crate::store::keys;
use domain::id::{AccountId, JobId};
use domain::time::Timestamp;

/// How long a retry finds its job: longer than any client goes on trying.
pub const REPEATED_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long a call that its own retry has overtaken finds the retry's job.
pub const OVERTAKEN_WITHIN: Duration = Duration::from_secs(60);

const FIRST: &str = "first";
const RETRY: &str = "retry";

/// One try of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    account: AccountId,
    /// [`JobRequest::digest`](domain::request::JobRequest::digest): the order, not its bytes.
    digest: String,
    /// 0 for the first.
    number: u32,
}

impl Try {
    pub fn new(account: AccountId, digest: String, number: u32) -> Self {
        Self { account, digest, number }
    }

    fn key(&self) -> Item {
        key(keys::retry(&self.account, &self.digest), keys::RETRY)
    }

    /// Records the job. A retry does so only if its order has no recent job; a first call, unless a retry
    /// has just overtaken it: an equal order that was placed before is another order.
    pub(super) fn put(&self, table: &str, job: &JobId, now: Timestamp) -> TransactWriteItem {
        let is_first = self.number == 0;
        let mut item = self.key();
        let by = if is_first { FIRST } else { RETRY };
        item.insert("job".to_owned(), text(job.as_str()));
        item.insert("by".to_owned(), text(by));
        item.insert("at".to_owned(), number(now.as_millis()));
        item.insert(keys::EXPIRES_AT.to_owned(), number((now + REPEATED_WITHIN).as_secs()));
        let (counts, condition) = match is_first {
            true => (OVERTAKEN_WITHIN, "attribute_not_exists(PK) OR #by = :first OR #at <= :old"),
            false => (REPEATED_WITHIN, "attribute_not_exists(PK) OR #at <= :old"),
        };
        let mut put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression(condition)
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":old", number(now.minus(counts).as_millis()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if is_first {
            put = put.expression_attribute_names("#by", "by");
            put = put.expression_attribute_values(":first", text(FIRST));
        }
        TransactWriteItem::builder().put(put.build().expect("table and item are set")).build()
    }
}

impl JobStore {
    /// The job that an item of this try's order names, if the try is a repeat of the call that made it. A
    /// first call that its retry has overtaken takes it, so that the next equal order is another one; `None`
    /// if another first call was faster. `own` is the id that this call's job would have.
    pub(super) async fn repeated(
        &self,
        tried: &Try,
        item: &Item,
        own: &JobId,
    ) -> Result<Option<JobId>, Error> {
        let doing = "find the job of a repeated call";
        let id = text_of(item, "job").and_then(|id| id.parse::<JobId>().ok());
        let id = id.ok_or_else(|| Error::unreadable(doing, "the item names no job"))?;
        if tried.number > 0 || self.take_over(tried, &id, own).await? { Ok(Some(id)) } else { Ok(None) }
    }

    #[expect(clippy::disallowed_methods, reason = "the one write that gives a retry's job to its first call")]
    async fn take_over(&self, tried: &Try, id: &JobId, own: &JobId) -> Result<bool, Error> {
        let update = self.table.client.update_item().table_name(&self.table.name);
        let update = update
            .set_key(Some(tried.key()))
            .update_expression("SET #by = :first, taken_by = :own")
            // The SDK repeats a call whose answer was lost: then this call has taken it already.
            .condition_expression("(#by = :retry OR taken_by = :own) AND #job = :job")
            .expression_attribute_names("#by", "by")
            .expression_attribute_names("#job", "job")
            .expression_attribute_values(":first", text(FIRST))
            .expression_attribute_values(":retry", text(RETRY))
            .expression_attribute_values(":own", text(own.as_str()))
            .expression_attribute_values(":job", text(id.as_str()));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(|it| it.is_conditional_check_failed_exception()) =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::sdk("take over the job of a retry", error)),
        }
    }
}
