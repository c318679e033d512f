//! The one transaction that charges and creates a job.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::items::{job_item, request_item};
use super::retry::Try;
use super::{JobStore, cancellation, failed_condition, job_from_item};
use crate::store::budgets::Charging;
use crate::store::endpoints::Listening;
use crate::store::events::event_put;
use crate::store::item::Item;
use crate::store::ledger::{self, Limits, Line, Low};
use crate::store::{Error, RACES_MAX, back_off, is_transient};
use domain::budget::{Budget, Standing};
use domain::credit::{Credits, Entry, MicroUsd};
use domain::event::Event;
use domain::id::KeyId;
use domain::job::{Job, Notifies};
use domain::policy::live::LiveMax;
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
    /// A budget of the account or of the key does not cover the price. Nothing was changed.
    OverBudget(Standing),
}

/// What a job is created with, beside itself. Its moves are events if it says so, or if its account has an
/// endpoint.
#[derive(Debug)]
pub struct Creation<'a> {
    /// The events that the account's endpoints are taken to want; the table knows better.
    pub wanted: Notifies,
    pub request: &'a JobRequest,
    /// The key that ordered it.
    pub key: Option<&'a KeyId>,
    /// When `reconcile` first checks it.
    pub check_at: Timestamp,
    pub limits: Limits,
    /// What its price is charged to beside the balance.
    pub budgets: &'a [Budget],
    /// Of a client that numbers its tries: one of them creates a job.
    pub tried: Option<&'a Try>,
}

/// The places of the writes of a creation whose conditions have a meaning.
const JOB_AT: usize = 0;
const BALANCE_AT: usize = 2;

/// A job as the next transaction creates it: what that says of money and events depends on what earlier ones
/// have found.
struct Draft<'a> {
    job: Job,
    /// The events of the job that its caller wants.
    asked: Notifies,
    /// The events that the account's endpoints want.
    wanted: Notifies,
    low: Low,
    budgets: Vec<Charging<'a>>,
}

impl JobStore {
    /// Charges the price and writes the job, its request and the ledger line in one transaction.
    pub async fn create(
        &self,
        job: &Job,
        request: &JobRequest,
        check_at: Timestamp,
        limits: Limits,
    ) -> Result<Created, Error> {
        let (wanted, budgets) = (Notifies::Nothing, &[]);
        let creation = Creation { wanted, request, key: None, check_at, limits, budgets, tried: None };
        Ok(self.create_as(job, &creation).await?.0)
    }

    /// As [`create`](Self::create), with budgets and the number of a try. Returns also the events that the
    /// account's endpoints want, as far as the table had to say so.
    pub async fn create_as(&self, job: &Job, creation: &Creation<'_>) -> Result<(Created, Notifies), Error> {
        let mut draft = Draft::new(job, creation);
        let created = self.create_draft(&mut draft, creation).await?;
        Ok((created, draft.wanted))
    }

    async fn create_draft(&self, draft: &mut Draft<'_>, creation: &Creation<'_>) -> Result<Created, Error> {
        let job = draft.job.clone();
        let doing = format!("create job {}", job.id());
        for tries in 0..RACES_MAX {
            let writes = self.creation(&doing, draft, creation)?;
            let budgets_at = BALANCE_AT + 2;
            let tried_at = budgets_at + draft.budgets.len();
            let Err(error) = self.transact(writes).await else { return Ok(Created::New(draft.job.clone())) };
            let Some(reasons) = cancellation(&error) else { return Err(Error::sdk(doing, error)) };
            // The order of the reasons is the order of the writes.
            if let Some(item) = failed_condition(reasons, JOB_AT) {
                return existing(&doing, &draft.job, item);
            }
            // Before money and limits, which the first try may have used up.
            if let Some((tried, item)) = creation.tried.zip(failed_condition(reasons, tried_at)) {
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
            let balance = failed_condition(reasons, BALANCE_AT);
            let counters = (0..draft.budgets.len()).map(|n| failed_condition(reasons, budgets_at + n));
            let counters: Vec<_> = counters.collect();
            if balance.is_none() && counters.iter().all(Option::is_none) {
                return Err(Error::sdk(doing, error));
            }
            if let Some(refused) = draft.learn(&doing, balance.as_ref(), &counters, creation.limits)? {
                return Ok(refused);
            }
        }
        Err(Error::contended(doing))
    }

    fn creation(
        &self,
        doing: &str,
        draft: &Draft<'_>,
        creation: &Creation<'_>,
    ) -> Result<Vec<TransactWriteItem>, Error> {
        let Draft { job, low, budgets, .. } = draft;
        let &Creation { request, key, check_at, limits, tried, .. } = creation;
        let entry = Entry::Charge { job: job.id().clone(), amount: job.price() };
        let charge = Line { entry, at: job.created_at(), budgets: job.budgets().to_vec() };
        let mut writes = vec![
            self.put_if_absent(job_item(doing, job, check_at)?, true),
            self.put_if_absent(request_item(doing, job.id(), request, key)?, false),
            ledger::take(&self.table, job, limits, *low, draft.listening()),
            ledger::line_put(&self.table, job.account(), &charge),
        ];
        let listens = draft.listens();
        writes.extend(budgets.iter().map(|budget| budget.write(&self.table, job, listens)));
        writes.extend(tried.map(|it| it.put(&self.table.name, job.id(), job.created_at())));
        let reached = budgets.iter().filter(|_| listens).filter_map(|budget| budget.event(job));
        let mut events: Vec<Event> = reached.collect();
        if let (Low::From(balance), Some(mark)) = (*low, limits.low_below) {
            events.push(Event::of_low(job, balance.less(job.price()), mark));
        }
        for event in &events {
            writes.push(event_put(&self.table, event)?);
        }
        Ok(writes)
    }
}

impl<'a> Draft<'a> {
    fn new(job: &Job, creation: &Creation<'a>) -> Self {
        let counters = creation.budgets.iter().map(|budget| budget.counter.clone()).collect();
        let (asked, wanted) = (job.notifies(), creation.wanted);
        Self {
            job: job
                .clone()
                .with_budgets(counters)
                .with_events(asked.max(wanted))
                .with_uncounted(creation.limits.live_jobs == LiveMax::NONE),
            asked,
            wanted,
            low: Low::Unknown,
            budgets: creation.budgets.iter().map(Charging::new).collect(),
        }
    }

    fn listening(&self) -> Listening {
        let is_event = self.listens() && self.budgets.iter().any(Charging::is_news);
        Listening { wanted: self.wanted, is_event }
    }

    fn listens(&self) -> bool {
        self.wanted != Notifies::Nothing
    }

    /// Learns from the items that refused it; returns why there is no job, if another try cannot change that.
    fn learn(
        &mut self,
        doing: &str,
        balance: Option<&Item>,
        counters: &[Option<Item>],
        limits: Limits,
    ) -> Result<Option<Created>, Error> {
        let mut live = None;
        if let Some(item) = balance {
            if let Some(refused) = refused(doing, item, &self.job, limits)? {
                return Ok(Some(refused));
            }
            let (was_low, was_wanted) = (self.low, self.wanted);
            self.low = ledger::falls_low(doing, item, &self.job, limits)?.map_or(Low::Unknown, Low::From);
            self.wanted = ledger::wanted_events(item);
            self.job = self.job.clone().with_events(self.asked.max(self.wanted));
            let is_same = self.low == was_low && self.wanted == was_wanted;
            live = is_same.then(|| ledger::live_of(item));
        }
        let budgets = self.budgets.iter_mut().zip(counters);
        let exceeded = budgets.filter_map(|(budget, item)| budget.refused(item.as_ref()?, &self.job));
        if let Some(longest) = Standing::longest(exceeded) {
            return Ok(Some(Created::OverBudget(longest)));
        }
        // The number of active jobs has fallen since.
        let live = live.filter(|_| limits.live_jobs != LiveMax::NONE);
        Ok(live.map(|live| Created::TooMany { live }))
    }
}

/// The job that an earlier request under the same key has created.
fn existing(doing: &str, job: &Job, item: Item) -> Result<Created, Error> {
    let earlier = job_from_item(doing, item)?;
    let same = earlier.is_made_by(job.request_hash(), job.body_digest());
    Ok(if same { Created::Existing(earlier) } else { Created::KeyReused })
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
    Ok(limits.live_jobs.number().is_some_and(|most| live >= most).then_some(Created::TooMany { live }))
}
