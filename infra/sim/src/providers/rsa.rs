//! What Google's simulators sign and check: JSON Web Tokens with an RSA key of their own.

use std::sync::OnceLock;

use anyhow::{Context, bail};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use signatures::jwt::RsaSigner;

/// What the key is called in tokens and key sets.
pub(crate) const KID: &str = "simulated-key";

#[derive(Debug)]
pub(crate) struct RsaKey {
    signer: RsaSigner,
    pair: KeyPair,
}

impl RsaKey {
    /// A new key in PKCS#8. Making one takes a while: simulators of one process share theirs.
    pub(crate) fn draw() -> anyhow::Result<Vec<u8>> {
        static DRAWN: OnceLock<Vec<u8>> = OnceLock::new();
        if let Some(drawn) = DRAWN.get() {
            return Ok(drawn.clone());
        }
        let fresh = KeyPair::generate(KeySize::Rsa2048).ok().context("no RSA key could be made")?;
        let fresh = fresh.as_der().ok().context("an RSA key could not be written")?;
        Ok(DRAWN.get_or_init(|| fresh.as_ref().to_vec()).clone())
    }

    /// # Errors
    ///
    /// If these are not the bytes of [`RsaKey::draw`].
    pub(crate) fn new(pkcs8: &[u8]) -> anyhow::Result<Self> {
        let pair = KeyPair::from_pkcs8(pkcs8).context("not an RSA key in PKCS#8")?;
        Ok(Self { signer: RsaSigner::from_pkcs8(pkcs8).context("not a key in PKCS#8")?, pair })
    }

    /// A token of these claims, RS256.
    pub(crate) fn token(&self, claims: &Value) -> anyhow::Result<String> {
        self.signer.sign(Some(KID), claims).context("an RSA key does not sign")
    }

    /// The claims of a token that this key signed; nothing in them is checked. Proved without the crate
    /// that the tokens to Google are signed with.
    pub(crate) fn claims(&self, token: &str) -> anyhow::Result<Value> {
        let (signed, signature) = token.rsplit_once('.').context("no signature")?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes())?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key());
        if key.verify(signed.as_bytes(), &signature).is_err() {
            bail!("the signature is not this key's");
        }
        let (_, claims) = signed.split_once('.').context("no claims")?;
        Ok(serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes())?)?)
    }

    /// The document at `/.well-known/jwks.json`.
    pub(crate) fn jwks(&self) -> Value {
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(self.pair.public_key());
        let [n, e] = [public.n, public.e].map(|number| BASE64URL_NOPAD.encode(&number));
        json!({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KID, "n": n, "e": e}]})
    }

    /// The private key, as Google's key files have it.
    pub(crate) fn pem(pkcs8: &[u8]) -> String {
        let text = BASE64.encode(pkcs8).into_bytes();
        let lines: String = text.chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect();
        format!("-----BEGIN PRIVATE KEY-----\n{lines}-----END PRIVATE KEY-----\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_by_the_key_that_made_it_and_by_no_other() {
        let key = RsaKey::new(&RsaKey::draw().unwrap()).unwrap();
        let claims = json!({"sub": "a boat"});
        let token = key.token(&claims).unwrap();
        assert_eq!(key.claims(&token).unwrap(), claims);
        let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let other = RsaKey::new(other.as_der().unwrap().as_ref()).unwrap();
        assert!(other.claims(&token).is_err());
        assert!(key.claims("a.b.c").is_err());
        assert_eq!(key.jwks()["keys"][0]["e"], "AQAB");
    }
}
