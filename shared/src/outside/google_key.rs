//! A service account's key file, and the proof of what is signed with it.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use signatures::Secret;

/// Made for these tests alone: no account has it.
const TEST_KEY: &str = include_str!("../../fixtures/vertex/throw_away_test_key.pem");
/// Its public half.
const MODULUS: &str = include_str!("../../fixtures/vertex/throw_away_test_key.modulus");

pub(crate) fn file() -> Secret {
    Secret::new(
        json!({
            "type": "service_account",
            "project_id": "test-project",
            "private_key_id": "test-key",
            "private_key": TEST_KEY,
            "client_email": "test@test-project.iam.gserviceaccount.com",
            "token_uri": "https://elsewhere.example/token",
        })
        .to_string(),
    )
}

/// The claims of a token that the test key signed.
pub(crate) fn claims(token: &str) -> Value {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    let key = RsaPublicKeyComponents { n: decode(MODULUS), e: vec![1, 0, 1] };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(signature)).unwrap();
    let (_, claims) = signed.split_once('.').unwrap();
    serde_json::from_slice(&decode(claims)).unwrap()
}
