//! The keys that webhooks are signed with, kept for a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::VerifyingKey;
use http::HeaderMap;
use serde::Deserialize;

use super::adapter;
use super::client::ProviderClient;
use super::verify::{Delivery, Scheme, Signing, Token, Verified, VerifyError, verify_signed};
use crate::domain::provider::Provider;
use crate::domain::time::Timestamp;

/// Keys of a key set that are tried; the rest are ignored.
const KEYS_MAX: usize = 16;
/// How long a key set is used without asking again.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How often a signature that no key explains may make us ask again: forgeries are free.
const REFRESH_MIN: Duration = Duration::from_secs(60);

/// A provider's public keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jwks(Vec<VerifyingKey>);

impl Jwks {
    /// The Ed25519 keys of a JSON Web Key Set, at most 16; keys of other kinds are skipped.
    /// `None` if there is none.
    pub fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        #[derive(Deserialize)]
        struct Key {
            kty: String,
            crv: String,
            x: String,
        }
        let set: Set = serde_json::from_slice(json).ok()?;
        let read = |value: serde_json::Value| {
            let key: Key = serde_json::from_value(value).ok()?;
            let bytes = BASE64URL_NOPAD.decode(key.x.trim_end_matches('=').as_bytes()).ok()?;
            let ours = key.kty == "OKP" && key.crv == "Ed25519";
            VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok().filter(|_| ours)
        };
        let keys: Vec<_> = set.keys.into_iter().filter_map(read).take(KEYS_MAX).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    pub(super) fn keys(&self) -> &[VerifyingKey] {
        &self.0
    }
}

/// The key set of each provider, as last fetched. Shared by all calls of one client.
#[derive(Debug, Default)]
pub(super) struct KeyCache(Mutex<BTreeMap<Provider, Held>>);

#[derive(Debug, Clone)]
struct Held {
    keys: Jwks,
    fetched_at: Timestamp,
    /// When they were last asked for, in vain or not.
    asked_at: Timestamp,
}

impl KeyCache {
    fn get(&self, provider: Provider) -> Option<Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&provider).cloned()
    }

    fn set(&self, provider: Provider, held: Held) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, held);
    }
}

impl ProviderClient {
    /// Proves that a webhook came from this provider, by whatever scheme it has.
    ///
    /// Where it signs by public keys, those are at most a day old; if none of them fits they
    /// are fetched anew, at most once a minute, because it may have changed them. Where it
    /// signs with a secret that we were not given, its webhooks are hints.
    pub async fn verify_webhook(
        &self,
        provider: Provider,
        token: &Verified<Token>,
        headers: &HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Delivery, VerifyError> {
        let scheme = adapter(provider).capabilities().webhooks.ok_or(VerifyError::NoWebhooks)?;
        let signing = match scheme {
            Scheme::TokenOnly => None,
            Scheme::Fal => Some(Signing::Fal(self.jwks(provider, now).await.unwrap_or_default())),
            Scheme::StandardWebhooks => self.webhook_secret(provider).map(Signing::StandardWebhooks),
        };
        let Some(signing) = signing else { return Ok(Delivery::hint(token, body)) };
        // The address is no part of what these schemes sign.
        let proved = match verify_signed(&signing, "", headers, body.clone(), now) {
            Err(VerifyError::BadSignature) if scheme == Scheme::Fal => {
                let keys = self.newer_jwks(provider, now).await.ok_or(VerifyError::BadSignature)?;
                verify_signed(&Signing::Fal(keys), "", headers, body, now)
            }
            known => known,
        };
        Ok(Delivery { body: proved?, signed: true })
    }

    /// The keys that this provider signs with, at most a day old; `None` if it has none or
    /// they cannot be fetched.
    pub async fn jwks(&self, provider: Provider, now: Timestamp) -> Option<Jwks> {
        match self.keys.get(provider) {
            Some(held) if now.since(held.fetched_at) <= KEPT_MAX => Some(held.keys),
            _ => self.fetch_jwks(provider, now).await,
        }
    }

    /// The keys of this minute, unless they were asked for within it.
    async fn newer_jwks(&self, provider: Provider, now: Timestamp) -> Option<Jwks> {
        let held = self.keys.get(provider)?;
        if now.since(held.asked_at) < REFRESH_MIN {
            return None;
        }
        self.keys.set(provider, Held { asked_at: now, ..held });
        self.fetch_jwks(provider, now).await
    }

    async fn fetch_jwks(&self, provider: Provider, now: Timestamp) -> Option<Jwks> {
        let call = adapter(provider).jwks()?;
        let keys = Jwks::parse(&self.fetch_keys(provider, call).await?)?;
        self.keys.set(provider, Held { keys: keys.clone(), fetched_at: now, asked_at: now });
        Some(keys)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_key_set_is_read_leniently_and_bounded() {
        let good = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1"});
        let parse = |keys: Vec<Value>| Jwks::parse(json!({"keys": keys}).to_string().as_bytes());
        let odd = vec![
            json!(7),
            json!({"kty": "EC"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "!"}),
            good.clone(),
        ];
        assert_eq!(parse(odd).unwrap().0.len(), 1);
        assert_eq!(parse(vec![good; 100]).unwrap().0.len(), KEYS_MAX);
        assert_eq!(parse(vec![]), None);
        assert_eq!(Jwks::parse(b"<html>"), None);
    }
}
