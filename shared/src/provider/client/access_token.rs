//! The cache of OAuth access tokens.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::provider::adapter::AccessToken;
use crate::provider::credential::CredentialId;
use domain::time::Timestamp;
use signatures::Secret;

/// A cached token is no longer used this long before it expires.
const SPARE: Duration = Duration::from_secs(120);

/// The current access token of each key that is exchanged. Shared by all calls of one client.
#[derive(Debug, Default)]
pub(super) struct AccessTokenCache(Mutex<BTreeMap<CredentialId, (Secret, Timestamp)>>);

impl AccessTokenCache {
    pub(super) fn get(&self, credential: &CredentialId, now: Timestamp) -> Option<Secret> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(credential).filter(|(_, until)| now < *until).map(|(key, _)| key.clone())
    }

    /// A token that was given at this time.
    pub(super) fn set(&self, credential: CredentialId, access: AccessToken, now: Timestamp) {
        let AccessToken { key, lasts } = access;
        let until = now + lasts.saturating_sub(SPARE);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(credential, (key, until));
    }

    /// Drops a token that the provider rejected: the next call requests a new one.
    pub(super) fn forget(&self, credential: &CredentialId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(credential);
    }
}
