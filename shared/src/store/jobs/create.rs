//! The one transaction that charges and creates a job.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::items::{job_item, request_item};
use super::retry::Try;
use super::{JobStore, cancellation, failed_condition, job_from_item};
use crate::store::events::event_put;
use crate::store::item::Item;
use crate::store::ledger::{self, Limits, Low};
use crate::store::{Error, RACES_MAX, back_off, is_transient};
use domain::credit::{Credits, Entry, MicroUsd};
use domain::event::Event;
use domain::job::Job;
use domain::request::JobRequest;
use domain::time::Timestamp;

/// The result of a submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    New(Job),
    /// The same request under the same key, or a retry of it: the job of the first one.
    Existing(Job),
    /// Another request under the same key.
    KeyReused,
    /// The balance does not cover the price. Nothing was changed.
    NoCredit {
        balance: Credits,
    },
    /// The account is at its limit of active jobs. Nothing was changed.
    TooMany {
        live: u32,
    },
    /// The account is at its daily limit of possibly billed refunds. Nothing was changed.
    TooMuchLost {
        lost: MicroUsd,
    },
}

impl JobStore {
    /// Charges the price and writes the job, its request and the ledger line in one transaction.
    /// `check_at` is when `reconcile` first checks the job. The moves of a job are events if it says
    /// so, or if its account has an endpoint.
    pub async fn create(
        &self,
        job: &Job,
        request: &JobRequest,
        check_at: Timestamp,
        limits: Limits,
    ) -> Result<Created, Error> {
        self.create_once(job, request, check_at, limits, None).await
    }

    /// As [`create`](Self::create), for a client that numbers its tries: one of them creates a job.
    pub async fn create_once(
        &self,
        job: &Job,
        request: &JobRequest,
        check_at: Timestamp,
        limits: Limits,
        tried: Option<&Try>,
    ) -> Result<Created, Error> {
        let mut job = job.clone();
        let mut low = Low::Unknown;
        let doing = format!("create job {}", job.id());
        for tries in 0..RACES_MAX {
            let mut writes = self.creation(&doing, &job, request, check_at, limits, low)?;
            let tried_at = writes.len();
            writes.extend(tried.map(|it| it.put(&self.table.name, job.id(), job.created_at())));
            let Err(error) = self.transact(writes).await else { return Ok(Created::New(job)) };
            let Some(reasons) = cancellation(&error) else { return Err(Error::sdk(doing, error)) };
            // The order of the reasons is the order of the writes.
            if let Some(item) = failed_condition(reasons, 0) {
                let earlier = job_from_item(&doing, item)?;
                let same_body = job.body_digest().is_some() && earlier.body_digest() == job.body_digest();
                let same = same_body || earlier.request_hash() == job.request_hash();
                return Ok(if same { Created::Existing(earlier) } else { Created::KeyReused });
            }
            // Before money and limits, which the first try may have used up.
            if let Some((tried, item)) = tried.zip(failed_condition(reasons, tried_at)) {
                let Some(id) = self.repeated(tried, &item, job.id()).await? else { continue };
                let earlier = self.get(&id).await?;
                return Ok(Created::Existing(
                    earlier.ok_or_else(|| Error::missing(format!("find job {id}")))?,
                ));
            }
            if is_transient(reasons) {
                back_off(tries).await;
                continue;
            }
            let Some(item) = failed_condition(reasons, 2) else { return Err(Error::sdk(doing, error)) };
            if let Some(refused) = refused(&doing, &item, &job, limits)? {
                return Ok(refused);
            }
            let wanted = ledger::wanted_events(&item);
            let (was_low, was_told) = (low, job.notifies());
            low = ledger::falls_low(&doing, &item, &job, limits)?.map_or(Low::Unknown, Low::From);
            job = job.with_events(wanted.max(was_told));
            if low == was_low && job.notifies() == was_told {
                return Ok(Created::TooMany { live: ledger::live_of(&item) });
            }
        }
        Err(Error::contended(doing))
    }

    fn creation(
        &self,
        doing: &str,
        job: &Job,
        request: &JobRequest,
        check_at: Timestamp,
        limits: Limits,
        low: Low,
    ) -> Result<Vec<TransactWriteItem>, Error> {
        let charge = Entry::Charge { job: job.id().clone(), amount: job.price() };
        let mut writes = vec![
            self.put_if_absent(job_item(doing, job, check_at)?, true),
            self.put_if_absent(request_item(doing, job.id(), request)?, false),
            ledger::take(&self.table, job, limits, low),
            ledger::entry_put(&self.table, job.account(), &charge, job.created_at()),
        ];
        if let (Low::From(balance), Some(mark)) = (low, limits.low_below) {
            let event = Event::of_low(job, balance.less(job.price()), mark);
            writes.push(event_put(&self.table, &event)?);
        }
        Ok(writes)
    }
}

/// Why the balance item refuses a job; `None` if it is for another reason.
fn refused(doing: &str, item: &Item, job: &Job, limits: Limits) -> Result<Option<Created>, Error> {
    let balance = ledger::balance_of(doing, item)?.available();
    if balance < job.price() {
        return Ok(Some(Created::NoCredit { balance }));
    }
    let lost = ledger::at_risk_of(item, job.created_at());
    if limits.loss_per_day.is_some_and(|most| lost >= most) {
        return Ok(Some(Created::TooMuchLost { lost }));
    }
    let live = ledger::live_of(item);
    Ok((live >= limits.live_jobs).then_some(Created::TooMany { live }))
}
