//! `SendGrid`'s event webhook: ECDSA over time and body.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use data_encoding::BASE64;
use http::HeaderMap;

use crate::headers::{fresh, only};
use crate::{BadKey, VerifyError};

/// `SendGrid`, by the public keys of an account.
#[derive(Clone)]
pub struct SendGrid(Vec<ParsedPublicKey>);

impl SendGrid {
    /// P-256 keys as `SendGrid` shows them: base64 of a `SubjectPublicKeyInfo`.
    pub fn new(public_keys: &[&str]) -> Result<Self, BadKey> {
        let key = |text: &&str| {
            let der = BASE64.decode(text.as_bytes()).ok().ok_or(BadKey)?;
            ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der).ok().ok_or(BadKey)
        };
        let keys: Vec<_> = public_keys.iter().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(BadKey) } else { Ok(Self(keys)) }
    }

    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> Result<(), VerifyError> {
        const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
        const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";
        let signature = only(headers, SIGNATURE)?;
        let signature = BASE64.decode(signature).ok().ok_or(VerifyError::Malformed(SIGNATURE))?;
        let text = [fresh(headers, TIMESTAMP, now_s)?, body].concat();
        let genuine = self.0.iter().any(|key| key.verify_sig(&text, &signature).is_ok());
        if genuine { Ok(()) } else { Err(VerifyError::BadSignature) }
    }
}

impl fmt::Debug for SendGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendGrid({} keys)", self.0.len())
    }
}
