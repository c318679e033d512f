//! A Google service account: its key, and what is signed with it. Who calls Google's models has one, and so has
//! who sends events to Google.

use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::json;
use signatures::Secret;
use signatures::jwt::RsaSigner;

/// Whom an assertion is for: where tokens are given.
const TOKENS: &str = "https://oauth2.googleapis.com/token";
/// How long an assertion may be used, in seconds: the longest that Google takes.
const LASTS_S: i64 = 3_600;

/// The file that the console gives for a key, as far as it is needed. Where it says that
/// tokens are made is not read: that is compiled in.
#[derive(Deserialize)]
pub(crate) struct ServiceAccount {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    pub(crate) project_id: Option<String>,
}

/// What a token is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Grant<'a> {
    /// An API: an access token.
    Scope(&'a str),
    /// A server of one's own: an ID token that is good there alone.
    Audience(&'a str),
}

impl<'a> Grant<'a> {
    pub(crate) const fn text(self) -> &'a str {
        match self {
            Self::Scope(text) | Self::Audience(text) => text,
        }
    }
}

impl ServiceAccount {
    /// `None` for what is not such a file.
    pub(crate) fn parse(file: &Secret) -> Option<Self> {
        serde_json::from_str(file.expose()).ok()
    }

    /// A JSON Web Token, RS256, by which the account asks for a token. `None` if its key is not an RSA key of
    /// at least 2048 bits.
    pub(crate) fn assertion(&self, grant: Grant<'_>, now: Timestamp) -> Option<String> {
        let issued = now.as_secs();
        let mut claims =
            json!({"iss": self.client_email, "aud": TOKENS, "iat": issued, "exp": issued + LASTS_S});
        let name = if matches!(grant, Grant::Scope(_)) { "scope" } else { "target_audience" };
        claims[name] = grant.text().into();
        RsaSigner::from_pem(&self.private_key)?.sign(self.private_key_id.as_deref(), &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::google_key::{claims, file};

    #[test]
    fn an_assertion_is_signed_and_good_for_an_hour() {
        let account = ServiceAccount::parse(&file()).unwrap();
        for (grant, name) in [(Grant::Scope("s"), "scope"), (Grant::Audience("s"), "target_audience")] {
            let token = account.assertion(grant, Timestamp::from_secs(100)).unwrap();
            let expected = json!({"iss": "test@test-project.iam.gserviceaccount.com", name: "s",
                "aud": TOKENS, "iat": 100, "exp": 3_700});
            assert_eq!(claims(&token), expected);
        }
    }

    #[test]
    fn what_is_no_key_file_signs_nothing() {
        for text in ["", "{}", "AIza-a-plain-key", r#"{"client_email":1}"#] {
            assert!(ServiceAccount::parse(&Secret::new(text)).is_none(), "{text}");
        }
        let broken = r#"{"client_email":"a@b.example","private_key":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}"#;
        let account = ServiceAccount::parse(&Secret::new(broken)).unwrap();
        assert_eq!(account.assertion(Grant::Scope("s"), Timestamp::from_secs(100)), None);
    }
}
