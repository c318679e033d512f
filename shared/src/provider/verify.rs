//! Webhook verification. Only this file and its submodules create a [`Verified`].

mod abacatepay;
mod hmac_header;
mod mac;
mod paypal;
mod sendgrid;
mod signed_token;
mod standard_webhooks;
mod stripe;
mod token;
mod twilio;

use bytes::Bytes;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::Signature;
use http::header::GetAll;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

pub use self::abacatepay::AbacatePay;
pub use self::hmac_header::{Encoding, HmacHeader, HmacRules};
pub use self::mac::Hash;
pub use self::paypal::PayPal;
pub use self::sendgrid::SendGrid;
pub use self::signed_token::SignedToken;
pub use self::standard_webhooks::StandardWebhooks;
pub use self::stripe::Stripe;
pub use self::token::{CallbackSecrets, EmptySecret, Token};
pub use self::twilio::Twilio;
use super::jwks::Jwks;
use domain::time::Timestamp;

/// How far a signed timestamp may be from now, either way, in seconds.
const TOLERANCE_S: u64 = 300;
/// The account at fal that a webhook is for.
const FAL_USER: &str = "x-fal-webhook-user-id";
/// Longest name of an account that is kept.
const USER_CHARS_MAX: usize = 200;
/// Signatures of one delivery that are tried; the rest are ignored.
const ENTRIES_MAX: usize = 64;

/// A value whose sender was authenticated.
///
/// ```compile_fail
/// let forged = shared::provider::verify::Verified(bytes::Bytes::new());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Why verification failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("the callback token is invalid")]
    BadToken,
    #[error("header {0} is missing")]
    MissingHeader(&'static str),
    #[error("header {0} is malformed or sent twice")]
    Malformed(&'static str),
    #[error("the URL is malformed, or a signed part of it is missing or repeated")]
    BadUrl,
    #[error("the timestamp is more than {TOLERANCE_S} seconds from now")]
    Stale,
    #[error("the signature matches no key of the provider")]
    BadSignature,
    #[error("the provider's keys are unavailable")]
    NoKeys,
    #[error("this provider sends no webhooks, or is not configured")]
    NoWebhooks,
}

impl VerifyError {
    /// The delivery is malformed or stale (400), not forged (401).
    pub const fn is_stale_or_malformed(self) -> bool {
        matches!(self, Self::MissingHeader(_) | Self::Malformed(_) | Self::BadUrl | Self::Stale)
    }

    /// It may be authentic; a retry may succeed (503).
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::NoKeys)
    }
}

/// How a provider authenticates its webhooks, in addition to the token in the callback URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// No signature.
    TokenOnly,
    /// Ed25519 over id, user, time and body digest, by any key of a public key set.
    Fal,
    /// HMAC-SHA256 over id, time and body, if the secret is configured.
    StandardWebhooks,
    /// A token of the sender's, by the key of a public key set that it names. It
    /// is not known to cover the body: only an unsigned notification.
    SignedToken,
}

impl Scheme {
    /// Whether it uses `<NAME>_WEBHOOK_SECRET`.
    pub const fn has_secret(self) -> bool {
        match self {
            Self::TokenOnly | Self::Fal | Self::SignedToken => false,
            Self::StandardWebhooks => true,
        }
    }

    pub(super) const fn has_public_keys(self) -> bool {
        matches!(self, Self::Fal | Self::SignedToken)
    }

    pub(super) const fn covers_body(self) -> bool {
        matches!(self, Self::Fal | Self::StandardWebhooks)
    }

    /// The provider account in these headers. Valid only after the signature was verified.
    pub(super) fn user(self, headers: &HeaderMap) -> Option<String> {
        let id = headers.get(FAL_USER).filter(|_| self == Self::Fal)?.to_str().ok()?;
        Some(id.chars().take(USER_CHARS_MAX).collect())
    }
}

/// A webhook with a verified callback token and, if signed, a verified signature.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub body: Verified<Bytes>,
    /// Whether the provider signed it. Otherwise it is an unsigned notification, which only triggers a
    /// poll: anyone who knows the URL can send one.
    pub signed: bool,
    /// The provider account, if the signature covers it.
    pub user: Option<String>,
}

impl Delivery {
    /// A delivery with a valid token and no signature.
    pub fn unsigned(_token: &Verified<Token>, body: Bytes) -> Self {
        Self { body: Verified(body), signed: false, user: None }
    }
}

/// A sender that signs its webhooks, with all of its secrets or keys that are live: a delivery
/// is genuine if any one of them signed it.
#[derive(Debug, Clone)]
pub enum Signing {
    Fal(Jwks),
    StandardWebhooks(StandardWebhooks),
    Hmac(HmacHeader),
    Stripe(Stripe),
    Twilio(Twilio),
    SendGrid(SendGrid),
    AbacatePay(AbacatePay),
    PayPal(PayPal),
    SignedToken(SignedToken),
}

/// No key was given, or one that is empty or malformed, or rules that sign too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("keys and secrets must be present, not empty and well-formed")]
pub struct BadKey;

/// Proves a delivery by its signature alone.
///
/// `url` is the address that the sender called, query and all; only Twilio and `AbacatePay` need
/// it. The body is taken as it came: raw bytes, never parsed before and never rewritten.
/// Timestamps, where the sender signs one, may be 300 seconds from now, either way.
pub fn verify_signed(
    signing: &Signing,
    url: &str,
    headers: &HeaderMap,
    body: Bytes,
    now: Timestamp,
) -> Result<Verified<Bytes>, VerifyError> {
    match signing {
        Signing::Fal(keys) => verify_fal(headers, &body, now, keys)?,
        Signing::StandardWebhooks(sender) => sender.check(headers, &body, now)?,
        Signing::Hmac(sender) => sender.check(headers, &body, now)?,
        Signing::Stripe(sender) => sender.check(headers, &body, now)?,
        Signing::Twilio(sender) => sender.check(url, headers, &body)?,
        Signing::SendGrid(sender) => sender.check(headers, &body, now)?,
        Signing::AbacatePay(sender) => sender.check(url, headers, &body)?,
        Signing::PayPal(sender) => sender.check(headers, &body, now)?,
        Signing::SignedToken(sender) => sender.check(headers, now)?,
    }
    Ok(Verified(body))
}

fn verify_fal(headers: &HeaderMap, body: &[u8], now: Timestamp, keys: &Jwks) -> Result<(), VerifyError> {
    const TIMESTAMP: &str = "x-fal-webhook-timestamp";
    const SIGNATURE: &str = "x-fal-webhook-signature";
    let id = only(headers, "x-fal-webhook-request-id")?;
    let user = only(headers, FAL_USER)?;
    let timestamp = only(headers, TIMESTAMP)?;
    let signature = only(headers, SIGNATURE)?;
    let sent_s = digits(timestamp).ok_or(VerifyError::Malformed(TIMESTAMP))?;
    let mut bytes = [0; Signature::BYTE_SIZE];
    if signature.len() != 2 * bytes.len() || HEXLOWER_PERMISSIVE.decode_mut(signature, &mut bytes).is_err() {
        return Err(VerifyError::Malformed(SIGNATURE));
    }
    if now.as_secs().abs_diff(sent_s) > TOLERANCE_S {
        return Err(VerifyError::Stale);
    }
    if keys.ed25519().is_empty() {
        return Err(VerifyError::NoKeys);
    }
    let digest = HEXLOWER.encode(&Sha256::digest(body));
    let text = [id, user, timestamp, digest.as_bytes()].join(&b'\n');
    let signature = Signature::from_bytes(&bytes);
    let genuine = keys.ed25519().iter().any(|key| key.verify_strict(&text, &signature).is_ok());
    if genuine { Ok(()) } else { Err(VerifyError::BadSignature) }
}

/// The value of a header that is sent exactly once and not empty.
fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a [u8], VerifyError> {
    one(headers.get_all(name), name)
}

fn one<'a>(values: GetAll<'a, HeaderValue>, name: &'static str) -> Result<&'a [u8], VerifyError> {
    let mut values = values.iter();
    let value = values.next().ok_or(VerifyError::MissingHeader(name))?.as_bytes();
    if value.is_empty() || values.next().is_some() {
        return Err(VerifyError::Malformed(name));
    }
    Ok(value)
}

/// The text of a header that holds Unix seconds close enough to now.
fn fresh<'a>(headers: &'a HeaderMap, name: &'static str, now: Timestamp) -> Result<&'a [u8], VerifyError> {
    fresh_text(only(headers, name)?, name, now).map(str::as_bytes)
}

fn fresh_text<'a>(text: &'a [u8], name: &'static str, now: Timestamp) -> Result<&'a str, VerifyError> {
    let sent_s = digits(text).ok_or(VerifyError::Malformed(name))?;
    if now.as_secs().abs_diff(sent_s) > TOLERANCE_S {
        return Err(VerifyError::Stale);
    }
    std::str::from_utf8(text).ok().ok_or(VerifyError::Malformed(name))
}

/// A number written in ASCII digits alone, so that its text has one reading.
fn digits(text: &[u8]) -> Option<i64> {
    let plain = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests;
