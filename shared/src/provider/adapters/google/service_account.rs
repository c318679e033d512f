//! A Google service account: its key, and what is signed with it.

use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::json;
use signatures::Secret;
use signatures::jwt::RsaSigner;

/// How long an assertion may be used, in seconds: the longest that Google takes.
const LASTS_S: i64 = 3_600;

/// The file that the console gives for a key, as far as it is needed. Where it says that
/// tokens are made is not read: that is compiled in.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    pub(super) project_id: Option<String>,
}

impl ServiceAccount {
    /// `None` for what is not such a file.
    pub(super) fn parse(file: &Secret) -> Option<Self> {
        serde_json::from_str(file.expose()).ok()
    }

    /// A JSON Web Token, RS256, by which the account asks an audience for a token of this scope.
    /// `None` if its key is not an RSA key of at least 2048 bits.
    pub(super) fn assertion(&self, audience: &str, scope: &str, now: Timestamp) -> Option<String> {
        let issued = now.as_secs();
        let claims = json!({
            "iss": self.client_email,
            "scope": scope,
            "aud": audience,
            "iat": issued,
            "exp": issued + LASTS_S,
        });
        RsaSigner::from_pem(&self.private_key)?.sign(self.private_key_id.as_deref(), &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::tests::google_key::{claims, file};

    #[test]
    fn an_assertion_is_signed_and_good_for_an_hour() {
        let account = ServiceAccount::parse(&file()).unwrap();
        let token = account.assertion("https://a.example/token", "s", Timestamp::from_secs(100)).unwrap();
        let expected = json!({"iss": "test@test-project.iam.gserviceaccount.com", "scope": "s",
            "aud": "https://a.example/token", "iat": 100, "exp": 3_700});
        assert_eq!(claims(&token), expected);
    }

    #[test]
    fn what_is_no_key_file_signs_nothing() {
        for text in ["", "{}", "AIza-a-plain-key", r#"{"client_email":1}"#] {
            assert!(ServiceAccount::parse(&Secret::new(text)).is_none(), "{text}");
        }
        let broken = r#"{"client_email":"a@b.example","private_key":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}"#;
        let account = ServiceAccount::parse(&Secret::new(broken)).unwrap();
        assert_eq!(account.assertion("a", "s", Timestamp::from_secs(100)), None);
    }
}
