//! Secrets that messages are authenticated with.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::{BadKey, Secret};

/// The hash under an HMAC. It comes from configuration, never from a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// What Twilio signs with; choose it for nothing else.
    Sha1,
    Sha256,
    Sha512,
}

/// The keys that are live, at least one and none empty. `Debug` prints only their number.
#[derive(Clone)]
pub(crate) struct MacKeys(Vec<Vec<u8>>);

impl MacKeys {
    pub(crate) fn new(keys: Vec<Vec<u8>>) -> Result<Self, BadKey> {
        let usable = !keys.is_empty() && keys.iter().all(|key| !key.is_empty());
        if usable { Ok(Self(keys)) } else { Err(BadKey) }
    }

    /// The texts themselves are the keys.
    pub(crate) fn text(secrets: &[Secret]) -> Result<Self, BadKey> {
        Self::new(secrets.iter().map(|secret| secret.expose().as_bytes().to_vec()).collect())
    }

    /// Whether one of the keys made one of the signatures over these parts, one after another.
    /// It takes as long for a wrong signature as for a right one.
    pub(crate) fn made(&self, hash: Hash, parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
        let mut made = Choice::from(0);
        for key in &self.0 {
            let mac = match hash {
                Hash::Sha1 => mac::<Hmac<Sha1>>(key, parts),
                Hash::Sha256 => mac::<Hmac<Sha256>>(key, parts),
                Hash::Sha512 => mac::<Hmac<Sha512>>(key, parts),
            };
            for signature in signatures {
                made |= mac.ct_eq(signature);
            }
        }
        made.into()
    }

    /// Whether this text is one of the keys.
    pub(crate) fn holds(&self, text: &[u8]) -> bool {
        let held = self.0.iter().map(|key| key.as_slice().ct_eq(text));
        held.fold(Choice::from(0), |any, one| any | one).into()
    }
}

impl fmt::Debug for MacKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} redacted]", self.0.len())
    }
}

pub(crate) fn mac<M: KeyInit + Mac>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}
