//! Standard Webhooks and its kin: Svix, Replicate, Kling, OpenAI.
//!
//! All sign `{id}.{timestamp}.{body}` and send a list of signatures, one for each live key.

use data_encoding::BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use http::HeaderMap;

use crate::headers::{fresh, only};
use crate::mac::{Hash, MacKeys};
use crate::{BadKey, ENTRIES_MAX, Secret, VerifyError};

const NAMES: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const SVIX_NAMES: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

/// A sender of Standard Webhooks.
#[derive(Debug, Clone)]
pub struct StandardWebhooks {
    keys: Keys,
    /// `svix-*` headers stand before `webhook-*`, each by itself.
    svix: bool,
    /// An entry without a version is a signature too.
    bare: bool,
}

#[derive(Debug, Clone)]
enum Keys {
    V1(MacKeys),
    V1a(Vec<VerifyingKey>),
}

impl StandardWebhooks {
    /// Version `v1` by secrets in base64, with or without `whsec_` before them. Replicate
    /// signs so, too.
    pub fn new(secrets: &[Secret]) -> Result<Self, BadKey> {
        let keys = secrets.iter().map(|secret| {
            let text = secret.expose();
            decoded(text.strip_prefix("whsec_").unwrap_or(text))
        });
        Ok(Self::with(Keys::V1(MacKeys::new(keys.collect::<Result<_, _>>()?)?)))
    }

    /// The same under the header names of Svix, or the standard ones where those are missing.
    pub fn svix(secrets: &[Secret]) -> Result<Self, BadKey> {
        Ok(Self { svix: true, ..Self::new(secrets)? })
    }

    /// As `OpenAI` does: a secret without `whsec_` is text, and entries may lack the version.
    pub fn openai(secrets: &[Secret]) -> Result<Self, BadKey> {
        let keys = secrets.iter().map(|secret| match secret.expose().strip_prefix("whsec_") {
            Some(encoded) => decoded(encoded),
            None => Ok(secret.expose().as_bytes().to_vec()),
        });
        let keys = Keys::V1(MacKeys::new(keys.collect::<Result<_, _>>()?)?);
        Ok(Self { bare: true, ..Self::with(keys) })
    }

    /// Version `v1a` by Ed25519 keys in base64 after `whpk_`. Entries of `v1` prove nothing here.
    pub fn ed25519(public_keys: &[&str]) -> Result<Self, BadKey> {
        let key = |text: &&str| {
            let bytes = decoded(text.strip_prefix("whpk_").unwrap_or(text))?;
            VerifyingKey::try_from(bytes.as_slice()).ok().filter(|key| !key.is_weak()).ok_or(BadKey)
        };
        let keys: Vec<_> = public_keys.iter().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(BadKey) } else { Ok(Self::with(Keys::V1a(keys))) }
    }

    const fn with(keys: Keys) -> Self {
        Self { keys, svix: false, bare: false }
    }

    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> Result<(), VerifyError> {
        let [id_name, timestamp_name, signature_name] = [0, 1, 2].map(|at| {
            let branded = self.svix && headers.contains_key(SVIX_NAMES[at]);
            if branded { SVIX_NAMES[at] } else { NAMES[at] }
        });
        let id = only(headers, id_name)?;
        // With a dot in it, the signed text could be read as another id and another time.
        if id.contains(&b'.') {
            return Err(VerifyError::Malformed(id_name));
        }
        let list = only(headers, signature_name)?;
        let timestamp = fresh(headers, timestamp_name, now_s)?;
        let parts = [id, b".", timestamp, b".", body];
        let genuine = match &self.keys {
            Keys::V1(keys) => keys.made(Hash::Sha256, &parts, &self.entries(list, b"v1,")),
            Keys::V1a(keys) => {
                let text = parts.concat();
                let signatures = self.entries(list, b"v1a,").into_iter();
                let signatures: Vec<_> =
                    signatures.filter_map(|bytes| Signature::from_slice(&bytes).ok()).collect();
                keys.iter().any(|key| signatures.iter().any(|one| key.verify_strict(&text, one).is_ok()))
            }
        };
        if genuine { Ok(()) } else { Err(VerifyError::BadSignature) }
    }

    /// The signatures of this version; what cannot be read is passed over.
    fn entries(&self, list: &[u8], version: &[u8]) -> Vec<Vec<u8>> {
        let read = |entry: &[u8]| {
            let bare = self.bare && !entry.contains(&b',');
            let encoded = entry.strip_prefix(version).or(bare.then_some(entry))?;
            BASE64.decode(encoded).ok()
        };
        list.split(|byte| *byte == b' ').take(ENTRIES_MAX).filter_map(read).collect()
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, BadKey> {
    BASE64.decode(text.as_bytes()).ok().ok_or(BadKey)
}

#[cfg(test)]
mod tests;
