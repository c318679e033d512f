//! The verification of a webhook.

use bytes::Bytes;
use http::HeaderMap;

use super::ProviderClient;
use super::delivery::Delivery;
use super::jwks::{Held, KEPT_MAX, REFRESH_MIN};
use crate::provider::adapter::Scheme;
use crate::provider::adapters::adapter;
use crate::provider::callback_token::Token;
use crate::provider::credential::CredentialId;
use domain::provider::Provider;
use domain::time::Timestamp;
use signatures::{Jwks, SignedToken, Signing, Verified, VerifyError, verify_signed};

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
        let config = self.config(&CredentialId::deployment(provider)).ok_or(VerifyError::NoWebhooks)?;
        let scheme = adapter(provider).capabilities().webhooks;
        let scheme = scheme.filter(|_| token.get().provider == provider).ok_or(VerifyError::NoWebhooks)?;
        let by = |keys: Jwks| match scheme {
            Scheme::SignedToken => Signing::SignedToken(SignedToken::new(keys, token.get().name())),
            Scheme::TokenOnly | Scheme::Fal | Scheme::StandardWebhooks => Signing::Fal(keys),
        };
        let signing = match scheme {
            Scheme::TokenOnly => None,
            Scheme::Fal | Scheme::SignedToken => Some(by(self.jwks(provider, now).await.unwrap_or_default())),
            Scheme::StandardWebhooks => config.webhook_secret.clone().map(Signing::StandardWebhooks),
        };
        let Some(signing) = signing else { return Ok(Delivery::unsigned(token, body)) };
        // These schemes do not sign the URL.
        let proved = match verify_signed(&signing, "", headers, body.clone(), now.as_secs()) {
            Err(VerifyError::BadSignature) if scheme.has_public_keys() => {
                let keys = self.newer_jwks(provider, now).await.ok_or(VerifyError::BadSignature)?;
                verify_signed(&by(keys), "", headers, body, now.as_secs())
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
