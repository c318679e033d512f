//! Submits a job: the account's policy and limits, the charge, the message that dispatches it.

use domain::budget::Budget;
use domain::credit::Credits;
use domain::id::{AccountId, JobId};
use domain::job::{CHECK_EVERY, Job, Notifies};
use domain::policy::live::LiveMax;
use domain::request::JobRequest;
use domain::time::Timestamp;

use super::prices::{Prices, Terms};
use super::recent::Recent;
use crate::operate;
use crate::store::accounts::{Accounts, Policy};
use crate::store::jobs::{Created, Creation, JobStore, Try};
use crate::store::keystore::ApiKey;
use crate::store::ledger::Limits;
use crate::store::outbox::Outbox;
use crate::store::queue::Queue;
use crate::store::{Error, Table};

/// What a submit needs.
#[derive(Debug)]
pub struct Submit {
    pub jobs: JobStore,
    pub outbox: Outbox,
    pub accounts: Accounts,
    /// Default limit of active jobs of an account.
    pub live_max: LiveMax,
    pub policies: Recent<AccountId, Policy>,
    pub prices: Prices,
    /// The events that each account's endpoints want.
    pub events: Recent<AccountId, Notifies>,
}

/// A validated and priced request.
#[derive(Debug)]
pub struct Submission {
    pub id: JobId,
    /// Its account is charged.
    pub key: ApiKey,
    pub order: JobRequest,
    pub price: Credits,
    /// What the price is by.
    pub terms: Terms,
    /// Identifies a repeat even if defaults or models have changed since.
    pub body_digest: Option<String>,
    /// The number of the try, of a client that sends it and no key.
    pub retry_count: Option<u32>,
}

/// What became of a submission.
#[derive(Debug)]
pub struct Submitted {
    pub created: Created,
    /// With the preference of the account's policy.
    pub order: JobRequest,
    pub limits: Limits,
}

impl Submitted {
    /// Why there is no job, for the caller, if its price or a limit of the account is the reason.
    pub fn refusal(&self, price: Credits) -> Option<String> {
        let why = match &self.created {
            Created::New(_) | Created::Existing(_) | Created::KeyReused => return None,
            Created::NoCredit { balance } => {
                format!("This costs {price} credits and the balance is {balance}.")
            }
            Created::TooMany { live } => {
                format!("This account has {live} live jobs and may have {}.", self.limits.live_jobs)
            }
            Created::TooMuchLost { lost } => format!(
                "Canceled and failed jobs of this account may have cost {lost} today, which is its limit. It may \
                 order again tomorrow (UTC)."
            ),
            Created::OverBudget(budget) => format!("{budget} This costs {price} credits."),
        };
        Some(format!("{why} Nothing was charged."))
    }
}

impl Submit {
    pub fn new(table: &Table, dispatch: Queue, live_max: LiveMax) -> Self {
        Self {
            jobs: JobStore::new(table.clone()),
            outbox: Outbox { dispatch: Some(dispatch), poll: None },
            accounts: Accounts::new(table.clone()),
            live_max,
            policies: Recent::default(),
            prices: Prices::new(table.clone()),
            events: Recent::default(),
        }
    }

    /// Charges and creates the job, and queues its dispatch.
    pub async fn place(&self, submission: Submission, now: Timestamp) -> Result<Submitted, Error> {
        let Submission { id, key, mut order, price, terms, body_digest, retry_count } = submission;
        let account = key.account.clone();
        // Before policy and key are applied, so that their change does not alter the digest of a repeat.
        let digest = order.digest();
        let tried = retry_count.map(|number| Try::new(account.clone(), digest.clone(), number));
        let policy = self.policy(&account, now).await?;
        order.prefer = order.prefer.or(policy.prefer);
        order.providers = key.rules.allowed.providers.clone().unwrap_or_default();
        let limits = Limits {
            live_jobs: policy.live_jobs_max.unwrap_or(self.live_max),
            loss_per_day: policy.loss_per_day,
            low_below: policy.low_below,
        };
        // As far as this instance knows.
        let wanted = self.events.get(&account, now).unwrap_or_default();
        let asked = if order.callback_url.is_some() { Notifies::Ends } else { Notifies::Nothing };
        let job = Job::new(id, account, order.model.clone(), price, digest, now)
            .with_body_digest(body_digest)
            .with_price_of(terms.version(), terms.percent)
            .with_events(asked);
        let mut budgets: Vec<_> = operate::budgets::at(&policy, Some((&key.id, &key.rules)), now).collect();
        if terms.counts_volume() && policy.budgets.month.is_none() {
            budgets.push(Budget::volume(now));
        }
        let creation = Creation {
            wanted,
            request: &order,
            key: Some(&key.id),
            check_at: now + CHECK_EVERY,
            limits,
            budgets: &budgets,
            tried: tried.as_ref(),
        };
        let (created, found) = self.jobs.create_as(&job, &creation).await?;
        if found != wanted {
            self.events.put(key.account.clone(), found, now);
        }
        if let Created::New(job) = &created {
            // The job is charged and durable: `reconcile` sends a lost message again.
            self.outbox.send_all(job).await;
            tracing::info!(job = %job.id(), model = job.model(), price_micros = price.micros(), "job.created");
        }
        Ok(Submitted { created, order, limits })
    }

    /// The account's policy, at most as old as [`Recent`] keeps it.
    pub async fn policy(&self, account: &AccountId, now: Timestamp) -> Result<Policy, Error> {
        if let Some(policy) = self.policies.get(account, now) {
            return Ok(policy);
        }
        let policy = self.accounts.policy(account).await?;
        self.policies.put(account.clone(), policy, now);
        Ok(policy)
    }
}
