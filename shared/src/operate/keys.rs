//! API keys: `gmx_<key id>_<secret>`.

use domain::id::{AccountId, KeyId, base32};
use domain::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::store::Error;
use crate::store::keystore::{ApiKey, KeyRules, KeyStore, Scope};

pub(crate) const PREFIX: &str = "gmx";

/// Creates a key, and returns its bearer token, which is shown only once and never stored.
pub async fn create(
    keys: &KeyStore,
    account: AccountId,
    scopes: Vec<Scope>,
    random: [u8; 42],
    now: Timestamp,
) -> Result<String, Error> {
    create_with(keys, account, scopes, KeyRules::default(), random, now).await
}

/// The same, with budgets, models and providers.
pub async fn create_with(
    keys: &KeyStore,
    account: AccountId,
    scopes: Vec<Scope>,
    rules: KeyRules,
    random: [u8; 42],
    now: Timestamp,
) -> Result<String, Error> {
    let (key, token) = make_key(account, scopes, random, now);
    keys.create(&ApiKey { rules, ..key }).await?;
    Ok(token)
}

pub(crate) fn make_key(
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
    let rules = KeyRules::default();
    (ApiKey { id, account, secret_sha256, scopes, revoked: false, created_at: now, rules }, token)
}

pub(crate) fn secret_sha256(secret: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}
