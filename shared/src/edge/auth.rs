//! Who calls: `Authorization: Bearer gmx_<key id>_<secret>`.

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::http::Problem;
use super::recent::Recent;
use crate::domain::id::{AccountId, KeyId, base32};
use crate::domain::time::Timestamp;
use crate::store::Error;
use crate::store::keystore::{ApiKey, KeyStore, Scope};

const PREFIX: &str = "gmx";

/// Verifies callers, and remembers their keys: a revoked one may work for a minute.
#[derive(Debug)]
pub struct Authenticator {
    keys: KeyStore,
    recent: Recent<KeyId, ApiKey>,
}

impl Authenticator {
    pub fn new(keys: KeyStore) -> Self {
        Self { keys, recent: Recent::default() }
    }

    /// The account that a request speaks for, if its key is good for `scope`. A missing,
    /// malformed, unknown, wrong and revoked key all get the same answer.
    pub async fn account(
        &self,
        headers: &HeaderMap,
        scope: Scope,
        now: Timestamp,
    ) -> Result<AccountId, Problem> {
        let Some((id, secret)) = bearer(headers) else { return Err(unauthenticated()) };
        let Some(key) = self.key(&id, now).await? else { return Err(unauthenticated()) };
        let right = secret_sha256(secret).as_bytes().ct_eq(key.secret_sha256.as_bytes());
        if !bool::from(right) || key.revoked {
            return Err(unauthenticated());
        }
        if !key.scopes.contains(&scope) {
            let detail = "This key does not have the scope that this needs.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        Ok(key.account)
    }

    async fn key(&self, id: &KeyId, now: Timestamp) -> Result<Option<ApiKey>, Error> {
        if let Some(key) = self.recent.get(id, now) {
            return Ok(Some(key));
        }
        let found = self.keys.get(id).await?;
        if let Some(key) = &found {
            self.recent.put(id.clone(), key.clone(), now);
        }
        Ok(found)
    }
}

/// A new key, and the one text that its owner will ever see of it.
pub fn make_key(
    account: AccountId,
    scopes: Vec<Scope>,
    random: [u8; 42],
    now: Timestamp,
) -> (ApiKey, String) {
    let mut id = [0; 10];
    id.copy_from_slice(&random[..10]);
    let (id, secret) = (KeyId::from_bytes(id), base32(&random[10..]));
    let token = format!("{PREFIX}_{id}_{secret}");
    let secret_sha256 = secret_sha256(&secret);
    (ApiKey { id, account, secret_sha256, scopes, revoked: false, created_at: now }, token)
}

fn bearer(headers: &HeaderMap) -> Option<(KeyId, &str)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    // RFC 9110, 11.1 and 11.4: the scheme in any case, then one blank or more.
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (id, secret) = token.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
    Some((id.parse().ok()?, secret))
}

fn secret_sha256(secret: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}

fn unauthenticated() -> Problem {
    let detail = "Send `Authorization: Bearer gmx_…` with a key that exists and is not revoked.";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case_and_nothing_else_is_forgiven() {
        let (key, token) =
            make_key("acct_anna".parse().unwrap(), vec![Scope::Read], [7; 42], Timestamp::from_secs(1));
        let id = |value: String| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(|(id, secret)| (id, secret.len()))
        };
        let read = id(format!("Bearer {token}"));
        assert_eq!(read.as_ref().map(|(id, _)| id), Some(&key.id));
        for scheme in ["bearer", "BEARER", "bEaReR"] {
            assert_eq!(id(format!("{scheme} {token}")), read, "{scheme}");
        }
        assert_eq!(id(format!("Bearer   {token} ")), read, "several blanks");
        for value in [token.clone(), format!("Basic {token}"), format!("Bearer{token}"), "Bearer ".to_owned()]
        {
            assert_eq!(id(value.clone()), None, "{value}");
        }
    }
}
