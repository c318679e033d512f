//! Checks that messages of webhooks belong to the attempt that they name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::jobs::JobStore;
use super::pins::Pins;
use super::queue::{Sender, Source};
use super::{Error, Table};
use domain::attempt::Attempt;
use domain::id::{JobId, RemoteJob};
use domain::job::Job;
use domain::provider::Provider;
use domain::time::Timestamp;

/// TTL of the cached pins.
const PINNED_FOR: Duration = Duration::from_secs(60);

/// Reads the jobs of messages, and drops messages that do not belong to them.
#[derive(Debug)]
pub struct Reports {
    jobs: JobStore,
    pins: Pins,
    /// Accounts that this instance has pinned.
    pinned: Mutex<BTreeMap<Provider, (String, Timestamp)>>,
}

/// The origin of a message.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub remote: Option<&'a RemoteJob>,
    pub source: Source,
    pub sender: Option<&'a Sender>,
}

impl Reports {
    pub fn new(table: Table) -> Self {
        Self { jobs: JobStore::new(table.clone()), pins: Pins::new(table), pinned: Mutex::default() }
    }

    /// The job of a message; `None` if it is from a webhook that does not belong to the job: that is
    /// logged and counted by the template.
    pub async fn job(
        &self,
        id: &JobId,
        number: u8,
        origin: Origin<'_>,
        now: Timestamp,
    ) -> Result<Option<Job>, Error> {
        let job = self.jobs.get(id).await?;
        let attempt = job.as_ref().and_then(|job| job.attempt(number));
        let is_webhook = origin.source == Source::Webhook;
        let reason = match attempt {
            None if is_webhook => Some("no_such_attempt"),
            None => return Err(Error::missing(format!("find attempt {number} of job {id}"))),
            Some(attempt) if is_webhook => self.mismatch(attempt, origin, now).await?,
            Some(_) => None,
        };
        let Some(reason) = reason else { return Ok(job) };
        let provider = origin.sender.map_or("unknown", |sender| sender.provider.name());
        tracing::warn!(job = %id, attempt = number, provider, reason, "webhook.dropped");
        Ok(None)
    }

    /// Whether our account at this provider is known.
    pub async fn knows_account(&self, provider: Provider) -> Result<bool, Error> {
        Ok(self.pins.get(provider).await?.is_some())
    }

    async fn mismatch(
        &self,
        attempt: &Attempt,
        origin: Origin<'_>,
        now: Timestamp,
    ) -> Result<Option<&'static str>, Error> {
        if let Some(reason) = Sender::mismatch(origin.sender, attempt, now) {
            return Ok(Some(reason));
        }
        let Some(user) = origin.sender.and_then(|sender| sender.user.as_ref()) else { return Ok(None) };
        match (&attempt.remote, origin.remote) {
            (Some(known), Some(named)) if known.id == named.id => {
                self.pin(attempt.provider, user, now).await?;
                Ok(None)
            }
            // The remote job decides.
            (Some(_), _) => Ok(None),
            (None, _) => {
                let pinned = self.pins.get(attempt.provider).await?;
                Ok(pinned.is_some_and(|pinned| pinned != *user).then_some("other_account"))
            }
        }
    }

    /// Pins the account: a webhook about our own remote job is signed for our account. After a change
    /// of keys, jobs of both accounts may report for a while; the last write wins.
    async fn pin(&self, provider: Provider, user: &str, now: Timestamp) -> Result<(), Error> {
        let pinned = || self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |(known, at): &(String, Timestamp)| known == user && now.since(*at) < PINNED_FOR;
        if pinned().get(&provider).is_some_and(is_fresh) {
            return Ok(());
        }
        self.pins.set(provider, user).await?;
        pinned().insert(provider, (user.to_owned(), now));
        Ok(())
    }
}
