//! Simulated providers in their real wire formats, over HTTP on loopback.
//!
//! A [`Simulator`] is one provider. It stores its remote jobs in SQLite and computes their state from
//! the clock, so it can be killed at any time and opened again. Faults are directives in the prompt: see
//! the table in `directive.rs`. Tests read its log of calls, cut its connections and set its fault
//! profile, which applies to all calls. It downloads the images of creates: see `images.rs`.
//!
//! # Another provider
//!
//! A module in `providers/` with a unit struct that implements `wire::Wire`, and its arm in
//! `providers::wire`. The module classifies calls, checks bodies (`schema`), builds answers and
//! refusals, and renders webhooks. A create parses the prompt (`Simulator::play`) and passes an `Order`
//! to `create::play`; a poll or a cancel calls `Simulator::find`; a poll returns `RemoteJob::phase`
//! through `poll::answer`; a call for the output calls `poll::result_play` first; media are at
//! `media::url` or at the paths of `Wire::media`. Further data of a job is in `RemoteJob::extra`. Its
//! tests describe its calls in a `test_bench::Client` and use a `Bench`.

mod create;
mod directive;
mod form;
mod google;
mod images;
mod jobs;
mod media;
mod png;
mod poll;
mod providers;
mod rsa;
mod schema;
mod server;
mod standard_webhooks;
mod store;
mod video;
mod webhook;
mod wire;

#[cfg(test)]
mod test_bench;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::provider::Provider;
use domain::public_url::Reach;
use domain::time::Timestamp;
use shared::boot::Clock;
use shared::provider::fetch::Downloader;
use tokio::net::TcpListener;

use directive::Play;
use store::Store;
use wire::{Inbound, Wire};

pub use standard_webhooks::WebhookSecret;

#[derive(Debug, Clone)]
pub struct Options {
    /// The default duration of a remote job.
    pub latency: Duration,
    /// The base of URLs in answers, without a trailing slash. Default: the listener's address over HTTP.
    pub public_url: Option<String>,
    /// The accepted keys. Default: every key except an empty one and `invalid`.
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
    /// The call for the output of an ended job, if the poll does not contain it.
    Result,
    Cancel,
    /// A search for remote jobs without their id.
    LookUp,
    /// The authenticated call of a health check.
    Ping,
    /// The provider's price list.
    Prices,
    /// The public keys of webhook signatures.
    Keys,
    /// An access token for another credential.
    Token,
    Media,
    /// A path or method that the provider does not have.
    Other,
}

/// One received call, also if it was refused or its connection was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub kind: CallKind,
    pub method: String,
    pub path: String,
    /// Whether it had a key or an `Authorization` header. A media call must have one only if the
    /// provider requires it.
    pub authorized: bool,
    pub at: Timestamp,
    /// The HTTP status of the answer; `None` without an answer so far.
    pub status: Option<u16>,
    /// What the answer to a create says: some providers refuse with status 200.
    pub says: Option<Says>,
}

/// What the answer to a create says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It names the remote job.
    Accepted,
    /// There is no remote job.
    Refused,
    /// Nothing, whatever its status: what it should bring is spoilt.
    Nothing,
}

/// A cut connection: it closes without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call was read and takes no effect.
    DropBefore,
    /// The call takes effect.
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
    /// What the provider calls its model or endpoint.
    pub endpoint: String,
    pub state: RemoteState,
    /// Whether the provider bills it in its current state.
    pub bills: bool,
    pub prompt: String,
    /// Its callback URL.
    pub webhook_url: Option<String>,
    pub created_at: Timestamp,
    pub ends_at: Timestamp,
}

/// One simulated provider. Clones share everything.
#[derive(Debug, Clone)]
pub struct Simulator {
    provider: Provider,
    wire: &'static dyn Wire,
    clock: Clock,
    options: Options,
    store: Store,
    secret: WebhookSecret,
    outward: Outward,
    /// The current create has an image that cannot be downloaded.
    lacks_image: bool,
    desk: Arc<Desk>,
}

/// The HTTP clients of simulators. All simulators of a stack share them: loading the system's TLS roots
/// takes longer than the rest of a simulator's start.
#[derive(Debug, Clone)]
pub struct Outward {
    webhooks: reqwest::Client,
    /// For the images of creates.
    images: Downloader,
}

impl Outward {
    /// # Errors
    ///
    /// If the system has no usable TLS.
    pub fn new() -> anyhow::Result<Self> {
        let webhooks = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(webhook::ANSWER_WITHIN)
            .no_proxy()
            .build()?;
        Ok(Self { webhooks, images: Downloader::new(Reach::Loopback)? })
    }
}

/// State in memory.
#[derive(Debug, Default)]
struct Desk {
    base: Mutex<String>,
    calls: Mutex<Vec<Call>>,
    cuts: Mutex<Vec<(CallKind, Fault)>>,
    fault_profile: Mutex<Option<FaultProfile>>,
    media: Mutex<HashMap<video::Picture, Bytes>>,
}

/// Directives for all calls until a time.
#[derive(Debug)]
struct FaultProfile {
    directives: String,
    until: Timestamp,
}

impl Simulator {
    /// Opens the provider on a database file, or in memory. All providers can share one file.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or has another format.
    pub fn open(
        provider: Provider,
        file: Option<&Path>,
        clock: Clock,
        options: Options,
        outward: Outward,
    ) -> anyhow::Result<Self> {
        Self::open_on(providers::wire(provider), provider, file, clock, options, outward)
    }

    fn open_on(
        wire: &'static dyn Wire,
        provider: Provider,
        file: Option<&Path>,
        clock: Clock,
        options: Options,
        outward: Outward,
    ) -> anyhow::Result<Self> {
        let store = Store::open(file, provider)?;
        let secret = WebhookSecret::new(store.secret(|| wire.draw_secret())?);
        let (lacks_image, desk) = (false, Arc::default());
        Ok(Self { provider, wire, clock, options, store, secret, outward, lacks_image, desk })
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
        server::serve(self, listener, shutdown).await;
        Ok(())
    }

    /// Sends every due webhook and waits for the answers; returns the number of deliveries. A failed one
    /// is retried after a growing delay, up to five attempts.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn deliver_due(&self) -> anyhow::Result<usize> {
        webhook::deliver_due(self).await
    }

    /// The earliest time at which a remote job changes its state or a webhook is due. In the past only
    /// for a webhook that waits for [`Self::deliver_due`].
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
            bills: self.wire.bills(&job, now),
            ends_at: job.ends_at(),
            provider: self.provider,
            webhook_url: job.webhook.map(|webhook| webhook.callback.url),
            id: job.id,
            endpoint: job.endpoint,
            prompt: job.prompt,
            created_at: job.created_at,
        };
        Ok(self.store.all()?.into_iter().map(view).collect())
    }

    /// Cuts the connection of the next call of this kind; several cuts apply to one call each.
    pub fn cut(&self, kind: CallKind, fault: Fault) {
        lock(&self.desk.cuts).push((kind, fault));
    }

    /// Applies these directives to all calls until a time: see the tables in `directive.rs`. Replaces
    /// any earlier profile; a time in the past removes it. Directives of a prompt take precedence for
    /// their own remote job. Running remote jobs are not affected.
    ///
    /// # Errors
    ///
    /// A message that names the first unknown directive.
    pub fn set_fault_profile(&self, directives: &str, until: Timestamp) -> Result<(), String> {
        let directives = format!("[[sim: {directives}]]");
        directive::read(&directives, self.provider)?;
        *lock(&self.desk.fault_profile) = Some(FaultProfile { directives, until });
        Ok(())
    }

    /// The directives of a prompt and the current fault profile.
    fn play(&self, prompt: &str) -> Result<Play, String> {
        let now = self.clock.now();
        match lock(&self.desk.fault_profile).as_ref().filter(|fault_profile| now < fault_profile.until) {
            Some(fault_profile) => {
                directive::read(&format!("{} {prompt}", fault_profile.directives), self.provider)
            }
            None => directive::read(prompt, self.provider),
        }
    }

    /// The directives of the current fault profile.
    fn fault_profile(&self) -> Play {
        self.play("").unwrap_or_default()
    }

    /// The environment variables of its clients, if not any text is a valid key.
    pub fn credentials(&self) -> Vec<(&'static str, String)> {
        self.wire.credentials(self)
    }

    /// The secret of its webhooks (Standard Webhooks); constant per database.
    pub fn webhook_secret(&self) -> &WebhookSecret {
        &self.secret
    }

    /// The visible remote job with this id.
    fn find(&self, id: &str) -> anyhow::Result<Option<jobs::RemoteJob>> {
        let now = self.clock.now();
        Ok(self.store.get(id)?.filter(|job| !job.is_hidden(now)))
    }

    fn base(&self) -> String {
        lock(&self.desk.base).clone()
    }

    /// Whether the call has an accepted key.
    fn is_authorized(&self, call: &Inbound) -> bool {
        self.wire.key(call).is_some_and(|key| match &self.options.keys {
            Some(keys) => keys.iter().any(|accepted| accepted == key),
            None => self.wire.accepts(self, key),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
