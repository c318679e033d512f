//! Who asks next about an attempt: one chain of questions, however often its messages come.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::item::{Item, key, number, number_of, text};
use super::keys;
use super::{Error, Table};
use domain::id::JobId;
use domain::time::Timestamp;

/// How long nobody else asks a question that somebody has taken. Longer than `poll` may run, and
/// shorter than its queue hides a message from others: one whose taker died comes back after it.
pub const TAKEN_FOR: Duration = Duration::from_secs(120);
/// How long it is kept which question was the last; no chain lives longer.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// An answer that is as odd as the one before belongs to it for so long: longer than any pause
/// between two questions.
pub const ODD_LASTS: Duration = Duration::from_secs(20 * 60);

const STOP_ACCEPTED: &str = "stop_accepted";

/// The last question of each attempt that was taken.
#[derive(Debug, Clone)]
pub struct Polls {
    table: Table,
}

/// Whether a question is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is the caller's to ask, and to have the next one sent. `stop_accepted`: the provider
    /// has accepted a request to stop the remote job.
    Taken { stop_accepted: bool },
    /// A later one was taken: this is a repeat, and the chain goes on without it.
    Passed,
    /// Somebody took it within [`TAKEN_FOR`], and may have died since.
    Busy,
}

impl Polls {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// Takes a question about an attempt. Questions are asked in the order of their numbers.
    #[expect(clippy::disallowed_methods, reason = "the one write that takes a question")]
    pub async fn take(&self, job: &JobId, attempt: u8, question: u16, now: Timestamp) -> Result<Turn, Error> {
        let doing = format!("take question {question} about attempt {attempt} of job {job}");
        let taken_by = fastrand::u64(..);
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
            .expression_attribute_values(":question", number(question))
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":me", number(taken_by))
            .expression_attribute_values(":end", number((now + KEPT_FOR).as_secs()))
            .expression_attribute_values(":lapsed", number(now.minus(TAKEN_FOR).as_millis()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let stop_accepted = |item: Option<&Item>| item.is_some_and(|item| item.contains_key(STOP_ACCEPTED));
        let error = match sent {
            Ok(done) => return Ok(Turn::Taken { stop_accepted: stop_accepted(done.attributes()) }),
            Err(error) => error,
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(Error::sdk(doing, error));
        };
        let last = failed.item.as_ref();
        Ok(if last.and_then(|item| number_of(item, "question")) != Some(question) {
            Turn::Passed
        } else if last.and_then(|item| number_of(item, "taken_by")) == Some(taken_by) {
            // The SDK repeats a call whose answer was lost: our own write is not a rival.
            Turn::Taken { stop_accepted: stop_accepted(last) }
        } else {
            Turn::Busy
        })
    }

    /// Notes that an answer about an attempt was odd in this way; since when all were. What was odd
    /// longer ago than [`ODD_LASTS`] counts anew.
    #[expect(clippy::disallowed_methods, reason = "the one write that notes an odd answer")]
    pub async fn note_odd(
        &self,
        job: &JobId,
        attempt: u8,
        what: &str,
        now: Timestamp,
    ) -> Result<Timestamp, Error> {
        let doing = format!("note an odd answer about attempt {attempt} of job {job}");
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
            .expression_attribute_values(":lapsed", number(now.minus(ODD_LASTS).as_millis()))
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

    /// Notes until when the provider wants to be left alone with an attempt.
    #[expect(clippy::disallowed_methods, reason = "the one write that puts questions off")]
    pub async fn put_off(&self, job: &JobId, attempt: u8, until: Timestamp) -> Result<(), Error> {
        let update = self.table.client.update_item().table_name(&self.table.name);
        let sent = update
            .set_key(Some(key(keys::polls(job, attempt), keys::POLLS)))
            .update_expression("SET put_off_until = :until, expires_at = :end")
            .expression_attribute_values(":until", number(until.as_millis()))
            .expression_attribute_values(":end", number((until + KEPT_FOR).as_secs()))
            .send()
            .await;
        sent.map(|_| ()).map_err(|error| Error::sdk(format!("put off attempt {attempt} of job {job}"), error))
    }

    /// Until when an attempt is put off; `None` if it never was.
    pub async fn put_off_until(&self, job: &JobId, attempt: u8) -> Result<Option<Timestamp>, Error> {
        self.time(job, attempt, "put_off_until").await
    }

    /// When the last question about an attempt was taken; `None` if none ever was.
    pub async fn last(&self, job: &JobId, attempt: u8) -> Result<Option<Timestamp>, Error> {
        self.time(job, attempt, "taken_at").await
    }

    async fn time(&self, job: &JobId, attempt: u8, name: &str) -> Result<Option<Timestamp>, Error> {
        let doing = || format!("read the questions about attempt {attempt} of job {job}");
        let read = self.table.client.get_item().table_name(&self.table.name);
        let read = read.set_key(Some(key(keys::polls(job, attempt), keys::POLLS))).consistent_read(true);
        let answer = read.send().await.map_err(|source| Error::sdk(doing(), source))?;
        Ok(answer.item.and_then(|item| number_of(&item, name)).map(Timestamp::from_millis))
    }

    /// Notes that the provider has accepted a request to stop an attempt's remote job: from then
    /// on, "not found" means that it was stopped.
    #[expect(clippy::disallowed_methods, reason = "the one write that notes an accepted stop")]
    pub async fn note_stop(&self, job: &JobId, attempt: u8, now: Timestamp) -> Result<(), Error> {
        let update = self.table.client.update_item().table_name(&self.table.name);
        let sent = update
            .set_key(Some(key(keys::polls(job, attempt), keys::POLLS)))
            .update_expression("SET stop_accepted = :now, expires_at = :end")
            // After a first question: only then is there an item to decide the next one by.
            .condition_expression("attribute_exists(PK)")
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":end", number((now + KEPT_FOR).as_secs()))
            .send()
            .await;
        match sent {
            Err(error) if !is_condition(&error) => {
                Err(Error::sdk(format!("note that attempt {attempt} of job {job} is stopping"), error))
            }
            _ => Ok(()),
        }
    }
}

fn is_condition<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_)))
}
