//! Authentication of API clients: `Authorization: Bearer gmx_<key id>_<secret>`.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;

use super::http::Problem;
use super::note_account;
use crate::operate::keys::{PREFIX, secret_sha256};
use crate::operate::recent::Recent;
use crate::store::Error;
use crate::store::keystore::{ApiKey, KeyStore, Scope};
use domain::id::{AccountId, KeyId};
use domain::policy::limit::{Limits, Usage};
use domain::time::Timestamp;

/// The burst of a key, in seconds of its rate.
const BURST_S: u32 = 10;

/// Verifies API keys and caches them: a revoked key may work for another 60 s.
///
/// Each key has a token bucket in the memory of this instance: with several instances, its rate is
/// multiplied by their number.
#[derive(Debug)]
pub struct Authenticator {
    keys: KeyStore,
    recent: Recent<KeyId, ApiKey>,
    /// Unknown key ids, cached apart from the keys so that many of them evict no key.
    unknown: Recent<KeyId, ()>,
    buckets: Recent<KeyId, Usage>,
    /// Requests per second of one key; `None` for no limit.
    rate: Option<u32>,
}

impl Authenticator {
    /// `rate` is in requests per second of one key; 0 means no limit.
    pub fn new(keys: KeyStore, rate: u32) -> Self {
        Self {
            keys,
            recent: Recent::default(),
            unknown: Recent::default(),
            buckets: Recent::default(),
            rate: Some(rate).filter(|rate| *rate > 0),
        }
    }

    /// The account of a request's key, as [`caller`](Self::caller) finds it.
    pub async fn account(
        &self,
        headers: &HeaderMap,
        scope: Scope,
        now: Timestamp,
    ) -> Result<AccountId, Problem> {
        Ok(self.caller(headers, scope, now).await?.account)
    }

    /// A request's key, if it has `scope`. A missing, malformed, unknown, wrong or revoked key returns the
    /// same problem.
    pub async fn caller(&self, headers: &HeaderMap, scope: Scope, now: Timestamp) -> Result<ApiKey, Problem> {
        let Some(token) = bearer(headers) else { return Err(unauthenticated()) };
        let Some(key) = self.key_of(token, now).await? else { return Err(unauthenticated()) };
        self.admit(&key, scope, now)?;
        Ok(key)
    }

    /// Fails unless a key that was proved has `scope` and is not used too fast.
    pub fn admit(&self, key: &ApiKey, scope: Scope, now: Timestamp) -> Result<(), Problem> {
        note_account(&key.account);
        self.take(&key.id, now)?;
        if !key.scopes.contains(&scope) {
            let detail = "This key lacks the required scope.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        Ok(())
    }

    /// The key of a token: `None` if it is malformed, unknown, wrong or revoked.
    pub async fn key_of(&self, token: &str, now: Timestamp) -> Result<Option<ApiKey>, Error> {
        let Some((id, secret)) = parts(token) else { return Ok(None) };
        let found = self.active(&id, now).await?;
        let is_right =
            |key: &ApiKey| bool::from(secret_sha256(secret).as_bytes().ct_eq(key.secret_sha256.as_bytes()));
        Ok(found.filter(is_right))
    }

    /// A key that is not revoked, of someone who proved to have it.
    pub async fn active(&self, id: &KeyId, now: Timestamp) -> Result<Option<ApiKey>, Error> {
        Ok(self.key(id, now).await?.filter(|key| !key.revoked))
    }

    async fn key(&self, id: &KeyId, now: Timestamp) -> Result<Option<ApiKey>, Error> {
        if let Some(key) = self.recent.get(id, now) {
            return Ok(Some(key));
        }
        if self.unknown.get(id, now).is_some() {
            return Ok(None);
        }
        let found = self.keys.get(id).await?;
        match &found {
            Some(key) => self.recent.put(id.clone(), key.clone(), now),
            None => self.unknown.put(id.clone(), (), now),
        }
        Ok(found)
    }

    /// Takes a token of an authenticated key: requests that know only its id take none.
    fn take(&self, id: &KeyId, now: Timestamp) -> Result<(), Problem> {
        let Some(rate) = self.rate else { return Ok(()) };
        let limits = Limits {
            per_minute: Some(rate.saturating_mul(60)),
            burst: Some(rate.saturating_mul(BURST_S)),
            at_once: None,
        };
        match self.buckets.get(id, now).unwrap_or_default().take("", limits, now) {
            Ok(usage) => {
                self.buckets.put(id.clone(), usage, now);
                Ok(())
            }
            Err(pause) => Err(too_fast(pause)),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    // RFC 9110, 11.1 and 11.4: a case-insensitive scheme, then one or more blanks.
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The id and the secret of a token.
fn parts(token: &str) -> Option<(KeyId, &str)> {
    let (id, secret) = token.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
    Some((id.parse().ok()?, secret))
}

fn too_fast(pause: Duration) -> Problem {
    let detail = "This key exceeds its requests per second. Nothing was changed.";
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
    Problem { retry_after: Some(Duration::from_secs(pause.as_secs() + 1)), ..problem }
}

fn unauthenticated() -> Problem {
    let detail = "Send `Authorization: Bearer gmx_…` with a key that exists and is not revoked.";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::keys::make_key;

    #[test]
    fn the_scheme_is_read_in_any_case_and_nothing_else_is_forgiven() {
        let (key, token) =
            make_key("acct_anna".parse().unwrap(), vec![Scope::Read], [7; 42], Timestamp::from_secs(1));
        let id = |value: String| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).and_then(parts).map(|(id, secret)| (id, secret.len()))
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
