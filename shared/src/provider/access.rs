//! Keys that are exchanged for others, which are good for a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::adapter;
use super::client::{Credentials, NoAnswer, ProviderClient, ProviderConfig, Timer, not_sent};
use super::secret::Secret;
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::ErrorClass;

/// How long before its end an access is no longer used.
const SPARE: Duration = Duration::from_secs(120);

/// What a key was exchanged for.
#[derive(Debug, Clone)]
pub struct Access {
    /// What calls are made with instead.
    pub key: Secret,
    pub lasts: Duration,
}

/// The access to each provider, as last given. Shared by all calls of one client.
#[derive(Debug, Default)]
pub(super) struct AccessCache(Mutex<BTreeMap<Provider, (Secret, Timestamp)>>);

impl AccessCache {
    fn get(&self, provider: Provider, now: Timestamp) -> Option<Secret> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&provider).filter(|(_, until)| now < *until).map(|(key, _)| key.clone())
    }

    fn set(&self, provider: Provider, key: Secret, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, (key, until));
    }

    /// It was not taken: the next call asks for another.
    pub(super) fn forget(&self, provider: Provider) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&provider);
    }
}

impl ProviderClient {
    /// What a call carries: the configured key, or what it is exchanged for. Whatever goes wrong
    /// with that, the call itself is not sent.
    pub(super) async fn key(&self, config: &ProviderConfig, now: Timestamp) -> Result<Secret, NoAnswer> {
        let provider = config.provider;
        let adapter = adapter(provider);
        if !adapter.capabilities().exchanges_key {
            return Ok(config.key.clone());
        }
        if let Some(key) = self.access.get(provider, now) {
            return Ok(key);
        }
        let call = adapter.exchange(&config.key, now);
        let call = call.ok_or_else(|| not_sent(ErrorClass::Auth, "malformed_key"))?;
        let timer = Timer::start(provider, "token");
        // Boxed: it sends as every call is sent, and that asks for keys.
        let sent = Box::pin(self.send(provider, call, Credentials::None, self.timeouts.ping)).await;
        let access = match &sent {
            Ok(answer) => adapter.read_exchange(answer).map_err(NoAnswer::NotSent),
            Err(NoAnswer::NotSent(fault)) => Err(NoAnswer::NotSent(fault.clone())),
            Err(NoAnswer::Lost(cause)) => Err(not_sent(ErrorClass::ProviderUnavailable, cause)),
        };
        timer.log(&sent, (if access.is_ok() { "given" } else { "not_given" }, ""));
        let Access { key, lasts } = access?;
        self.access.set(provider, key.clone(), now + lasts.saturating_sub(SPARE));
        Ok(key)
    }
}
