//! Simulated providers in their real wire formats: fal and Runway over HTTP on loopback.
//!
//! A [`Simulator`] is one provider. It keeps its remote jobs in SQLite and computes their state
//! from the clock, so it may be killed at any time and opened again. What it plays, beyond a good
//! run, is ordered in the prompt: see the table in `directive.rs`. Tests read its log of calls
//! and cut its wire.

mod create;
mod directive;
mod fal;
mod fal_errors;
mod fal_models;
mod jobs;
mod media;
mod poll;
mod runway;
mod runway_models;
mod schema;
mod signature;
mod store;
mod video;
mod webhook;
mod wire;

#[cfg(test)]
mod fal_tests;
#[cfg(test)]
mod runway_tests;
#[cfg(test)]
mod test_bench;
#[cfg(test)]
mod wire_tests;

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shared::boot::Clock;
use shared::domain::time::Timestamp;
use tokio::net::TcpListener;

use signature::Signer;
use store::Store;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    Fal,
    Runway,
}

impl Provider {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fal => "fal",
            Self::Runway => "runway",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    /// How long a remote job runs whose prompt does not say.
    pub latency: Duration,
    /// What the addresses in answers begin with, without a slash at the end. Without it, the
    /// address of the listener over plain HTTP.
    pub public_url: Option<String>,
    /// The accepted keys. Without it, every key but the empty one and `invalid`.
    pub keys: Option<Vec<String>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { latency: Duration::from_secs(6), public_url: None, keys: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    Create,
    Poll,
    /// fal's second call, for the output.
    Result,
    Cancel,
    /// The authenticated call that a health check makes.
    Ping,
    /// fal's public keys.
    Keys,
    Media,
    /// A path or method that the provider does not have.
    Other,
}

/// One call as it came in, also if it was refused or its wire was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub kind: CallKind,
    pub method: String,
    pub path: String,
    /// Whether an `Authorization` header was there; on a media call none belongs there.
    pub authorized: bool,
    pub at: Timestamp,
}

/// A cut of the wire: the TCP connection closes without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call was read and has no effect.
    DropBefore,
    /// The call has its whole effect.
    DropAfter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

#[derive(Debug, Clone)]
pub struct RemoteJobView {
    pub id: String,
    pub provider: Provider,
    /// fal's endpoint id, Runway's model.
    pub endpoint: String,
    pub state: RemoteState,
    pub prompt: String,
    /// Where its webhook goes.
    pub webhook_url: Option<String>,
    pub created_at: Timestamp,
    pub ends_at: Timestamp,
}

/// One simulated provider. Clones share everything.
#[derive(Debug, Clone)]
pub struct Simulator {
    provider: Provider,
    clock: Clock,
    options: Options,
    store: Store,
    signer: Signer,
    client: reqwest::Client,
    desk: Arc<Desk>,
}

/// What lives in memory only.
#[derive(Debug, Default)]
struct Desk {
    base: Mutex<String>,
    calls: Mutex<Vec<Call>>,
    cuts: Mutex<Vec<(CallKind, Fault)>>,
    films: Mutex<HashMap<video::Film, Bytes>>,
}

impl Simulator {
    /// Opens the provider on its file, or on memory that dies with the process. Both providers
    /// may share one file.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or is not one of ours.
    pub fn open(
        provider: Provider,
        file: Option<&Path>,
        clock: Clock,
        options: Options,
    ) -> anyhow::Result<Self> {
        let store = Store::open(file, provider)?;
        let signer = Signer::new(&store.seed()?);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(webhook::ANSWER_WITHIN)
            .no_proxy()
            .build()?;
        Ok(Self { provider, clock, options, store, signer, client, desk: Arc::default() })
    }

    /// Answers on the listener until `shutdown` ends; open connections are then dropped.
    ///
    /// # Errors
    ///
    /// If the listener has no address.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let local = format!("http://{}", listener.local_addr()?);
        *lock(&self.desk.base) = self.options.public_url.clone().unwrap_or(local);
        wire::serve(self, listener, shutdown).await;
        Ok(())
    }

    /// Sends every webhook that is due by the clock and waits for the answers; gives the number
    /// of tries. A failed one is due again after a growing delay, five tries in all.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn deliver_due(&self) -> anyhow::Result<usize> {
        webhook::deliver_due(self).await
    }

    /// The earliest time at which a remote job changes its state or a webhook is to be sent. It
    /// lies in the past only for a webhook that waits for [`Self::deliver_due`].
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn next_due(&self) -> anyhow::Result<Option<Timestamp>> {
        let now = self.clock.now();
        let jobs = self.store.unfinished(now)?;
        let change = jobs.iter().filter_map(|job| job.next_change(now)).min();
        Ok(change.into_iter().chain(self.store.next_webhook()?).min())
    }

    /// Every call since the process started, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.desk.calls).clone()
    }

    /// Every remote job ever made, oldest first.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn remote_jobs(&self) -> anyhow::Result<Vec<RemoteJobView>> {
        let now = self.clock.now();
        let view = |job: jobs::RemoteJob| RemoteJobView {
            state: job.state(now),
            ends_at: job.ends_at(),
            provider: self.provider,
            webhook_url: job.webhook.map(|webhook| webhook.url),
            id: job.id,
            endpoint: job.endpoint,
            prompt: job.prompt,
            created_at: job.created_at,
        };
        Ok(self.store.all()?.into_iter().map(view).collect())
    }

    /// Cuts the wire of the next call of this kind; several cuts are served one call each.
    pub fn cut(&self, kind: CallKind, fault: Fault) {
        lock(&self.desk.cuts).push((kind, fault));
    }

    fn base(&self) -> String {
        lock(&self.desk.base).clone()
    }

    fn accepts(&self, key: &str) -> bool {
        match &self.options.keys {
            Some(keys) => keys.iter().any(|accepted| accepted == key),
            None => !key.is_empty() && key != "invalid",
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
