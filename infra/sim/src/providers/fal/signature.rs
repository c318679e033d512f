//! fal's webhook signature: Ed25519 over four lines, public key in a JWKS.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The key that signs every webhook of one simulator.
#[derive(Debug)]
pub(super) struct Signer(SigningKey);

impl Signer {
    /// # Errors
    ///
    /// If the seed is not of 32 bytes.
    pub(super) fn new(seed: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(SigningKey::from_bytes(seed.try_into()?)))
    }

    /// The signature header's value: 128 lower-case hexadecimal digits.
    pub(super) fn sign(&self, request_id: &str, user_id: &str, timestamp: i64, body: &[u8]) -> String {
        let text = signed_text(request_id, user_id, timestamp, body);
        HEXLOWER.encode(&self.0.sign(text.as_bytes()).to_bytes())
    }

    /// The document at `/.well-known/jwks.json`.
    pub(super) fn jwks(&self) -> Value {
        let x = BASE64URL_NOPAD.encode(self.0.verifying_key().as_bytes());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "x": x}]})
    }
}

fn signed_text(request_id: &str, user_id: &str, timestamp: i64, body: &[u8]) -> String {
    let digest = HEXLOWER.encode(&Sha256::digest(body));
    format!("{request_id}\n{user_id}\n{timestamp}\n{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published vector, made with the first test key of RFC 8032.
    #[test]
    fn the_reference_vector_is_reproduced() {
        let seed =
            HEXLOWER.decode(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let signer = Signer::new(&seed).unwrap();
        let id = "764cabcf-b745-4b3e-ae38-1200304cf45b";
        let body = format!(
            r#"{{"request_id":"{id}","gateway_request_id":"{id}","status":"OK","payload":{{"video":{{"url":"https://v3.fal.media/files/example/out.mp4"}}}}}}"#
        );
        assert_eq!(
            signed_text(id, "github|123456", 1_700_000_000, body.as_bytes()),
            format!(
                "{id}\ngithub|123456\n1700000000\n\
                 9bda8ab748d9058c71942fe7368b41d9341b1036b27ab2a67e46410a42ef6c7b"
            )
        );
        assert_eq!(
            signer.sign(id, "github|123456", 1_700_000_000, body.as_bytes()),
            "1d1d7c1d3980e84a4a1824255dd3ba1c237ff801bfd00c511b818da8f637e7c2\
             6237095fe10fcff647ca0c36029d56d76309c5ac4967694df29105d4432ad00f"
        );
        assert_eq!(signer.jwks()["keys"][0]["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    }
}
