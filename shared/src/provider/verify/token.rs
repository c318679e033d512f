//! The token of a callback URL: it identifies the attempt and its provider.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Verified, VerifyError};
use crate::provider::secret::Secret;
use domain::id::{JobId, base32};
use domain::provider::Provider;

/// Bytes of the HMAC that a callback token carries.
const MAC_BYTES: usize = 16;

/// The attempt of a callback URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub job: JobId,
    pub attempt: u8,
    /// The provider that the URL was given to. It stands in the path, and not in the token's text.
    pub provider: Provider,
}

impl Token {
    /// What its text begins with: `<job without its prefix>.<attempt>.`
    pub(super) fn name(&self) -> String {
        format!("{}.{}.", &self.job.as_str()[JobId::PREFIX.len()..], self.attempt)
    }

    fn parse(text: &str, provider: Provider) -> Option<Self> {
        let mut parts = text.split('.');
        let job = format!("{}{}", JobId::PREFIX, parts.next()?).parse().ok()?;
        Some(Self { job, attempt: parts.next()?.parse().ok()?, provider })
    }

    fn render(&self, form: Form, secret: &Secret) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
            .expect("an HMAC takes a key of any length");
        mac.update(self.job.as_str().as_bytes());
        mac.update(&[0, self.attempt]);
        if form == Form::OfProvider {
            mac.update(self.provider.name().as_bytes());
        }
        self.name() + &base32(&mac.finalize().into_bytes()[..MAC_BYTES])
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    OfProvider,
    /// The token of older releases: valid at the path of every provider.
    OfAny,
}

/// The secrets that callback tokens are made with: the first signs, all verify.
#[derive(Debug, Clone)]
pub struct CallbackSecrets(Vec<Secret>);

/// No secret was given, or an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("callback secrets must not be empty")]
pub struct EmptySecret;

impl CallbackSecrets {
    pub fn new(secrets: Vec<Secret>) -> Result<Self, EmptySecret> {
        let usable = !secrets.is_empty() && secrets.iter().all(|secret| !secret.expose().is_empty());
        if usable { Ok(Self(secrets)) } else { Err(EmptySecret) }
    }

    /// `<job without its prefix>.<attempt>.<mac>`: a-z, digits and two dots.
    pub fn sign(&self, token: &Token) -> String {
        token.render(Form::OfProvider, &self.0[0])
    }

    /// Parses a token at a provider's path, if one of the secrets signed exactly this text for that
    /// provider.
    pub fn verify(&self, text: &str, provider: Provider) -> Result<Verified<Token>, VerifyError> {
        self.check(text, provider, Form::OfProvider)
    }

    /// The same for a token of an older release, which does not authenticate the provider: the caller
    /// must compare the provider and the time of the attempt.
    pub fn verify_old(&self, text: &str, provider: Provider) -> Result<Verified<Token>, VerifyError> {
        self.check(text, provider, Form::OfAny)
    }

    fn check(&self, text: &str, provider: Provider, form: Form) -> Result<Verified<Token>, VerifyError> {
        let token = Token::parse(text, provider).ok_or(VerifyError::BadToken)?;
        let genuine = |secret| bool::from(token.render(form, secret).as_bytes().ct_eq(text.as_bytes()));
        if self.0.iter().any(genuine) { Ok(Verified(token)) } else { Err(VerifyError::BadToken) }
    }
}
