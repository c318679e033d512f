//! Tokens for a service account:
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>.

use std::collections::BTreeMap;

use axum::response::Response;
use http::Method;
use serde_json::{Value, json};

use super::super::{Channel, Channels, Refusal, Took, json as answer};
use super::{ACCOUNT, PROJECT};
use crate::frame::wire::Inbound;
use crate::providers::rsa::{KID, RsaKey};

const TOKENS: &str = "https://oauth2.googleapis.com/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const LASTS_S: i64 = 3_600;

#[derive(Debug)]
pub(crate) struct Tokens;

/// The one key of accounts and tokens.
fn key() -> Option<RsaKey> {
    RsaKey::new(&RsaKey::draw().ok()?).ok()
}

/// The claims of the token that a call has, if it was given here and still lasts.
pub(super) fn claims(channels: &Channels, call: &Inbound) -> Option<Value> {
    let claims = key()?.claims(call.authorization("Bearer ")?).ok()?;
    let ends = claims["exp"].as_i64()?;
    (claims["sub"] == ACCOUNT && channels.0.clock.now().as_secs() < ends).then_some(claims)
}

impl Channel for Tokens {
    fn name(&self) -> &'static str {
        "google"
    }

    fn is_for(&self, call: &Inbound) -> bool {
        call.path() == "/token" && call.is(&Method::POST)
    }

    fn take(&self, channels: &Channels, call: &Inbound) -> Took {
        let form: BTreeMap<_, _> = url::form_urlencoded::parse(&call.body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if field("grant_type") != GRANT {
            return Err(wrong("unsupported_grant_type", "Invalid grant_type").into());
        }
        let key = key().ok_or_else(|| wrong("internal_failure", ""))?;
        let Ok(asked) = key.claims(field("assertion")) else {
            return Err(wrong("invalid_grant", "Invalid JWT Signature.").into());
        };
        let now = channels.0.clock.now().as_secs();
        let (issued, ends) = (asked["iat"].as_i64().unwrap_or(0), asked["exp"].as_i64().unwrap_or(0));
        let is_recent = (now - issued).abs() <= 300 && (1..=LASTS_S).contains(&(ends - issued));
        if asked["iss"] != ACCOUNT || asked["aud"] != TOKENS || !is_recent {
            return Err(wrong("invalid_grant", "Invalid JWT: it must be a short-lived token.").into());
        }
        let exp = now + LASTS_S;
        let (member, claims) = match (&asked["scope"], &asked["target_audience"]) {
            (Value::String(scope), Value::Null) if !scope.is_empty() => {
                ("access_token", json!({"sub": ACCOUNT, "scope": scope, "exp": exp}))
            }
            (Value::Null, Value::String(audience)) if !audience.is_empty() => {
                ("id_token", json!({"sub": ACCOUNT, "aud": audience, "exp": exp}))
            }
            _ => return Err(wrong("invalid_scope", "Invalid OAuth scope or ID token audience.").into()),
        };
        let token = key.token(&claims).map_err(|_error| wrong("internal_failure", ""))?;
        let body = json!({member: token, "expires_in": LASTS_S, "token_type": "Bearer"});
        Ok((None, answer(200, &body)))
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Busy(_) => answer(429, &json!({"error": "rate_limit_exceeded"})),
            Refusal::Gone | Refusal::Unauthorized => {
                wrong("invalid_grant", "Invalid grant: account not found")
            }
            Refusal::Down => answer(503, &json!({"error": "internal_failure"})),
        }
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        let Ok(drawn) = RsaKey::draw() else { return Vec::new() };
        let file = json!({"type": "service_account", "project_id": PROJECT, "private_key_id": KID,
            "private_key": RsaKey::pem(&drawn), "client_email": ACCOUNT, "token_uri": TOKENS});
        vec![("GOOGLE_SERVICE_ACCOUNT_JSON", file.to_string())]
    }
}

fn wrong(error: &str, description: &str) -> Response {
    answer(400, &json!({"error": error, "error_description": description}))
}
