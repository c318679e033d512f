//! Public key sets (RFC 7517).

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::VerifyingKey;
use serde::Deserialize;

/// The maximum number of keys of a key set; the rest are ignored.
const KEYS_MAX: usize = 16;

/// The public keys of a sender.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jwks {
    ed25519: Vec<VerifyingKey>,
    rsa: Vec<RsaKey>,
}

/// An RSA key by its name: modulus and exponent, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RsaKey {
    pub(crate) kid: String,
    pub(crate) n: Vec<u8>,
    pub(crate) e: Vec<u8>,
}

impl Jwks {
    /// The Ed25519 and RSA keys of a JSON Web Key Set, at most 16 of either; keys of other kinds
    /// are skipped. `None` if there is none.
    pub fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        #[derive(Deserialize)]
        struct Key {
            kty: String,
            crv: String,
            x: String,
        }
        #[derive(Deserialize)]
        struct Rsa {
            kty: String,
            kid: String,
            n: String,
            e: String,
        }
        let set: Set = serde_json::from_slice(json).ok()?;
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok();
        let ed25519 = |value: &serde_json::Value| {
            let key = Key::deserialize(value).ok().filter(|key| key.kty == "OKP" && key.crv == "Ed25519")?;
            VerifyingKey::from_bytes(&decode(&key.x)?.try_into().ok()?).ok()
        };
        let rsa = |value: &serde_json::Value| {
            let key = Rsa::deserialize(value).ok().filter(|key| key.kty == "RSA")?;
            Some(RsaKey { n: decode(&key.n)?, e: decode(&key.e)?, kid: key.kid })
        };
        let keys = Self {
            ed25519: set.keys.iter().filter_map(ed25519).take(KEYS_MAX).collect(),
            rsa: set.keys.iter().filter_map(rsa).take(KEYS_MAX).collect(),
        };
        (!keys.ed25519.is_empty() || !keys.rsa.is_empty()).then_some(keys)
    }

    pub(crate) fn ed25519(&self) -> &[VerifyingKey] {
        &self.ed25519
    }

    pub(crate) fn rsa(&self) -> &[RsaKey] {
        &self.rsa
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_key_set_is_read_leniently_and_bounded() {
        let good = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1"});
        let parse = |keys: Vec<Value>| Jwks::parse(json!({"keys": keys}).to_string().as_bytes());
        let odd = vec![
            json!(7),
            json!({"kty": "EC"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "!"}),
            good.clone(),
        ];
        assert_eq!(parse(odd).unwrap().ed25519.len(), 1);
        assert_eq!(parse(vec![good.clone(); 100]).unwrap().ed25519.len(), KEYS_MAX);
        let rsa = json!({"kty": "RSA", "kid": "1", "n": "AQAB", "e": "AQAB"});
        let both = parse(vec![good, rsa, json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})]).unwrap();
        assert_eq!((both.ed25519.len(), both.rsa.len()), (1, 1));
        assert_eq!(parse(vec![]), None);
        assert_eq!(Jwks::parse(b"<html>"), None);
    }
}
