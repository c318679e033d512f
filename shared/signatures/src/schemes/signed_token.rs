//! Deliveries that carry a JSON Web Token (RS256) of their sender, as Gemini's do.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::headers::{fresh, only};
use crate::jwt::Rs256;
use crate::{Jwks, TOLERANCE_S, VerifyError};

const HEADER: &str = "webhook-signature";
const TIMESTAMP: &str = "webhook-timestamp";

/// A sender whose token is for one audience. It proves who sends, not what: nothing in it is
/// known to cover the body.
#[derive(Debug, Clone)]
pub struct SignedToken {
    keys: Jwks,
    /// What the last segment of the URL that the sender was given begins with.
    name: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    aud: Value,
}

impl SignedToken {
    /// `name` is what the last segment of the URL that was called begins with.
    pub fn new(keys: Jwks, name: String) -> Self {
        Self { keys, name }
    }

    pub(super) fn check(&self, headers: &HeaderMap, now_s: i64) -> Result<(), VerifyError> {
        let malformed = VerifyError::Malformed(HEADER);
        let token = std::str::from_utf8(only(headers, HEADER)?).ok().ok_or(malformed)?;
        let token: Rs256<'_, Claims> = Rs256::parse(token).ok_or(malformed)?;
        if self.keys.rsa().is_empty() {
            return Err(VerifyError::NoKeys);
        }
        if !token.is_signed_by(self.keys.rsa()) || !self.is_for_us(&token.claims.aud) {
            return Err(VerifyError::BadSignature);
        }
        if token.claims.exp.saturating_add_unsigned(TOLERANCE_S) < now_s {
            return Err(VerifyError::Stale);
        }
        if headers.contains_key(TIMESTAMP) {
            fresh(headers, TIMESTAMP, now_s)?;
        }
        Ok(())
    }

    /// What the audience is, is not documented beyond "configured". One that is a URL must be
    /// the one that we gave; one that is another name is taken.
    fn is_for_us(&self, audience: &Value) -> bool {
        let ours = |name: &Value| match name.as_str().map(Url::parse) {
            Some(Ok(url)) if url.has_host() => {
                let last = url.path_segments().and_then(|mut path| path.next_back());
                last.is_some_and(|last| last.starts_with(&self.name))
            }
            Some(_) => name != "",
            None => false,
        };
        match audience {
            Value::Array(names) => names.iter().any(ours),
            name => ours(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::super::{Signing, verify_signed};
    use super::*;
    use crate::jwt::tests as test_key;

    const NOW: i64 = 1_700_000_000;

    fn sender() -> Signing {
        let keys = Jwks::parse(test_key::jwks().to_string().as_bytes()).unwrap();
        Signing::SignedToken(SignedToken::new(keys, "aeaqcaibaeaqcaibaeaqcaibae.1.".to_owned()))
    }

    fn verdict(token: &str, timestamp: Option<i64>) -> Result<(), VerifyError> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, token.parse().unwrap());
        if let Some(at) = timestamp {
            headers.insert(TIMESTAMP, at.into());
        }
        verify_signed(&sender(), "", &headers, Bytes::from_static(b"{}"), NOW).map(|_| ())
    }

    fn token(head: &Value, claims: &Value) -> String {
        test_key::token(head, claims)
    }

    fn head() -> Value {
        json!({"alg": "RS256", "typ": "JWT", "kid": "test-key"})
    }

    #[test]
    fn a_token_for_our_url_or_for_a_name_is_taken_while_it_lasts() {
        let ours = "https://api.example/v1/webhooks/gemini/aeaqcaibaeaqcaibaeaqcaibae.1.mac";
        for aud in [json!(ours), json!("projects/1234"), json!(["https://other.example/a", ours])] {
            let genuine = token(&head(), &json!({"aud": aud, "exp": NOW + 60}));
            assert_eq!(verdict(&genuine, None), Ok(()), "{aud}");
            assert_eq!(verdict(&genuine, Some(NOW - 300)), Ok(()), "{aud}");
            assert_eq!(verdict(&genuine, Some(NOW - 301)), Err(VerifyError::Stale), "{aud}");
        }
        let old = |exp| token(&head(), &json!({"aud": "a", "exp": exp}));
        assert_eq!(verdict(&old(NOW - 300), None), Ok(()));
        assert_eq!(verdict(&old(NOW - 301), None), Err(VerifyError::Stale));
    }

    #[test]
    fn a_token_for_others_or_of_another_key_is_refused() {
        let forged = Err(VerifyError::BadSignature);
        for aud in [json!("https://api.example/v1/webhooks/gemini/other.1.mac"), json!(""), json!(7)] {
            let foreign = token(&head(), &json!({"aud": aud, "exp": NOW + 60}));
            assert_eq!(verdict(&foreign, None), forged, "{aud}");
        }
        let claims = json!({"aud": "a", "exp": NOW + 60});
        let other_kid = token(&json!({"alg": "RS256", "kid": "other"}), &claims);
        assert_eq!(verdict(&other_kid, None), forged);
        for head in [json!({"alg": "none", "kid": "test-key"}), json!({"alg": "HS256", "kid": "test-key"})] {
            assert_eq!(verdict(&token(&head, &claims), None), Err(VerifyError::Malformed(HEADER)));
        }
        for claims in [json!({"aud": "a"}), json!({"exp": NOW + 60})] {
            assert_eq!(verdict(&token(&head(), &claims), None), Err(VerifyError::Malformed(HEADER)));
        }
        for junk in ["v1,AAAA", "a.b.c", "..", "a"] {
            assert_eq!(verdict(junk, None), Err(VerifyError::Malformed(HEADER)), "{junk}");
        }
    }

    #[test]
    fn no_changed_character_of_a_token_is_taken() {
        let genuine = token(&head(), &json!({"aud": "a", "exp": NOW + 60}));
        for index in 0..genuine.len() {
            let mut changed = genuine.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(verdict(&changed, None).is_err(), "at {index}");
        }
    }
}
