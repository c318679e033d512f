//! The one HTTP path to all providers: sends, bounds, classifies, logs.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use reqwest::redirect;
use tokio::time::Instant;
use url::Url;

use super::jwks::KeyCache;
use super::outcome::{Canceling, Outcome, Polled, retry_after};
use super::secret::Secret;
use super::{Adapter, Answer, Call, CreateOrder, adapter};
use crate::domain::id::RemoteJob;
use crate::domain::provider::Provider;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

/// The longest answer that is read, in bytes.
pub const BODY_MAX: usize = 1 << 20;

/// How to reach one provider.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    pub provider: Provider,
    pub key: Secret,
    /// Takes the place of scheme and host of *every* call to this provider.
    pub base_url: Option<Url>,
}

/// How long each call may take in all. Whoever calls must outlast them: a poll of an ended
/// job and a cancel may each make two calls.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    pub create: Duration,
    /// Poll, result, cancel.
    pub ask: Duration,
    /// Ping, and the keys of webhooks.
    pub ping: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            create: Duration::from_secs(30),
            ask: Duration::from_secs(10),
            ping: Duration::from_secs(5),
        }
    }
}

/// Calls the providers that are configured.
///
/// # Guarantees
///
/// - Each method makes each of its calls at most once: nothing is retried here.
/// - A key goes only to a pinned host of its provider, or to the configured base URL;
///   redirects are not followed and no proxy is used.
/// - Keys, bodies and URLs are never logged.
#[derive(Debug)]
pub struct ProviderClient {
    http: reqwest::Client,
    providers: BTreeMap<Provider, ProviderConfig>,
    timeouts: Timeouts,
    pub(super) keys: KeyCache,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
enum NoAnswer {
    /// The call certainly never left.
    NotSent(Fault),
    /// It may have arrived.
    Lost(&'static str),
}

impl NoAnswer {
    const fn cause(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::Lost(cause) => cause,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Credentials {
    Key,
    None,
}

impl ProviderClient {
    /// A client for these providers. Fails only where the system has no usable TLS.
    pub fn new(providers: Vec<ProviderConfig>, timeouts: Timeouts) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("genmux/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(timeouts.connect)
            // A connection that slept through a function's freeze looks alive, and a create
            // that is lost on it has an unknown fate: every call makes its own connection.
            .pool_max_idle_per_host(0)
            .build()?;
        let providers = providers.into_iter().map(|config| (config.provider, config)).collect();
        Ok(Self { http, providers, timeouts, keys: KeyCache::default() })
    }

    /// Every provider that has a key.
    pub fn providers(&self) -> impl Iterator<Item = Provider> {
        self.providers.keys().copied()
    }

    /// Starts a remote job, or tells whether it may have. To be called at most once per attempt.
    pub async fn create(&self, provider: Provider, order: &CreateOrder<'_>, now: Timestamp) -> Outcome {
        let adapter = adapter(provider);
        let timer = Timer::start(provider, "create");
        let sent = self.send(provider, adapter.create(order), Credentials::Key, self.timeouts.create).await;
        let outcome = match &sent {
            Ok(answer) => wait_as_told(adapter.read_create(answer), answer, now),
            Err(NoAnswer::NotSent(fault)) => Outcome::NotSent(fault.clone()),
            Err(NoAnswer::Lost(cause)) => Outcome::Unknown(cause),
        };
        timer.log(&sent, outcome.summary());
        outcome
    }

    /// Asks after a remote job; `route` is the attempt's route name. Never [`Polled::Fetch`].
    pub async fn poll(&self, provider: Provider, remote: &RemoteJob, route: &str) -> Polled {
        let adapter = adapter(provider);
        let polled = self
            .ask(provider, "poll", adapter.poll(remote, route), |answer| {
                adapter.read_poll(remote, route, answer)
            })
            .await;
        let Polled::Fetch(call) = polled else { return polled };
        let polled = self.ask(provider, "result", call, |answer| adapter.read_result(remote, answer)).await;
        match polled {
            Polled::Fetch(_) => Polled::Unreadable("fetch_again"),
            Polled::Pending | Polled::Ended(_) | Polled::Unreadable(_) => polled,
        }
    }

    async fn ask(
        &self,
        provider: Provider,
        what: &'static str,
        call: Call,
        read: impl FnOnce(&Answer) -> Polled,
    ) -> Polled {
        let timer = Timer::start(provider, what);
        let sent = self.send(provider, call, Credentials::Key, self.timeouts.ask).await;
        let polled = match &sent {
            Ok(answer) => read(answer),
            Err(lost) => Polled::Unreadable(lost.cause()),
        };
        timer.log(&sent, polled.summary());
        polled
    }

    /// Asks a remote job to stop. What becomes of it, only [`poll`](Self::poll) tells.
    ///
    /// Where canceling a finished job destroys its result, the job is polled first and a
    /// finished one is let be.
    pub async fn cancel(&self, provider: Provider, remote: &RemoteJob, route: &str) -> Canceling {
        let adapter = adapter(provider);
        let Some(call) = adapter.cancel(remote, route) else { return Canceling::Impossible };
        if adapter.capabilities().cancel_destroys {
            match self.poll(provider, remote, route).await {
                Polled::Pending => {}
                Polled::Ended(Verdict::Gone) => return Canceling::Gone,
                Polled::Ended(_) | Polled::Fetch(_) => return Canceling::TooLate,
                Polled::Unreadable(cause) => return Canceling::Unreadable(cause),
            }
        }
        let timer = Timer::start(provider, "cancel");
        let sent = self.send(provider, call, Credentials::Key, self.timeouts.ask).await;
        let canceling = match &sent {
            Ok(answer) => adapter.read_cancel(answer),
            Err(lost) => Canceling::Unreadable(lost.cause()),
        };
        timer.log(&sent, canceling.summary());
        canceling
    }

    /// Makes a free call that needs the key, and measures it.
    pub async fn ping(&self, provider: Provider) -> (Result<(), Fault>, Duration) {
        let adapter = adapter(provider);
        let timer = Timer::start(provider, "ping");
        let sent = self.send(provider, adapter.ping(), Credentials::Key, self.timeouts.ping).await;
        let health = match &sent {
            Ok(answer) => adapter.read_ping(answer),
            Err(NoAnswer::NotSent(fault)) => Err(fault.clone()),
            Err(NoAnswer::Lost(cause)) => {
                Err(Fault::new(ErrorClass::ProviderUnavailable, Some(cause), Billed::No))
            }
        };
        let summary = match &health {
            Ok(()) => ("well", ""),
            Err(fault) => ("unwell", fault.class.name()),
        };
        timer.log(&sent, summary);
        (health, timer.started.elapsed())
    }

    /// The body of a successful call that must not carry the key.
    pub(super) async fn fetch_keys(&self, provider: Provider, call: Call) -> Option<Bytes> {
        let timer = Timer::start(provider, "keys");
        let sent = self.send(provider, call, Credentials::None, self.timeouts.ping).await;
        let body = sent.as_ref().ok().filter(|answer| answer.is_ok()).map(|answer| answer.body.clone());
        timer.log(&sent, (if body.is_some() { "fetched" } else { "unavailable" }, ""));
        body
    }

    async fn send(
        &self,
        provider: Provider,
        call: Call,
        credentials: Credentials,
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let Some(config) = self.providers.get(&provider) else {
            return Err(not_sent(ErrorClass::Auth, "not_configured"));
        };
        let mut request = self.http.request(call.method, config.url(call.host, &call.path_and_query));
        request = request.headers(call.headers).timeout(timeout);
        if let Credentials::Key = credentials {
            let (name, value) = config.authorization(adapter(provider))?;
            request = request.header(name, value);
        }
        if let Some(body) = call.body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| classify(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: read_body(response).await? })
    }
}

impl ProviderConfig {
    fn url(&self, host: &'static str, path_and_query: &str) -> String {
        match &self.base_url {
            Some(base) => format!("{}{path_and_query}", base.as_str().trim_end_matches('/')),
            None => format!("https://{host}{path_and_query}"),
        }
    }

    fn authorization(&self, adapter: &dyn Adapter) -> Result<(http::HeaderName, HeaderValue), NoAnswer> {
        let (name, text) = adapter.authorize(&self.key);
        let Ok(mut value) = HeaderValue::try_from(text) else {
            return Err(not_sent(ErrorClass::Auth, "malformed_key"));
        };
        value.set_sensitive(true);
        Ok((name, value))
    }
}

fn not_sent(class: ErrorClass, code: &str) -> NoAnswer {
    NoAnswer::NotSent(Fault::new(class, Some(code), Billed::No))
}

/// Certainly not sent if no connection was made; whatever else went wrong, it may have been.
fn classify(error: &reqwest::Error) -> NoAnswer {
    if error.is_builder() {
        not_sent(ErrorClass::InvalidRequest, "malformed_call")
    } else if error.is_connect() {
        not_sent(ErrorClass::ProviderUnavailable, "no_connection")
    } else if error.is_timeout() {
        NoAnswer::Lost("timeout")
    } else {
        NoAnswer::Lost("connection_lost")
    }
}

async fn read_body(mut response: reqwest::Response) -> Result<Bytes, NoAnswer> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(NoAnswer::Lost("answer_too_long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn wait_as_told(outcome: Outcome, answer: &Answer, now: Timestamp) -> Outcome {
    match outcome {
        Outcome::Refused { fault, retry_after: None } if fault.class.passes() => {
            Outcome::Refused { fault, retry_after: retry_after(&answer.headers, now) }
        }
        other => other,
    }
}

/// One call under way, and its line in the log.
struct Timer {
    provider: Provider,
    what: &'static str,
    started: Instant,
}

impl Timer {
    fn start(provider: Provider, what: &'static str) -> Self {
        Self { provider, what, started: Instant::now() }
    }

    fn log(&self, sent: &Result<Answer, NoAnswer>, (outcome, reason): (&str, &str)) {
        tracing::info!(
            provider = self.provider.name(),
            what = self.what,
            status = sent.as_ref().ok().map(|answer| answer.status),
            outcome,
            reason,
            duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "provider.called"
        );
    }
}

#[cfg(test)]
mod tests;
