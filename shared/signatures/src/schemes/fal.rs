//! fal: Ed25519 over id, user, time and body digest, by any key of a public key set.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::Signature;
use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::headers::{digits, only};
use crate::{Jwks, TOLERANCE_S, VerifyError};

/// The account at fal that a webhook is for. The signature covers it.
pub const USER: &str = "x-fal-webhook-user-id";

pub(super) fn check(keys: &Jwks, headers: &HeaderMap, body: &[u8], now_s: i64) -> Result<(), VerifyError> {
    const TIMESTAMP: &str = "x-fal-webhook-timestamp";
    const SIGNATURE: &str = "x-fal-webhook-signature";
    let id = only(headers, "x-fal-webhook-request-id")?;
    let user = only(headers, USER)?;
    let timestamp = only(headers, TIMESTAMP)?;
    let signature = only(headers, SIGNATURE)?;
    let sent_s = digits(timestamp).ok_or(VerifyError::Malformed(TIMESTAMP))?;
    let mut bytes = [0; Signature::BYTE_SIZE];
    if signature.len() != 2 * bytes.len() || HEXLOWER_PERMISSIVE.decode_mut(signature, &mut bytes).is_err() {
        return Err(VerifyError::Malformed(SIGNATURE));
    }
    if now_s.abs_diff(sent_s) > TOLERANCE_S {
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

#[cfg(test)]
mod tests;
