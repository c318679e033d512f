//! `AbacatePay`: a secret for the origin and an HMAC for the integrity.
//!
//! It has no timestamp: a delivery can be replayed, so callers must deduplicate by the event's id.

use data_encoding::BASE64;
use http::HeaderMap;
use url::Url;

use crate::headers::only;
use crate::mac::{Hash, MacKeys};
use crate::{BadKey, Secret, VerifyError};

/// `AbacatePay`, by the secrets of one's own webhook and the key that it publishes for all.
#[derive(Debug, Clone)]
pub struct AbacatePay {
    secrets: MacKeys,
    published: MacKeys,
}

impl AbacatePay {
    /// The key that its documentation publishes, the same for every account: what it signs is intact,
    /// and may be from anyone.
    pub const PUBLISHED_KEY: &str = "t9dXRhHHo3yDEj5pVDYz0frf7q6bMKyMRmxxCPIPp3RCplBfXRxqlC6ZpiWmOqj4L63qEaeUOtrCI8P0VMUgo6iIga2ri9ogaHFs0WIIywSMg0q7RmBfybe1E5XJcfC4IW3alNqym0tXoAKkzvfEjZxV6bE0oG2zJrNNYmUCKZyV0KZ3JS8Votf9EAWWYdiDkMkpbMdPggfh1EqHlVkMiTady6jOR3hyzGEHrIz2Ret0xHKMbiqkr9HS1JhNHDX9";

    pub fn new(secrets: &[Secret], published_keys: &[Secret]) -> Result<Self, BadKey> {
        Ok(Self { secrets: MacKeys::text(secrets)?, published: MacKeys::text(published_keys)? })
    }

    pub(super) fn check(&self, url: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), VerifyError> {
        const SIGNATURE: &str = "x-webhook-signature";
        const SECRET: &str = "x-webhook-secret";
        let signature = only(headers, SIGNATURE)?;
        let signature = BASE64.decode(signature).ok().ok_or(VerifyError::Malformed(SIGNATURE))?;
        let url = Url::parse(url).ok().ok_or(VerifyError::BadUrl)?;
        let in_url = url.query_pairs().filter(|(name, _)| name == "webhookSecret");
        let mut secrets: Vec<_> = in_url.map(|(_, secret)| secret.into_owned().into_bytes()).collect();
        if secrets.len() > 1 {
            return Err(VerifyError::BadUrl);
        }
        if headers.contains_key(SECRET) || secrets.is_empty() {
            secrets.push(only(headers, SECRET)?.to_vec());
        }
        // Whichever of the two a delivery has must be right, not just one of them.
        let ours = secrets.iter().all(|secret| self.secrets.holds(secret));
        let genuine = ours && self.published.made(Hash::Sha256, &[body], &[signature]);
        if genuine { Ok(()) } else { Err(VerifyError::BadSignature) }
    }
}
