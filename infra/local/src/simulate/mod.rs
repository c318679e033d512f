//! Simulated providers in their real wire formats, over HTTP on loopback.
//!
//! A [`Simulator`] is one provider. It keeps its remote jobs in SQLite and computes their state
//! from the clock, so it may be killed at any time and opened again. What it plays, beyond a good
//! run, is ordered in the prompt: see the table in `directive.rs`. Tests read its log of calls,
//! cut its wire and make its fault_profile, which is what it plays with all who call. It fetches the images
//! that orders name: see `images.rs`.
//!
//! # Another provider
//!
//! A module in `providers/` with a unit struct that is a `wire::Wire`, and its arm in
//! `providers::wire`. The module says what a call is for, checks bodies (`schema`), words answers
//! and refusals, and renders webhooks. A create reads the prompt (`Simulator::play`) and hands an
//! `Order` to `create::play`; a poll or a cancel looks with
//! `Simulator::find`; a poll tells `RemoteJob::phase` through `poll::answer`; a call for
//! the output asks `poll::result_play` first; media are at `media::url`, or wherever `Wire::media`
//! finds them. What a job is to remember beside the common fields goes to `RemoteJob::extra`. Its
//! tests say in a `test_bench::Client` how it is called, and are then given a `Bench`.

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
use shared::provider::download::Downloader;
use tokio::net::TcpListener;

use directive::Play;
use store::Store;
use wire::{Inbound, Wire};

pub use standard_webhooks::WebhookSecret;

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
    /// The call for the output of a job that ended, where the poll does not tell it.
    Result,
    Cancel,
    /// A search for remote jobs by something else than their id.
    LookUp,
    /// The authenticated call that a health check makes.
    Ping,
    /// The provider's list of prices, asked for more than a ping needs.
    Prices,
    /// What a webhook's signature is checked with.
    Keys,
    /// An access token for another credential.
    Token,
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
    /// Whether a key or any `Authorization` header was there. It belongs on a media call only
    /// where the provider asks for it.
    pub authorized: bool,
    pub at: Timestamp,
    /// The HTTP status of the answer; `None` if there was none, or is none yet.
    pub status: Option<u16>,
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
    /// What the provider calls its model or endpoint.
    pub endpoint: String,
    pub state: RemoteState,
    /// Whether the provider bills for it, as it is now.
    pub bills: bool,
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
    wire: &'static dyn Wire,
    clock: Clock,
    options: Options,
    store: Store,
    secret: WebhookSecret,
    outward: Outward,
    /// The order that it is about to take names an image that is not there.
    lacks_image: bool,
    desk: Arc<Desk>,
}

/// What simulators call out with. All of a stack share one: a client reads the system's TLS roots,
/// which takes longer than the rest of a simulator's start.
#[derive(Debug, Clone)]
pub struct Outward {
    webhooks: reqwest::Client,
    /// For the images that orders name.
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

/// What lives in memory only.
#[derive(Debug, Default)]
struct Desk {
    base: Mutex<String>,
    calls: Mutex<Vec<Call>>,
    cuts: Mutex<Vec<(CallKind, Fault)>>,
    fault_profile: Mutex<Option<FaultProfile>>,
    media: Mutex<HashMap<video::Picture, Bytes>>,
}

/// What a provider plays with everybody for a while.
#[derive(Debug)]
struct FaultProfile {
    directives: String,
    until: Timestamp,
}

impl Simulator {
    /// Opens the provider on its file, or on memory that dies with the process. All providers
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

    /// Cuts the wire of the next call of this kind; several cuts are served one call each.
    pub fn cut(&self, kind: CallKind, fault: Fault) {
        lock(&self.desk.cuts).push((kind, fault));
    }

    /// Plays these directives with everybody until a time, in place of any fault_profile before: see
    /// the tables in `directive.rs`. A time that has come ends the fault_profile. What a prompt orders
    /// itself has the last word on its own remote job. Remote jobs that run go on, whatever
    /// becomes of calls.
    ///
    /// # Errors
    ///
    /// A sentence that names the first directive that is unknown.
    pub fn set_fault_profile(&self, directives: &str, until: Timestamp) -> Result<(), String> {
        let directives = format!("[[sim: {directives}]]");
        directive::read(&directives, self.provider)?;
        *lock(&self.desk.fault_profile) = Some(FaultProfile { directives, until });
        Ok(())
    }

    /// What a prompt orders, in the present fault_profile.
    fn play(&self, prompt: &str) -> Result<Play, String> {
        let now = self.clock.now();
        match lock(&self.desk.fault_profile).as_ref().filter(|fault_profile| now < fault_profile.until) {
            Some(fault_profile) => {
                directive::read(&format!("{} {prompt}", fault_profile.directives), self.provider)
            }
            None => directive::read(prompt, self.provider),
        }
    }

    /// What the present fault_profile orders by itself.
    fn fault_profile(&self) -> Play {
        self.play("").unwrap_or_default()
    }

    /// The variables by which a caller who has it all is configured, where these hold more than
    /// any text as a key.
    pub fn credentials(&self) -> Vec<(&'static str, String)> {
        self.wire.credentials(self)
    }

    /// What its webhooks are signed with, at a provider of Standard Webhooks: the same as long as
    /// the file lives.
    pub fn webhook_secret(&self) -> &WebhookSecret {
        &self.secret
    }

    /// The remote job that a poll or a cancel finds by this id.
    fn find(&self, id: &str) -> anyhow::Result<Option<jobs::RemoteJob>> {
        let now = self.clock.now();
        Ok(self.store.get(id)?.filter(|job| !job.is_hidden(now)))
    }

    fn base(&self) -> String {
        lock(&self.desk.base).clone()
    }

    /// Whether the call carries a key that is accepted.
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
