//! A cache of the public keys of webhook signatures, and the verification of a webhook.

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
use super::verify::{Delivery, Scheme, SignedToken, Signing, Token, Verified, VerifyError, verify_signed};
use domain::provider::Provider;
use domain::time::Timestamp;

/// The maximum number of keys of a key set; the rest are ignored.
const KEYS_MAX: usize = 16;
/// How long a key set is cached.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The minimum interval of refetches after a signature that no key matches: forgeries cost nothing.
const REFRESH_MIN: Duration = Duration::from_secs(60);

/// A provider's public keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jwks {
    ed25519: Vec<VerifyingKey>,
    rsa: Vec<RsaKey>,
}

/// An RSA key by its name: modulus and exponent, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RsaKey {
    pub(super) kid: String,
    pub(super) n: Vec<u8>,
    pub(super) e: Vec<u8>,
}

impl Jwks {
    /// The Ed25519 and RSA keys of a JSON Web Key Set, at most 16 of either; keys of other kinds
    /// are skipped. `None` if there is none.
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
        #[derive(Deserialize)]
        struct Rsa {
            kty: String,
            kid: String,
            n: String,
            e: String,
        }
        let set: Set = serde_json::from_slice(json).ok()?;
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok();
        let ed25519 = |value: &serde_json::Value| {
            let key = Key::deserialize(value).ok().filter(|key| key.kty == "OKP" && key.crv == "Ed25519")?;
            VerifyingKey::from_bytes(&decode(&key.x)?.try_into().ok()?).ok()
        };
        let rsa = |value: &serde_json::Value| {
            let key = Rsa::deserialize(value).ok().filter(|key| key.kty == "RSA")?;
            Some(RsaKey { n: decode(&key.n)?, e: decode(&key.e)?, kid: key.kid })
        };
        let keys = Self {
            ed25519: set.keys.iter().filter_map(ed25519).take(KEYS_MAX).collect(),
            rsa: set.keys.iter().filter_map(rsa).take(KEYS_MAX).collect(),
        };
        (!keys.ed25519.is_empty() || !keys.rsa.is_empty()).then_some(keys)
    }

    pub(super) fn ed25519(&self) -> &[VerifyingKey] {
        &self.ed25519
    }

    pub(super) fn rsa(&self) -> &[RsaKey] {
        &self.rsa
    }
}

/// The key set of each provider, as last fetched. Shared by all calls of one client.
#[derive(Debug, Default)]
pub(super) struct KeyCache(Mutex<BTreeMap<Provider, Held>>);

#[derive(Debug, Clone)]
struct Held {
    /// The last key set and its time; `None` if never fetched.
    keys: Option<(Jwks, Timestamp)>,
    /// The time of the last fetch, successful or not.
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
    /// Verifies a webhook by the provider's scheme.
    ///
    /// Public keys are at most a day old; if none matches, they are fetched again, at most once a
    /// minute. If the provider signs with a secret that is not configured, its webhooks are unsigned
    /// notifications.
    pub async fn verify_webhook(
        &self,
        provider: Provider,
        token: &Verified<Token>,
        headers: &HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Delivery, VerifyError> {
        let scheme = adapter(provider).capabilities().webhooks.filter(|_| self.is_configured(provider));
        let scheme = scheme.filter(|_| token.get().provider == provider).ok_or(VerifyError::NoWebhooks)?;
        let by = |keys: Jwks| match scheme {
            Scheme::SignedToken => Signing::SignedToken(SignedToken::new(keys, token.get())),
            Scheme::TokenOnly | Scheme::Fal | Scheme::StandardWebhooks => Signing::Fal(keys),
        };
        let signing = match scheme {
            Scheme::TokenOnly => None,
            Scheme::Fal | Scheme::SignedToken => Some(by(self.jwks(provider, now).await.unwrap_or_default())),
            Scheme::StandardWebhooks => self.webhook_secret(provider).map(Signing::StandardWebhooks),
        };
        let Some(signing) = signing else { return Ok(Delivery::unsigned(token, body)) };
        // These schemes do not sign the URL.
        let proved = match verify_signed(&signing, "", headers, body.clone(), now) {
            Err(VerifyError::BadSignature) if scheme.has_public_keys() => {
                let keys = self.newer_jwks(provider, now).await.ok_or(VerifyError::BadSignature)?;
                verify_signed(&by(keys), "", headers, body, now)
            }
            known => known,
        };
        Ok(Delivery { body: proved?, signed: scheme.covers_body(), user: scheme.user(headers) })
    }

    /// The provider's keys, at most a day old; `None` if it has none or they cannot be fetched.
    pub async fn jwks(&self, provider: Provider, now: Timestamp) -> Option<Jwks> {
        let held = self.keys.get(provider).and_then(|held| held.keys);
        match held.filter(|(_, fetched_at)| now.since(*fetched_at) <= KEPT_MAX) {
            Some((keys, _)) => Some(keys),
            None => self.newer_jwks(provider, now).await,
        }
    }

    /// Refetched keys, at most once a minute.
    async fn newer_jwks(&self, provider: Provider, now: Timestamp) -> Option<Jwks> {
        let call = adapter(provider).jwks()?;
        let held = self.keys.get(provider);
        if held.as_ref().is_some_and(|held| now.since(held.asked_at) < REFRESH_MIN) {
            return None;
        }
        let before = held.and_then(|held| held.keys);
        self.keys.set(provider, Held { keys: before, asked_at: now });
        let keys = Jwks::parse(&self.fetch_keys(provider, call).await?)?;
        self.keys.set(provider, Held { keys: Some((keys.clone(), now)), asked_at: now });
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
        assert_eq!(parse(odd).unwrap().ed25519.len(), 1);
        assert_eq!(parse(vec![good.clone(); 100]).unwrap().ed25519.len(), KEYS_MAX);
        let rsa = json!({"kty": "RSA", "kid": "1", "n": "AQAB", "e": "AQAB"});
        let both = parse(vec![good, rsa, json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})]).unwrap();
        assert_eq!((both.ed25519.len(), both.rsa.len()), (1, 1));
        assert_eq!(parse(vec![]), None);
        assert_eq!(Jwks::parse(b"<html>"), None);
    }
}
