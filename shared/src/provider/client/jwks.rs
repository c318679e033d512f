//! The cache of the public keys of webhook signatures.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::provider::Provider;
use domain::time::Timestamp;
use signatures::Jwks;

/// How long a key set is cached.
pub(super) const KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The minimum interval of refetches after a signature that no key matches: forgeries cost nothing.
pub(super) const REFRESH_MIN: Duration = Duration::from_secs(60);

/// The key set of each provider, as last fetched. Shared by all calls of one client.
#[derive(Debug, Default)]
pub(super) struct KeyCache(Mutex<BTreeMap<Provider, Held>>);

#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The last key set and its time; `None` if never fetched.
    pub(super) keys: Option<(Jwks, Timestamp)>,
    /// The time of the last fetch, successful or not.
    pub(super) asked_at: Timestamp,
}

impl KeyCache {
    pub(super) fn get(&self, provider: Provider) -> Option<Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&provider).cloned()
    }

    pub(super) fn set(&self, provider: Provider, held: Held) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, held);
    }
}
