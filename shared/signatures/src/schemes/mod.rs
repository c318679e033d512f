//! Webhook signature schemes, one file each.

mod abacatepay;
pub(crate) mod fal;
mod hmac_header;
mod paypal;
mod sendgrid;
mod signed_token;
mod sns;
mod standard_webhooks;
mod stripe;
mod twilio;

use bytes::Bytes;
use http::HeaderMap;
use url::Url;

use super::{Jwks, Verified, VerifyError};
pub use abacatepay::AbacatePay;
pub use hmac_header::{Encoding, HmacHeader, HmacRules};
pub use paypal::PayPal;
pub use sendgrid::SendGrid;
pub use signed_token::SignedToken;
pub use sns::Sns;
pub use standard_webhooks::StandardWebhooks;
pub use stripe::Stripe;
pub use twilio::Twilio;

/// A sender that signs its webhooks, with all of its active secrets or keys: a delivery is genuine if
/// any one of them signed it.
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
    Sns(Sns),
}

impl Signing {
    /// Where the certificate is to be fetched that proves a delivery; `None` if the sender has none. The URL
    /// is the sender's own, which is all that is proved by it.
    pub fn certificate_url(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<Url>, VerifyError> {
        match self {
            Self::PayPal(_) => PayPal::certificate_url(headers).map(Some),
            Self::Sns(sender) => sender.certificate_url(body).map(Some),
            _ => Ok(None),
        }
    }

    /// Keeps what was fetched from there, in PEM.
    pub fn add_certificate(&mut self, url: Url, pem: &str) {
        match self {
            Self::PayPal(sender) => sender.add_certificates(url, pem),
            Self::Sns(sender) => sender.add_certificate(url, pem),
            _ => {}
        }
    }
}

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
    now_s: i64,
) -> Result<Verified<Bytes>, VerifyError> {
    match signing {
        Signing::Fal(keys) => fal::check(keys, headers, &body, now_s)?,
        Signing::StandardWebhooks(sender) => sender.check(headers, &body, now_s)?,
        Signing::Hmac(sender) => sender.check(headers, &body, now_s)?,
        Signing::Stripe(sender) => sender.check(headers, &body, now_s)?,
        Signing::Twilio(sender) => sender.check(url, headers, &body)?,
        Signing::SendGrid(sender) => sender.check(headers, &body, now_s)?,
        Signing::AbacatePay(sender) => sender.check(url, headers, &body)?,
        Signing::PayPal(sender) => sender.check(headers, &body, now_s)?,
        Signing::SignedToken(sender) => sender.check(headers, now_s)?,
        Signing::Sns(sender) => sender.check(&body, now_s)?,
    }
    Ok(Verified(body))
}
