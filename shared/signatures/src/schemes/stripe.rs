//! Stripe: time and signatures in one header.

use data_encoding::HEXLOWER;
use http::HeaderMap;

use crate::headers::{fresh_text, only};
use crate::mac::{Hash, MacKeys};
use crate::{BadKey, ENTRIES_MAX, Secret, VerifyError};

/// Stripe, by the secrets of an endpoint. The whole text is the key, `whsec_` and all.
#[derive(Debug, Clone)]
pub struct Stripe(MacKeys);

impl Stripe {
    pub fn new(secrets: &[Secret]) -> Result<Self, BadKey> {
        MacKeys::text(secrets).map(Self)
    }

    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> Result<(), VerifyError> {
        const SIGNATURE: &str = "stripe-signature";
        let header = only(headers, SIGNATURE)?;
        let elements = || header.split(|byte| *byte == b',');
        let mut times = elements().filter_map(|element| element.strip_prefix(b"t="));
        // Reject duplicate timestamps.
        let (Some(time), None) = (times.next(), times.next()) else {
            return Err(VerifyError::Malformed(SIGNATURE));
        };
        let time = fresh_text(time, SIGNATURE, now_s)?;
        let encoded = elements().take(ENTRIES_MAX).filter_map(|element| element.strip_prefix(b"v1="));
        let signatures: Vec<_> = encoded.filter_map(|text| HEXLOWER.decode(text).ok()).collect();
        let genuine = self.0.made(Hash::Sha256, &[time.as_bytes(), b".", body], &signatures);
        if genuine { Ok(()) } else { Err(VerifyError::BadSignature) }
    }
}
