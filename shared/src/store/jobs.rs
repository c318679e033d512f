//! Jobs: created once, changed only by [`JobStore::advance`].

mod create;
mod items;
mod lists;
mod log;
mod retry;

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update as TransactUpdate,
};

use super::alerts::Alerts;
use super::events::event_put;
use super::item::{Item, Update, from_item, key, text, text_of};
use super::keys::{self, SK};
use super::ledger::Line;
use super::queue::{Message, Queue};
use super::remotes::{Holder, Remotes};
use super::{Error, RACES_MAX, Table, back_off, budgets, is_transient, ledger};
use domain::attempt::Attempt;
use domain::credit::{Credits, Entry};
use domain::decide::{Decision, Event, Transition};
use domain::event::Event as Occurrence;
use domain::id::JobId;
use domain::job::Job;
use domain::request::JobRequest;
use domain::time::Timestamp;
use items::{VERSION_UNCHANGED, job_update};
use log::log;

pub use create::{Created, Creation};
pub(super) use items::job_from_item;
pub use retry::{OVERTAKEN_WITHIN, REPEATED_WITHIN, Try};

/// The jobs of the table.
#[derive(Debug, Clone)]
pub struct JobStore {
    pub(super) table: Table,
    /// Where events are announced; `None` in a function that moves no job to where one is due.
    notify: Option<Queue>,
}

/// The result of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// This call moved the job: the caller handles the consequences.
    Moved(Job),
    /// The event changed nothing.
    Unchanged(Job),
    /// The event names a remote job that belongs to another attempt. Nothing was changed.
    Taken(Job),
}

impl Advance {
    pub fn job(&self) -> &Job {
        match self {
            Self::Moved(job) | Self::Unchanged(job) | Self::Taken(job) => job,
        }
    }

    pub fn into_job(self) -> Job {
        match self {
            Self::Moved(job) | Self::Unchanged(job) | Self::Taken(job) => job,
        }
    }
}

enum Commit {
    Done,
    /// Written, and others have moved the job further since.
    Overtaken(Box<Job>),
    Lost {
        winner: Option<Box<Job>>,
    },
}

impl JobStore {
    pub fn new(table: Table) -> Self {
        Self { table, notify: None }
    }

    /// With the queue of events.
    #[must_use]
    pub fn announcing(self, notify: Queue) -> Self {
        Self { notify: Some(notify), ..self }
    }

    /// The job, read consistently.
    pub async fn get(&self, id: &JobId) -> Result<Option<Job>, Error> {
        let doing = format!("read job {id}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read
            .set_key(Some(key(keys::job(id), keys::JOB)))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        answer.item.map(|item| job_from_item(&doing, item)).transpose()
    }

    /// The job's request.
    pub async fn request(&self, id: &JobId) -> Result<Option<JobRequest>, Error> {
        let doing = format!("read the request of job {id}");
        let get = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let get = get.set_key(Some(key(keys::job(id), keys::REQUEST)));
        let answer = get.send().await.map_err(|source| Error::sdk(&doing, source))?;
        answer.item.map(|item| from_item(&doing, item)).transpose()
    }

    /// The job and its request, in one consistent read.
    pub async fn get_with_request(&self, id: &JobId) -> Result<Option<(Job, JobRequest)>, Error> {
        let doing = format!("read job {id} with its request");
        let answer = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .consistent_read(true)
            .key_condition_expression("PK = :pk")
            .expression_attribute_values(":pk", text(keys::job(id)))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        let (mut job, mut request) = (None, None);
        for item in answer.items.unwrap_or_default() {
            match text_of(&item, SK) {
                Some(keys::JOB) => job = Some(job_from_item(&doing, item)?),
                Some(keys::REQUEST) => request = Some(from_item(&doing, item)?),
                _ => {}
            }
        }
        match (job, request) {
            (Some(job), Some(request)) => Ok(Some((job, request))),
            (None, None) => Ok(None),
            _ => Err(Error::corrupt(doing, "one of the two items is missing")),
        }
    }

    /// Loads the job, decides, and writes the transition. After a lost race it decides again from the
    /// winner. At most one caller wins each version.
    pub async fn advance(&self, id: &JobId, event: &Event, now: Timestamp) -> Result<Advance, Error> {
        let job = self.get(id).await?.ok_or_else(|| Error::missing(format!("find job {id}")))?;
        self.advance_from(job, event, now).await
    }

    /// As [`advance`](Self::advance), from a job that was just read.
    pub async fn advance_from(&self, mut job: Job, event: &Event, now: Timestamp) -> Result<Advance, Error> {
        for tries in 0..RACES_MAX {
            let doing = format!("apply `{}` to job {}", event.name(), job.id());
            let decision = job.decide(event, now).map_err(|illegal| Error::corrupt(&doing, illegal))?;
            let Decision::Move(transition) = decision else { return Ok(Advance::Unchanged(job)) };
            if !self.claim_remote(&transition, now).await? {
                return Ok(Advance::Taken(job));
            }
            match self.commit(&doing, &transition, event, now).await? {
                Commit::Done => {
                    log(&transition, event);
                    self.announce(&transition).await;
                    return Ok(Advance::Moved(transition.into_after()));
                }
                Commit::Overtaken(job) => {
                    log(&transition, event);
                    self.announce(&transition).await;
                    return Ok(Advance::Moved(*job));
                }
                Commit::Lost { winner: Some(winner) } => job = *winner,
                Commit::Lost { winner: None } => {
                    back_off(tries).await;
                    let id = transition.before().id();
                    job = self.get(id).await?.ok_or_else(|| Error::missing(format!("find job {id}")))?;
                }
            }
        }
        Err(Error::contended(format!("apply `{}` to job {}", event.name(), job.id())))
    }

    /// Queues the event of a written transition. `reconcile` finds one whose message was lost.
    async fn announce(&self, transition: &Transition) {
        let (Some(event), Some(queue)) = (transition.occurrence(), &self.notify) else { return };
        let message = Message::Notify { event: event.id };
        let sent = queue.send(&message, Some(event.account.as_str()), Duration::ZERO).await;
        if let Err(error) = sent {
            let job = transition.before().id();
            tracing::warn!(job = %job, error = error.with_causes(), "message.not_queued");
        }
    }

    /// Assigns the remote job of a transition to its attempt. `false` if it belongs to another
    /// attempt: a remote job never has two.
    async fn claim_remote(&self, transition: &Transition, now: Timestamp) -> Result<bool, Error> {
        let Some(attempt) = transition.named() else { return Ok(true) };
        self.hold_remote(transition.before().id(), attempt, now).await
    }

    /// Assigns a remote job to its attempt. `false` if it belongs to another attempt. Attempts of old
    /// releases have no such item yet.
    pub async fn hold_remote(&self, job: &JobId, attempt: &Attempt, now: Timestamp) -> Result<bool, Error> {
        let Some(remote) = &attempt.remote else { return Ok(true) };
        let own = Holder { job: job.clone(), attempt: attempt.number };
        let remotes = Remotes::new(self.table.clone());
        let other = remotes.claim(attempt.provider, remote, &own, now).await?;
        if let Some(other) = &other {
            tracing::error!(
                job = %own.job, attempt = own.attempt, provider = %attempt.provider,
                other_job = %other.job, other_attempt = other.attempt, "remote_job.of_another_attempt"
            );
        }
        Ok(other.is_none())
    }

    /// Writes a transition with its event, and at a job's end its ledger line and the account's count of
    /// active jobs, atomically. Conditional on the version that was decided about.
    async fn commit(
        &self,
        doing: &str,
        transition: &Transition,
        event: &Event,
        now: Timestamp,
    ) -> Result<Commit, Error> {
        let update = job_update(doing, transition, event)?;
        let ends = transition.after().state().is_terminal() && !transition.before().state().is_terminal();
        let occurrence = transition.occurrence();
        let refund = transition.entry().map_or(Credits::ZERO, Entry::amount);
        let (job, account) = (transition.before(), transition.before().account());
        let at_risk = transition.at_risk();
        let money = ends.then(|| ledger::end_job(&self.table, job, refund, at_risk, now)).flatten();
        if money.is_none() && transition.entry().is_none() && occurrence.is_none() {
            return self.commit_alone(doing, update, transition).await;
        }
        let job_write = TransactUpdate::builder()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::job(transition.before().id()), keys::JOB)))
            .update_expression(update.expression())
            .condition_expression(VERSION_UNCHANGED)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|source| Error::corrupt(doing, source))?;
        let mut writes = vec![TransactWriteItem::builder().update(job_write).build()];
        writes.extend(money);
        let line_at = writes.len();
        writes.extend(transition.entry().map(|entry| {
            let budgets = transition.before().budgets().to_vec();
            ledger::line_put(&self.table, account, &Line { entry: entry.clone(), at: now, budgets })
        }));
        if ends {
            writes.extend(budgets::refunds(&self.table, transition.before(), refund));
        }
        if let Some(event) = &occurrence {
            writes.push(event_put(&self.table, event)?);
        }
        let Err(error) = self.transact(writes).await else { return Ok(Commit::Done) };
        let Some(reasons) = cancellation(&error) else { return Err(Error::sdk(doing, error)) };
        if let Some(item) = failed_condition(reasons, 0) {
            // The item does not exist: the next read reports that.
            let winner = (!item.is_empty()).then(|| job_from_item(doing, item)).transpose()?;
            return Ok(Commit::Lost { winner: winner.map(Box::new) });
        }
        if is_transient(reasons) {
            return Ok(Commit::Lost { winner: None });
        }
        if transition.entry().is_some() && failed_condition(reasons, line_at).is_some() {
            // A refund exists for a job that has not ended: the ledger is wrong. An alarm watches
            // this line.
            tracing::error!(job = %transition.before().id(), event = event.name(), "ledger.mismatch");
            Alerts::new(self.table.clone())
                .raise(Occurrence::of_mismatch(transition.before().id(), now))
                .await;
            return Err(Error::corrupt(doing, error));
        }
        Err(Error::sdk(doing, error))
    }

    #[expect(clippy::disallowed_methods, reason = "the one write that moves a job and nothing else")]
    async fn commit_alone(
        &self,
        doing: &str,
        update: Update,
        transition: &Transition,
    ) -> Result<Commit, Error> {
        let sent = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::job(transition.before().id()), keys::JOB)))
            .update_expression(update.expression())
            .condition_expression(VERSION_UNCHANGED)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = sent else { return Ok(Commit::Done) };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                let winner = failed.item.clone().map(|item| job_from_item(doing, item)).transpose()?;
                // The SDK repeats a call whose answer was lost: this is our own write.
                Ok(match winner {
                    Some(winner) if winner == *transition.after() => Commit::Done,
                    Some(winner) if holds_claim_of(transition, &winner) => {
                        Commit::Overtaken(Box::new(winner))
                    }
                    winner => Commit::Lost { winner: winner.map(Box::new) },
                })
            }
            _ => Err(Error::sdk(doing, error)),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one transaction: creates a job, or ends one with its money"
    )]
    async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
    ) -> Result<(), SdkError<TransactWriteItemsError>> {
        self.table.client.transact_write_items().set_transact_items(Some(writes)).send().await.map(|_| ())
    }

    fn put_if_absent(&self, item: Item, return_old: bool) -> TransactWriteItem {
        let old = if return_old {
            ReturnValuesOnConditionCheckFailure::AllOld
        } else {
            ReturnValuesOnConditionCheckFailure::None
        };
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(PK)")
            .return_values_on_condition_check_failure(old)
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }
}

fn cancellation(error: &SdkError<TransactWriteItemsError>) -> Option<&[CancellationReason]> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(canceled) => {
            Some(canceled.cancellation_reasons())
        }
        _ => None,
    }
}

/// Whether the claim of this transition was written, even if the job has moved since. The claim is
/// random, so it is ours.
fn holds_claim_of(transition: &Transition, winner: &Job) -> bool {
    let (before, after) = (transition.before(), transition.after());
    let claimed = after.attempts().get(before.attempts().len());
    claimed.is_some_and(|claimed| {
        winner.attempt(claimed.number).is_some_and(|found| found.claim == claimed.claim)
    })
}

/// The item that failed the condition of write `n` of a transaction; empty if it did not exist.
fn failed_condition(reasons: &[CancellationReason], n: usize) -> Option<Item> {
    let reason = reasons.get(n)?;
    (reason.code() == Some("ConditionalCheckFailed")).then(|| reason.item().cloned().unwrap_or_default())
}
