//! JSON Web Tokens, by the crate `jsonwebtoken`.
//!
//! Of a token that came, it proves the signature alone. Times and audiences are checked here: its checks
//! read the system's clock, and know an audience only as a list of names.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation, dangerous};
use pkcs8::PrivateKeyInfoRef;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::jwks::RsaKey;

/// A token of these claims with HMAC-SHA256. `None` if the secret is empty.
pub fn hs256(secret: &str, claims: &impl Serialize) -> Option<String> {
    let key = EncodingKey::from_secret(secret.as_bytes()).ok()?;
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).ok()
}

/// An RSA key that signs tokens.
#[derive(Clone)]
pub struct RsaSigner(EncodingKey);

impl RsaSigner {
    /// A private key in PEM of PKCS#8; `None` for any other text.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        Self::from_pkcs8(key.secret_pkcs8_der())
    }

    /// A private key in PKCS#8; `None` for other bytes.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // The crate takes PKCS#1, which is what PKCS#8 wraps.
        let key = PrivateKeyInfoRef::try_from(der).ok()?;
        Some(Self(EncodingKey::from_rsa_der(key.private_key.as_bytes())))
    }

    /// A token of these claims, RS256, that names its key. `None` if that is no RSA key of at least 2048
    /// bits.
    pub fn sign(&self, kid: Option<&str>, claims: &impl Serialize) -> Option<String> {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.0).ok()
    }
}

impl fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSigner")
    }
}

/// A key of the curve P-256 that signs tokens.
#[derive(Clone)]
pub struct EcSigner(EncodingKey);

impl EcSigner {
    /// A private key in PEM of PKCS#8, as Apple gives it; `None` for any other text.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let signer = Self(EncodingKey::from_ec_der(key.secret_pkcs8_der()));
        signer.sign("", &()).map(|_token| signer)
    }

    /// A token of these claims, ES256, that names its key.
    pub fn sign(&self, kid: &str, claims: &impl Serialize) -> Option<String> {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.0).ok()
    }
}

impl fmt::Debug for EcSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcSigner")
    }
}

/// A token with RSA and SHA-256 as it came: nothing of it is proved.
pub(crate) struct Rs256<'t, T> {
    text: &'t str,
    kid: String,
    pub(crate) claims: T,
}

impl<'t, T: DeserializeOwned> Rs256<'t, T> {
    /// `None` if it is no such token, names no key or has other claims.
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        let (_, signature) = text.rsplit_once('.')?;
        BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        let TokenData { header, claims } = dangerous::insecure_decode(text).ok()?;
        // The algorithm is ours to choose: the token must only agree.
        (header.alg == Algorithm::RS256).then_some(())?;
        Some(Self { text, kid: header.kid?, claims })
    }

    /// Whether the key of its name signed it.
    pub(crate) fn is_signed_by(&self, keys: &[RsaKey]) -> bool {
        let mut rules = Validation::new(Algorithm::RS256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        rules.validate_aud = false;
        keys.iter().filter(|key| key.kid == self.kid).any(|key| {
            let key = DecodingKey::from_rsa_raw_components(&key.n, &key.e);
            jsonwebtoken::decode::<T>(self.text, &key, &rules).is_ok()
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Made for tests alone: no account has it.
    const KEY: &str = include_str!("../../fixtures/vertex/throw_away_test_key.pem");
    /// Its public half.
    const MODULUS: &str = include_str!("../../fixtures/vertex/throw_away_test_key.modulus");
    /// `{"aud":"a","exp":1700000060}`, signed with it by OpenSSL.
    const SIGNED_BY_OPENSSL: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsImtpZCI6InRlc3Qta2V5In0.\
        eyJhdWQiOiJhIiwiZXhwIjoxNzAwMDAwMDYwfQ.\
        dp390kH-0O4A4K9PspNd2uMyfZb_NI8DPFdanTjIE3D1qJAXMwKg14JcXBfK9VbnCfdLp6bxTPQKFDWmOB3S43\
        HWj3be6CR7zhRTVEiLPpCBftXpz2iEOibU5S08VYOHI6skcVOlM_cw2nwDceYn69rYDdbkFI6lKlDy_bTeOXXp\
        BNyMpFaxGFXOyuR0lNHj3Q4YL7fzq_E_P0WzKvEMQzohB77udsy2-FjncOUB4l36RPywPIYTF9sUIGr4cVX1Z7\
        sCEqP80R98vECaV9aNa20jzmmz_jACWoowNsvq8htGreD-mz6T-ssXDhHMd1DVJPAlbQ2-Hjl6lqIPwuSJMA";

    /// A token with any header that the test key signs with SHA-256.
    pub(crate) fn token(header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let key = RsaSigner::from_pem(KEY).unwrap().0;
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::RS256).unwrap();
        format!("{signed}.{signature}")
    }

    /// The key set that those are proved by.
    pub(crate) fn jwks() -> Value {
        json!({"keys": [{"kty": "RSA", "kid": "test-key", "alg": "RS256", "use": "sig", "e": "AQAB", "n": MODULUS}]})
    }

    #[test]
    fn another_library_signs_the_same_and_its_token_is_proved() {
        #[derive(Serialize)]
        struct Claims {
            aud: &'static str,
            exp: i64,
        }
        let signer = RsaSigner::from_pem(KEY).unwrap();
        let claims = Claims { aud: "a", exp: 1_700_000_060 };
        assert_eq!(signer.sign(Some("test-key"), &claims).unwrap(), SIGNED_BY_OPENSSL);
        let keys = crate::Jwks::parse(jwks().to_string().as_bytes()).unwrap();
        let token = Rs256::<Value>::parse(SIGNED_BY_OPENSSL).unwrap();
        assert!(token.is_signed_by(keys.rsa()));
        assert_eq!(token.claims, json!({"aud": "a", "exp": 1_700_000_060}));
    }

    /// As RFC 7515 has it in appendix A.1, but for the order of the header.
    #[test]
    fn an_hmac_token_is_the_mac_of_its_own_text() {
        use hmac::{Hmac, KeyInit, Mac};
        let token = hs256("a secret", &json!({"iss": "joe"})).unwrap();
        let (signed, mac) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let read = |part: &str| -> Value {
            serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
        };
        assert_eq!(read(header), json!({"alg": "HS256", "typ": "JWT"}));
        assert_eq!(read(claims), json!({"iss": "joe"}));
        let mut expected = Hmac::<sha2::Sha256>::new_from_slice(b"a secret").unwrap();
        expected.update(signed.as_bytes());
        assert_eq!(mac, BASE64URL_NOPAD.encode(&expected.finalize().into_bytes()));
        assert_eq!(hs256("", &json!({})), None);
    }

    /// Proved without the crate that signs.
    #[test]
    fn a_token_by_an_elliptic_curve_is_proved_by_its_public_key() {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
        let key = include_str!("../fixtures/apns/throw_away_test_key.pem");
        let token = EcSigner::from_pem(key).unwrap().sign("k", &json!({"iss": "t"})).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let public = include_str!("../fixtures/apns/throw_away_test_key.public");
        let public = data_encoding::BASE64.decode(public.trim().as_bytes()).unwrap();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        let proof = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
        assert!(proof.verify(signed.as_bytes(), &signature).is_ok());
        let header = BASE64URL_NOPAD.decode(signed.split_once('.').unwrap().0.as_bytes()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!("k")));
        for pem in ["", "a key", KEY] {
            assert!(EcSigner::from_pem(pem).is_none(), "{pem:.20}");
        }
    }

    #[test]
    fn what_is_no_rsa_key_signs_nothing() {
        for pem in ["", "a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(RsaSigner::from_pem(pem).is_none(), "{pem}");
        }
        let garbage = RsaSigner(EncodingKey::from_rsa_der(b"no key"));
        assert_eq!(garbage.sign(None, &json!({})), None);
    }
}
