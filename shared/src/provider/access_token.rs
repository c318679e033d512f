//! OAuth access-token cache.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::adapter;
use super::client::{Credentials, NoAnswer, ProviderClient, ProviderConfig, Timer, not_sent};
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::ErrorClass;
use signatures::Secret;

/// A cached token is no longer used this long before it expires.
const SPARE: Duration = Duration::from_secs(120);

/// An access token and its lifetime.
#[derive(Debug, Clone)]
pub struct AccessToken {
    pub key: Secret,
    pub lasts: Duration,
}

/// The current access token of each provider. Shared by all calls of one client.
#[derive(Debug, Default)]
pub(super) struct AccessTokenCache(Mutex<BTreeMap<Provider, (Secret, Timestamp)>>);

impl AccessTokenCache {
    fn get(&self, provider: Provider, now: Timestamp) -> Option<Secret> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&provider).filter(|(_, until)| now < *until).map(|(key, _)| key.clone())
    }

    fn set(&self, provider: Provider, key: Secret, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, (key, until));
    }

    /// Drops a token that the provider rejected: the next call requests a new one.
    pub(super) fn forget(&self, provider: Provider) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&provider);
    }
}

impl ProviderClient {
    /// The credential of a call: the configured key or its access token. If the exchange fails, the
    /// call is not sent.
    pub(super) async fn key(&self, config: &ProviderConfig, now: Timestamp) -> Result<Secret, NoAnswer> {
        let provider = config.provider;
        let adapter = adapter(provider);
        if !adapter.capabilities().exchanges_key {
            return Ok(config.key.clone());
        }
        if let Some(key) = self.access_tokens.get(provider, now) {
            return Ok(key);
        }
        let call = adapter.exchange(&config.key, now);
        let call = call.ok_or_else(|| not_sent(ErrorClass::Auth, "malformed_key"))?;
        let timer = Timer::start(provider, "token");
        // Boxed, because `send` calls this function.
        let sent = Box::pin(self.send(provider, call, Credentials::None, self.timeouts.ping)).await;
        let access = match &sent {
            Ok(answer) => adapter.read_exchange(answer).map_err(NoAnswer::NotSent),
            Err(NoAnswer::NotSent(fault)) => Err(NoAnswer::NotSent(fault.clone())),
            Err(NoAnswer::Lost(cause)) => Err(not_sent(ErrorClass::ProviderUnavailable, cause)),
        };
        timer.log(&sent, (if access.is_ok() { "given" } else { "not_given" }, ""));
        let AccessToken { key, lasts } = access?;
        self.access_tokens.set(provider, key.clone(), now + lasts.saturating_sub(SPARE));
        Ok(key)
    }
}
