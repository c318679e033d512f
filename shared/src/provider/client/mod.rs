//! The one HTTP path to all providers: sends, bounds, classifies, logs.

mod access_token;
mod bill;
mod config;
mod delivery;
mod download;
mod jwks;
mod listing;
mod look_up;
mod prices;
mod transport;
mod webhooks;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use reqwest::multipart::Form;
use reqwest::redirect;
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use self::access_token::AccessTokenCache;
use self::jwks::KeyCache;
use self::transport::{NoAnswer, Timer, classify, not_sent, read_body};
use crate::outside::client;
use crate::outside::retry_after::retry_after;
use crate::provider::adapter::{Adapter, Settings};
use crate::provider::adapters::adapter;
use crate::provider::call::{Answer, Body, Call};
use crate::provider::credential::CredentialId;
use crate::provider::fetch::download::{Downloader, SILENCE_MAX};
use crate::provider::fetch::image::Image;
use crate::provider::order::CreateOrder;
use crate::provider::outcome::{Canceling, Outcome, Polled, RETRY_AFTER_MAX, busy};
use crate::trace;
use domain::id::RemoteJob;
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::Secret;

pub use config::{ProviderConfig, Timeouts};
pub use delivery::Delivery;

/// Calls the configured providers.
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
    configs: BTreeMap<CredentialId, ProviderConfig>,
    timeouts: Timeouts,
    keys: KeyCache,
    access_tokens: AccessTokenCache,
}

#[derive(Debug, Clone, Copy)]
enum Credentials {
    /// With the key; the time is the current time.
    Key(Timestamp),
    None,
}

impl ProviderClient {
    /// A client for these providers and keys. Fails only if the system has no usable TLS.
    pub fn new(configs: Vec<ProviderConfig>, timeouts: Timeouts) -> Result<Self, reqwest::Error> {
        let http = client::builder()
            .user_agent(concat!("genmux/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(timeouts.connect)
            // What is being made is silent for as long as that takes.
            .read_timeout(SILENCE_MAX.max(timeouts.deliver))
            // A connection that was frozen with the function looks alive, and a create sent on it may
            // have an unknown outcome: every call opens its own connection.
            .pool_max_idle_per_host(0)
            .build()?;
        let complete = |mut config: ProviderConfig| {
            adapter(config.credential.provider).complete(&mut config.settings, &config.key);
            (config.credential.clone(), config)
        };
        let configs = configs.into_iter().map(complete).collect();
        Ok(Self {
            http,
            configs,
            timeouts,
            keys: KeyCache::default(),
            access_tokens: AccessTokenCache::default(),
        })
    }

    fn config(&self, credential: &CredentialId) -> Option<&ProviderConfig> {
        self.configs.get(credential)
    }

    /// Identifies the current key and origin without revealing them: the first four bytes
    /// of a hash. `None` if there is none.
    pub fn key_mark(&self, credential: impl Into<CredentialId>) -> Option<u32> {
        let config = self.config(&credential.into())?;
        let origin = config.base_url.as_ref().map_or("", Url::as_str);
        let hash = Sha256::new().chain_update(origin).chain_update([0]).chain_update(config.key.expose());
        hash.finalize().first_chunk().map(|first| u32::from_be_bytes(*first))
    }

    /// Starts a remote job, or returns whether it may have started. Must be called at most once per
    /// attempt.
    ///
    /// If the provider takes images as bytes, they are downloaded first; if that fails, nothing is sent.
    pub async fn create(
        &self,
        downloads: &Downloader,
        credential: impl Into<CredentialId>,
        order: &CreateOrder<'_>,
        now: Timestamp,
    ) -> Outcome {
        let credential = &credential.into();
        let adapter = adapter(credential.provider);
        let timer = Timer::start(credential.provider, "create");
        let request = order.request;
        let images = match adapter.capabilities().inline_images {
            true => tokio::try_join!(
                fetch(downloads, request.image_url.as_deref(), now),
                fetch(downloads, request.last_frame_url.as_deref(), now)
            ),
            false => Ok((None, None)),
        };
        let (image, last_frame) = match images {
            Ok(both) => both,
            Err(fault) => {
                let outcome = Outcome::NotSent(fault);
                timer.log_status(None, outcome.summary());
                return outcome;
            }
        };
        let order = &CreateOrder { image: image.as_ref(), last_frame: last_frame.as_ref(), ..*order };
        let settings = self.config(credential).map(|config| &config.settings);
        let create = || adapter.create(order, settings.unwrap_or(&Settings::default()));
        let sent = match order.has_endpoint().then(create).flatten() {
            Some(call) => {
                let timeouts = &self.timeouts;
                let timeout = if call.delivers { timeouts.deliver } else { timeouts.create };
                self.send(credential, call, Credentials::Key(now), timeout).await
            }
            None => Err(not_sent(ErrorClass::InvalidRequest, "cannot_be_said")),
        };
        let outcome = match &sent {
            Ok(answer) => with_retry_after(adapter.read_create(answer), answer, now),
            Err(NoAnswer::NotSent(fault)) => Outcome::NotSent(fault.clone()),
            Err(NoAnswer::Lost(cause)) => Outcome::unknown(cause),
        };
        timer.log(&sent, outcome.summary());
        outcome
    }

    /// Polls a remote job; `route` is the attempt's route name. Never returns [`Polled::Fetch`].
    pub async fn poll(
        &self,
        credential: impl Into<CredentialId>,
        remote: &RemoteJob,
        route: &str,
        now: Timestamp,
    ) -> Polled {
        let credential = &credential.into();
        let adapter = adapter(credential.provider);
        let call = adapter.poll(remote, route);
        let read = |answer: &Answer| adapter.read_poll(remote, route, answer);
        let polled = self.ask(credential, "poll", call, now, read).await;
        let Polled::Fetch(call) = polled else { return polled };
        let read = |answer: &Answer| adapter.read_result(remote, answer);
        let polled = self.ask(credential, "result", *call, now, read).await;
        match polled {
            Polled::Fetch(_) => Polled::Unreadable("fetch_again"),
            polled => polled,
        }
    }

    async fn ask(
        &self,
        credential: &CredentialId,
        what: &'static str,
        call: Call,
        now: Timestamp,
        read: impl FnOnce(&Answer) -> Polled,
    ) -> Polled {
        let timer = Timer::start(credential.provider, what);
        let sent = self.send(credential, call, Credentials::Key(now), self.timeouts.ask).await;
        let polled = match &sent {
            Ok(answer) => or_busy(read(answer), answer, now),
            Err(lost) => Polled::Unreadable(lost.cause()),
        };
        timer.log(&sent, polled.summary());
        polled
    }

    /// Requests the cancel of a remote job. Only [`poll`](Self::poll) returns its final state.
    ///
    /// If canceling a finished job destroys its result, the job is polled first and not canceled if it
    /// is finished.
    pub async fn cancel(
        &self,
        credential: impl Into<CredentialId>,
        remote: &RemoteJob,
        route: &str,
        now: Timestamp,
    ) -> Canceling {
        let credential = &credential.into();
        let adapter = adapter(credential.provider);
        let Some(call) = adapter.cancel(remote, route) else { return Canceling::Impossible };
        if adapter.capabilities().cancel_destroys {
            match self.poll(credential.clone(), remote, route, now).await {
                Polled::Pending => {}
                Polled::Ended(Verdict::Gone) => return Canceling::Gone,
                Polled::Ended(_) | Polled::Empty(_) | Polled::Fetch(_) => return Canceling::TooLate,
                Polled::Busy(_) => return Canceling::Unreadable("busy"),
                Polled::Unreadable(cause) => return Canceling::Unreadable(cause),
            }
        }
        let timer = Timer::start(credential.provider, "cancel");
        let sent = self.send(credential, call, Credentials::Key(now), self.timeouts.ask).await;
        let canceling = match &sent {
            Ok(answer) => adapter.read_cancel(answer),
            Err(lost) => Canceling::Unreadable(lost.cause()),
        };
        timer.log(&sent, canceling.summary());
        canceling
    }

    /// Makes a free authenticated call; returns its latency.
    pub async fn ping(
        &self,
        credential: impl Into<CredentialId>,
        now: Timestamp,
    ) -> (Result<(), Fault>, Duration) {
        let credential = &credential.into();
        let adapter = adapter(credential.provider);
        let timer = Timer::start(credential.provider, "ping");
        let settings = self.config(credential).map(|config| &config.settings);
        let call = adapter.ping(settings.unwrap_or(&Settings::default()));
        let sent = self.send(credential, call, Credentials::Key(now), self.timeouts.ping).await;
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
        (health, timer.elapsed())
    }

    /// The body of a successful call without credentials.
    async fn fetch_keys(&self, provider: Provider, call: Call) -> Option<Bytes> {
        let timer = Timer::start(provider, "keys");
        let sent =
            self.send(&CredentialId::deployment(provider), call, Credentials::None, self.timeouts.ping).await;
        let body = sent.as_ref().ok().filter(|answer| answer.is_ok()).map(|answer| answer.body.clone());
        timer.log(&sent, (if body.is_some() { "fetched" } else { "unavailable" }, ""));
        body
    }

    async fn send(
        &self,
        credential: &CredentialId,
        call: Call,
        credentials: Credentials,
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let answer_max = call.answer_max;
        let request = self.request(credential, call, credentials).await?;
        let response = request.timeout(timeout).send().await.map_err(|error| classify(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if status == 401 {
            self.access_tokens.forget(credential);
        }
        Ok(Answer { status, headers, body: read_body(response, answer_max).await? })
    }

    async fn request(
        &self,
        credential: &CredentialId,
        call: Call,
        credentials: Credentials,
    ) -> Result<reqwest::RequestBuilder, NoAnswer> {
        let Some(config) = self.config(credential) else {
            return Err(not_sent(ErrorClass::Auth, "not_configured"));
        };
        let url = config.url(&call.host, &call.path_and_query);
        let mut request = self.http.request(call.method, url).headers(call.headers);
        if let Credentials::Key(now) = credentials {
            let key = self.key(config, now).await?;
            let (name, value) = authorization(adapter(credential.provider), &key, now)?;
            request = request.header(name, value);
            // A provider that traces can show its part with ours.
            if let Some(traceparent) = trace::current() {
                request = request.header("traceparent", traceparent.to_string());
            }
        }
        Ok(match call.body {
            Some(Body::Json(body)) => request.json(&body),
            Some(Body::Form(texts)) => {
                let form = texts.into_iter().fold(Form::new(), |form, (name, text)| form.text(name, text));
                request.multipart(form)
            }
            Some(Body::Query(pairs)) => {
                let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(text)
            }
            None => request,
        })
    }

    /// The credential of a call: the configured key or its access token. If the exchange fails, the
    /// call is not sent.
    async fn key(&self, config: &ProviderConfig, now: Timestamp) -> Result<Secret, NoAnswer> {
        let credential = &config.credential;
        let adapter = adapter(credential.provider);
        if !adapter.capabilities().exchanges_key {
            return Ok(config.key.clone());
        }
        if let Some(key) = self.access_tokens.get(credential, now) {
            return Ok(key);
        }
        let call = adapter.exchange(&config.key, now);
        let call = call.ok_or_else(|| not_sent(ErrorClass::Auth, "malformed_key"))?;
        let timer = Timer::start(credential.provider, "token");
        // Boxed, because `send` calls this function.
        let sent = Box::pin(self.send(credential, call, Credentials::None, self.timeouts.ping)).await;
        let access = match &sent {
            Ok(answer) => adapter.read_exchange(answer).map_err(NoAnswer::NotSent),
            Err(NoAnswer::NotSent(fault)) => Err(NoAnswer::NotSent(fault.clone())),
            Err(NoAnswer::Lost(cause)) => Err(not_sent(ErrorClass::ProviderUnavailable, cause)),
        };
        timer.log(&sent, (if access.is_ok() { "given" } else { "not_given" }, ""));
        let access = access?;
        let key = access.key.clone();
        self.access_tokens.set(credential.clone(), access, now);
        Ok(key)
    }
}

fn authorization(
    adapter: &dyn Adapter,
    key: &Secret,
    now: Timestamp,
) -> Result<(HeaderName, HeaderValue), NoAnswer> {
    let header = adapter.authorize(key, now);
    let header = header.and_then(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)));
    let Some((name, mut value)) = header else {
        return Err(not_sent(ErrorClass::Auth, "malformed_key"));
    };
    value.set_sensitive(true);
    Ok((name, value))
}

async fn fetch(downloads: &Downloader, url: Option<&str>, now: Timestamp) -> Result<Option<Image>, Fault> {
    match url {
        Some(url) => Image::fetch(downloads, url, now).await.map(Some),
        None => Ok(None),
    }
}

fn with_retry_after(outcome: Outcome, answer: &Answer, now: Timestamp) -> Outcome {
    match outcome {
        Outcome::Refused { fault, retry_after: None } if fault.class.is_transient() => {
            Outcome::Refused { fault, retry_after: retry_after(&answer.headers, RETRY_AFTER_MAX, now) }
        }
        other => other,
    }
}

/// Adds the `Retry-After` of an otherwise unreadable answer.
fn or_busy(polled: Polled, answer: &Answer, now: Timestamp) -> Polled {
    match polled {
        Polled::Unreadable(_) => busy(answer.status, &answer.headers, now).map_or(polled, Polled::Busy),
        polled => polled,
    }
}
