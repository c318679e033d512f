//! Signs what we send to customers, by Standard Webhooks 1.0.0. Keys are derived from one master secret
//! and what they are for, so that none is stored.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signer, SigningKey};
use hmac::Hmac;
use sha2::Sha256;

use crate::mac::mac;
use crate::{BadKey, Secret, tag};

/// Minimum length of the master secret, in bytes.
const MASTER_MIN: usize = 32;

/// The master secret.
#[derive(Debug, Clone)]
pub struct Master(Secret);

/// The key of one endpoint and version.
pub struct OwnKey {
    hmac: [u8; 32],
    ed25519: [u8; 32],
}

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnKey([redacted])")
    }
}

impl Master {
    /// # Errors
    ///
    /// If it is shorter than 32 bytes.
    pub fn new(secret: Secret) -> Result<Self, BadKey> {
        if secret.expose().len() < MASTER_MIN { Err(BadKey) } else { Ok(Self(secret)) }
    }

    /// The key for these words: an account, an endpoint, a version.
    pub fn key(&self, words: &[&str]) -> OwnKey {
        let derive = |scheme: &str| {
            let words = std::iter::once(&scheme).chain(words);
            let parts: Vec<&[u8]> = words.flat_map(|word| [word.as_bytes(), &[0]]).collect();
            sha256(self.0.expose().as_bytes(), &parts)
        };
        OwnKey { hmac: derive("v1"), ed25519: derive("v1a") }
    }

    /// A tag for a link, of these words: 128 bits in base64url.
    pub fn tag(&self, words: &[&str]) -> String {
        BASE64URL_NOPAD.encode(&tag::sign(&self.0, &tagged(words)))
    }

    /// Whether [`Master::tag`] made it of these words.
    pub fn is_tag(&self, words: &[&str], text: &str) -> bool {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap_or_default();
        tag::verify(std::slice::from_ref(&self.0), &tagged(words), &bytes).is_ok()
    }
}

impl OwnKey {
    /// `whsec_` and the key in base64: what a receiver verifies `v1` with.
    pub fn secret(&self) -> String {
        format!("whsec_{}", BASE64.encode(&self.hmac))
    }

    /// `whpk_` and the public key in base64: what a receiver verifies `v1a` with.
    pub fn public(&self) -> String {
        let public = SigningKey::from_bytes(&self.ed25519).verifying_key();
        format!("whpk_{}", BASE64.encode(public.as_bytes()))
    }

    /// The entry of `webhook-signature` by HMAC-SHA256.
    pub fn v1(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let signed = sha256(&self.hmac, &[signed_head(id, timestamp_s).as_bytes(), body]);
        format!("v1,{}", BASE64.encode(&signed))
    }

    /// The entry of `webhook-signature` by Ed25519.
    pub fn v1a(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let text = [signed_head(id, timestamp_s).as_bytes(), body].concat();
        let signature = SigningKey::from_bytes(&self.ed25519).sign(&text);
        format!("v1a,{}", BASE64.encode(&signature.to_bytes()))
    }
}

/// Each word with its end, after one that no key begins with.
fn tagged<'a>(words: &[&'a str]) -> Vec<&'a [u8]> {
    std::iter::once("tag").chain(words.iter().copied()).flat_map(|word| [word.as_bytes(), &[0]]).collect()
}

fn signed_head(id: &str, timestamp_s: i64) -> String {
    format!("{id}.{timestamp_s}.")
}

fn sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    mac::<Hmac<Sha256>>(key, parts).try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::{Signing, StandardWebhooks, verify_signed};

    fn master() -> Master {
        Master::new(Secret::new("m".repeat(32))).unwrap()
    }

    fn accepts(scheme: StandardWebhooks, signature: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("webhook-id", "evt_a"), ("webhook-timestamp", "1700000000"), ("webhook-signature", signature)]
        {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let body = bytes::Bytes::copy_from_slice(body);
        verify_signed(&Signing::StandardWebhooks(scheme), "", &headers, body, 1_700_000_000).is_ok()
    }

    #[test]
    fn both_versions_verify_alone_and_beside_each_other() {
        let key = master().key(&["acct_anna", "ep_a", "1"]);
        let (v1, v1a) = (key.v1("evt_a", 1_700_000_000, b"{}"), key.v1a("evt_a", 1_700_000_000, b"{}"));
        let by_secret = || StandardWebhooks::new(&[Secret::new(key.secret())]).unwrap();
        let by_public = || StandardWebhooks::ed25519(&[&key.public()]).unwrap();
        for signatures in [format!("{v1} {v1a}"), format!("{v1a} {v1}")] {
            assert!(accepts(by_secret(), &signatures, b"{}") && accepts(by_public(), &signatures, b"{}"));
            assert!(!accepts(by_secret(), &signatures, b"{ }") && !accepts(by_public(), &signatures, b"{ }"));
        }
        assert!(!accepts(by_secret(), &v1a, b"{}") && !accepts(by_public(), &v1, b"{}"));
    }

    #[test]
    fn a_tag_is_of_its_words_and_of_their_division() {
        let tag = master().tag(&["a", "bc"]);
        assert_eq!(tag.len(), 22);
        assert!(master().is_tag(&["a", "bc"], &tag));
        for (words, text) in
            [(&["ab", "c"], &*tag), (&["a", "bd"], &tag), (&["a", "bc"], ""), (&["a", "bc"], "!")]
        {
            assert!(!master().is_tag(words, text), "{words:?} {text}");
        }
    }

    #[test]
    fn each_endpoint_and_version_has_a_key_of_its_own() {
        let words: [&[&str]; 5] = [
            &["acct_a", "ep_a", "1"],
            &["acct_a", "ep_a", "2"],
            &["acct_a", "ep_b", "1"],
            &["acct_aep_a", "1"],
            &["a"],
        ];
        let keys: std::collections::BTreeSet<_> = words.map(|words| master().key(words).secret()).into();
        assert_eq!(keys.len(), words.len());
        let key = master().key(&["acct_a"]);
        assert_ne!(BASE64.encode(&key.hmac), BASE64.encode(&key.ed25519));
        assert_eq!(format!("{key:?}"), "OwnKey([redacted])");
        assert!(Master::new(Secret::new("short")).is_err());
    }
}
