//! One simulated provider: its remote jobs, its calls, its fault profile.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::catalog::Kind;
use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::future::BoxFuture;

use super::call::{Call, CallKind, Fault};
use super::clock::Clock;
use super::directive::{self, IsOwn};
use super::jobs::{RemoteJob, RemoteJobView};
use super::play::Play;
use super::standard_webhooks::WebhookSecret;
use super::store::Store;
use super::video::Picture;
use super::wire::{Inbound, Wire};

/// How long a receiver of a webhook has for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub struct Options {
    /// The default duration of a remote job.
    pub latency: Duration,
    /// The base of URLs in answers, without a trailing slash. Default: the listener's address over HTTP.
    pub public_url: Option<String>,
    /// The accepted keys. Default: every key except an empty one and `invalid`.
    pub keys: Option<Vec<String>>,
    /// Endpoints of fal and Replicate whose input types are not known here, and what they make.
    pub further: BTreeMap<String, Kind>,
}

impl Default for Options {
    fn default() -> Self {
        Self { latency: Duration::from_secs(6), public_url: None, keys: None, further: BTreeMap::new() }
    }
}

/// What makes a simulator that of one provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition {
    pub(crate) provider: Provider,
    pub(crate) wire: &'static dyn Wire,
    pub(crate) is_own: IsOwn,
}

/// One simulated provider. Clones share everything.
#[derive(Debug, Clone)]
pub struct Simulator {
    pub(crate) provider: Provider,
    pub(crate) wire: &'static dyn Wire,
    pub(crate) is_own: IsOwn,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) secret: WebhookSecret,
    pub(crate) outward: Outward,
    /// The current create has an image that cannot be downloaded.
    pub(crate) lacks_image: bool,
    pub(crate) memory: Arc<Memory>,
}

/// Fetches an image from a URL as a provider does, and returns whether it is one.
pub type Images = Arc<dyn Fn(String, Timestamp) -> BoxFuture<'static, bool> + Send + Sync>;

/// What simulators call. All simulators of a stack share it: loading the system's TLS roots takes longer
/// than the rest of a simulator's start.
#[derive(Clone)]
pub struct Outward {
    pub(crate) webhooks: reqwest::Client,
    /// For the images of creates.
    pub(crate) images: Images,
}

impl fmt::Debug for Outward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outward").finish_non_exhaustive()
    }
}

impl Outward {
    /// # Errors
    ///
    /// If the system has no usable TLS.
    pub fn new(images: Images) -> anyhow::Result<Self> {
        let webhooks = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .build()?;
        Ok(Self { webhooks, images })
    }
}

/// State in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) base: Mutex<String>,
    pub(crate) calls: Mutex<Vec<Call>>,
    pub(crate) cuts: Mutex<Vec<(CallKind, Fault)>>,
    pub(crate) fault_profile: Mutex<Option<FaultProfile>>,
    pub(crate) media: Mutex<HashMap<Picture, Bytes>>,
}

/// Directives for all calls until a time.
#[derive(Debug)]
pub(crate) struct FaultProfile {
    directives: String,
    until: Timestamp,
}

impl Simulator {
    /// Opens the provider on a database file, or in memory. All providers can share one file.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or has another format.
    pub(crate) fn open(
        definition: Definition,
        file: Option<&Path>,
        clock: Clock,
        options: Options,
        outward: Outward,
    ) -> anyhow::Result<Self> {
        let Definition { provider, wire, is_own } = definition;
        let store = Store::open(file, provider)?;
        let secret = WebhookSecret::new(store.secret(|| wire.draw_secret())?);
        let (lacks_image, memory) = (false, Arc::default());
        Ok(Self { provider, wire, is_own, clock, options, store, secret, outward, lacks_image, memory })
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
        lock(&self.memory.calls).clone()
    }

    /// Every remote job ever made, oldest first.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn remote_jobs(&self) -> anyhow::Result<Vec<RemoteJobView>> {
        let now = self.clock.now();
        let view = |job: RemoteJob| RemoteJobView {
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
        lock(&self.memory.cuts).push((kind, fault));
    }

    /// Applies these directives to all calls until a time: see the tables in `frame/directive.rs`. Replaces
    /// any earlier profile; a time in the past removes it. Directives of a prompt take precedence for
    /// their own remote job. Running remote jobs are not affected.
    ///
    /// # Errors
    ///
    /// A message that names the first unknown directive.
    pub fn set_fault_profile(&self, directives: &str, until: Timestamp) -> Result<(), String> {
        let directives = format!("[[sim: {directives}]]");
        directive::read(&directives, self.provider, self.is_own)?;
        *lock(&self.memory.fault_profile) = Some(FaultProfile { directives, until });
        Ok(())
    }

    /// The directives of a prompt and the current fault profile.
    pub(crate) fn play(&self, prompt: &str) -> Result<Play, String> {
        let now = self.clock.now();
        match lock(&self.memory.fault_profile).as_ref().filter(|fault_profile| now < fault_profile.until) {
            Some(fault_profile) => {
                directive::read(&format!("{} {prompt}", fault_profile.directives), self.provider, self.is_own)
            }
            None => directive::read(prompt, self.provider, self.is_own),
        }
    }

    /// The directives of the current fault profile.
    pub(crate) fn fault_profile(&self) -> Play {
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
    pub(crate) fn find(&self, id: &str) -> anyhow::Result<Option<RemoteJob>> {
        let now = self.clock.now();
        Ok(self.store.get(id)?.filter(|job| !job.is_hidden(now)))
    }

    /// The base of its URLs, without a trailing slash.
    pub fn base(&self) -> String {
        lock(&self.memory.base).clone()
    }

    /// Whether the call has an accepted key.
    pub(crate) fn is_authorized(&self, call: &Inbound) -> bool {
        self.wire.key(call).is_some_and(|key| match &self.options.keys {
            Some(keys) => keys.iter().any(|accepted| accepted == key),
            None => self.wire.accepts(self, key),
        })
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
