//! Poll leases: each attempt has one sequence of polls, even if messages are duplicated.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

mod sequence;

use super::item::{Item, key, number, number_of, text};
use super::keys;
use super::{Error, Table};
use domain::id::JobId;
use domain::time::Timestamp;

pub use sequence::PollSequence;

/// Duration of a poll lease. Longer than `poll` may run, and shorter than the visibility timeout of
/// its queue: a message of a crashed function is delivered again after the lease has expired.
pub const POLL_LEASE: Duration = Duration::from_secs(120);
/// How long the last sequence number is kept; no sequence lasts longer.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Two equal anomalies within this time belong together: longer than any pause between two polls.
pub const ANOMALY_WINDOW: Duration = Duration::from_secs(20 * 60);

const STOP_ACCEPTED: &str = "stop_accepted";

/// The last poll of each attempt.
#[derive(Debug, Clone)]
pub struct Polls {
    table: Table,
}

/// The result of a request for a poll lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollLease {
    /// The caller polls and sends the next message. `stop_accepted`: the provider has accepted a
    /// cancel of the remote job.
    Acquired { stop_accepted: bool },
    /// A later poll has been made: this message is a duplicate.
    Superseded,
    /// Another function holds the lease, or crashed within [`POLL_LEASE`].
    Held,
}

impl Polls {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// Acquires the lease for one poll of an attempt. Places in the sequence only increase. `caller` is
    /// random and new for each call.
    #[expect(clippy::disallowed_methods, reason = "the one write of a poll lease")]
    pub async fn acquire(
        &self,
        job: &JobId,
        attempt: u8,
        sequence: PollSequence,
        caller: u64,
        now: Timestamp,
    ) -> Result<PollLease, Error> {
        let sequence = u16::from(sequence);
        let doing = format!("acquire poll lease {sequence} for attempt {attempt} of job {job}");
        let sent = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::polls(job, attempt), keys::POLLS)))
            .update_expression("SET question = :question, taken_at = :now, taken_by = :me, expires_at = :end")
            .condition_expression(
                "attribute_not_exists(question) OR question < :question OR (question = :question AND taken_at < :lapsed)",
            )
            .expression_attribute_values(":question", number(sequence))
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":me", number(caller))
            .expression_attribute_values(":end", number((now + KEPT_FOR).as_secs()))
            .expression_attribute_values(":lapsed", number(now.minus(POLL_LEASE).as_millis()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let stop_accepted = |item: Option<&Item>| item.is_some_and(|item| item.contains_key(STOP_ACCEPTED));
        let error = match sent {
            Ok(done) => return Ok(PollLease::Acquired { stop_accepted: stop_accepted(done.attributes()) }),
            Err(error) => error,
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(Error::sdk(doing, error));
        };
        let last = failed.item.as_ref();
        Ok(if last.and_then(|item| number_of(item, "question")) != Some(sequence) {
            PollLease::Superseded
        } else if last.and_then(|item| number_of(item, "taken_by")) == Some(caller) {
            // The SDK repeats a call whose answer was lost: this is our own write.
            PollLease::Acquired { stop_accepted: stop_accepted(last) }
        } else {
            PollLease::Held
        })
    }

    /// Records an anomalous answer about an attempt; returns when the series of equal anomalies
    /// began. A gap of more than [`ANOMALY_WINDOW`] starts a new series.
    #[expect(clippy::disallowed_methods, reason = "the one write of an anomaly")]
    pub async fn record_anomaly(
        &self,
        job: &JobId,
        attempt: u8,
        what: &str,
        now: Timestamp,
    ) -> Result<Timestamp, Error> {
        let doing = format!("record an anomalous answer about attempt {attempt} of job {job}");
        let update = |expression: &str| {
            let update = self.table.client.update_item().table_name(&self.table.name);
            update
                .set_key(Some(key(keys::polls(job, attempt), keys::POLLS)))
                .update_expression(expression)
                .expression_attribute_values(":what", text(what))
                .expression_attribute_values(":now", number(now.as_millis()))
                .expression_attribute_values(":end", number((now + KEPT_FOR).as_secs()))
        };
        let again = update("SET odd_at = :now, expires_at = :end")
            .condition_expression("odd = :what AND odd_at >= :lapsed")
            .expression_attribute_values(":lapsed", number(now.minus(ANOMALY_WINDOW).as_millis()))
            .return_values(ReturnValue::AllNew);
        match again.send().await {
            Ok(done) => {
                let since = done.attributes().and_then(|item| number_of(item, "odd_since"));
                Ok(since.map_or(now, Timestamp::from_millis))
            }
            Err(error) if is_condition(&error) => {
                let first = update("SET odd = :what, odd_since = :now, odd_at = :now, expires_at = :end");
                first.send().await.map_err(|error| Error::sdk(doing, error))?;
                Ok(now)
            }
            Err(error) => Err(Error::sdk(doing, error)),
        }
    }

    /// Records the end of a provider's back-off for an attempt.
    #[expect(clippy::disallowed_methods, reason = "the one write of a back-off")]
    pub async fn set_back_off(&self, job: &JobId, attempt: u8, until: Timestamp) -> Result<(), Error> {
        let update = self.table.client.update_item().table_name(&self.table.name);
        let sent = update
            .set_key(Some(key(keys::polls(job, attempt), keys::POLLS)))
            .update_expression("SET put_off_until = :until, expires_at = :end")
            .expression_attribute_values(":until", number(until.as_millis()))
            .expression_attribute_values(":end", number((until + KEPT_FOR).as_secs()))
            .send()
            .await;
        sent.map(|_| ()).map_err(|error| {
            Error::sdk(format!("record the back-off of attempt {attempt} of job {job}"), error)
        })
    }

    /// The end of the back-off for an attempt; `None` if there never was one.
    pub async fn back_off_until(&self, job: &JobId, attempt: u8) -> Result<Option<Timestamp>, Error> {
        self.time(job, attempt, "put_off_until").await
    }

    /// When an attempt was last polled; `None` if never.
    pub async fn last(&self, job: &JobId, attempt: u8) -> Result<Option<Timestamp>, Error> {
        self.time(job, attempt, "taken_at").await
    }

    async fn time(&self, job: &JobId, attempt: u8, name: &str) -> Result<Option<Timestamp>, Error> {
        let doing = || format!("read the polls of attempt {attempt} of job {job}");
        let read = self.table.client.get_item().table_name(&self.table.name);
        let read = read.set_key(Some(key(keys::polls(job, attempt), keys::POLLS))).consistent_read(true);
        let answer = read.send().await.map_err(|source| Error::sdk(doing(), source))?;
        Ok(answer.item.and_then(|item| number_of(&item, name)).map(Timestamp::from_millis))
    }

    /// Records that the provider accepted a cancel of an attempt's remote job: from then on, "not
    /// found" means canceled.
    #[expect(clippy::disallowed_methods, reason = "the one write of an accepted cancel")]
    pub async fn record_cancel(&self, job: &JobId, attempt: u8, now: Timestamp) -> Result<(), Error> {
        let update = self.table.client.update_item().table_name(&self.table.name);
        let sent = update
            .set_key(Some(key(keys::polls(job, attempt), keys::POLLS)))
            .update_expression("SET stop_accepted = :now, expires_at = :end")
            // Only after a first poll: otherwise there is no lease item.
            .condition_expression("attribute_exists(PK)")
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":end", number((now + KEPT_FOR).as_secs()))
            .send()
            .await;
        match sent {
            Err(error) if !is_condition(&error) => {
                Err(Error::sdk(format!("record the cancel of attempt {attempt} of job {job}"), error))
            }
            _ => Ok(()),
        }
    }
}

fn is_condition<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_)))
}
