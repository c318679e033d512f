//! API keys: made once, revoked for good.

use std::time::Duration;

use domain::id::KeyId;
use domain::time::Timestamp;
use harness::World;
use shared::store::keys;
use shared::store::keystore::{ApiKey, KeyRules, KeyStore, Scope};

use super::{account, snapshot, spoil, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_read_as_it_was_made_and_a_missing_one_is_none() {
    let world = World::new().await;
    let store = KeyStore::new(world.table());
    let made = api_key(1, "anna", world.clock.now());
    store.create(&made).await.unwrap();
    assert_eq!(store.get(&made.id).await.unwrap(), Some(made));
    assert_eq!(store.get(&key_id(2)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_never_made_over_another() {
    let world = World::new().await;
    let store = KeyStore::new(world.table());
    store.create(&api_key(1, "anna", world.clock.now())).await.unwrap();
    let before = snapshot(&world).await;
    assert!(store.create(&api_key(1, "bert", world.clock.now())).await.is_err());
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_revoked_alone_and_stays_so_and_an_unknown_one_is_not_made() {
    let world = World::new().await;
    let store = KeyStore::new(world.table());
    let (one, two) = (api_key(1, "anna", world.clock.now()), api_key(2, "anna", world.clock.now()));
    store.create(&one).await.unwrap();
    store.create(&two).await.unwrap();

    for _ in 0..2 {
        assert!(store.revoke(&one.id).await.unwrap());
        assert_eq!(store.get(&one.id).await.unwrap(), Some(ApiKey { revoked: true, ..one.clone() }));
    }
    assert!(!store.revoke(&key_id(3)).await.unwrap());
    assert_eq!(store.get(&key_id(3)).await.unwrap(), None);
    assert_eq!(store.get(&two.id).await.unwrap(), Some(two));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_are_listed_oldest_first_and_nothing_else() {
    let world = World::new().await;
    let (store, now) = (KeyStore::new(world.table()), world.clock.now());
    let of_world = store.list().await.unwrap();
    let minute = Duration::from_secs(60);
    let (old, new) = (api_key(2, "bert", now.minus(minute)), api_key(1, "anna", now + minute));
    for key in [&new, &old] {
        store.create(key).await.unwrap();
    }
    super::stored(&world, "a boat").await;
    assert_eq!(store.list().await.unwrap(), [vec![old], of_world, vec![new]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_an_unknown_scope_is_an_error_and_grants_nothing() {
    let world = World::new().await;
    let store = KeyStore::new(world.table());
    let made = api_key(1, "anna", world.clock.now());
    store.create(&made).await.unwrap();
    let scopes = aws_sdk_dynamodb::types::AttributeValue::L(vec![text("everything")]);
    spoil(&world, &keys::api_key(&made.id), keys::KEY, "scopes", scopes).await;
    for error in [store.get(&made.id).await.unwrap_err(), store.list().await.unwrap_err()] {
        assert!(error.is_corrupt(), "{error:?}");
    }
}

fn api_key(n: u8, owner: &str, created_at: Timestamp) -> ApiKey {
    ApiKey {
        id: key_id(n),
        account: account(owner),
        secret_sha256: format!("hash of {owner}'s secret"),
        scopes: vec![Scope::Read],
        revoked: false,
        created_at,
        rules: KeyRules::default(),
    }
}

fn key_id(n: u8) -> KeyId {
    KeyId::from_bytes([n; 10])
}
