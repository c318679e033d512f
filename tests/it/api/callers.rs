//! Who may call what: keys, scopes, and the wall between accounts.

use std::time::Duration;

use domain::credit::Credits;
use domain::id::{AccountId, KeyId};
use harness::{Answer, World};
use reqwest::Method;
use serde_json::json;
use shared::store::keystore::{KeyStore, Scope};

use super::{Snapshot, assert_problem, assert_unchanged};

const ORDER: &str = r#"{"model": "pika-2.2", "prompt": "a boat"}"#;

/// Every route that needs a key, with the scope that it needs; `{id}` stands for a job.
const ROUTES: [(Method, &str, Scope); 9] = [
    (Method::POST, "/v1/jobs", Scope::Write),
    (Method::GET, "/v1/jobs", Scope::Read),
    (Method::GET, "/v1/jobs/{id}", Scope::Read),
    (Method::POST, "/v1/jobs/{id}/cancel", Scope::Write),
    (Method::GET, "/v1/models", Scope::Read),
    (Method::GET, "/v1/videos/models", Scope::Read),
    (Method::GET, "/v1/providers", Scope::Read),
    (Method::GET, "/v1/account", Scope::Read),
    (Method::GET, "/v1/usage", Scope::Read),
];

/// Calls a route of a job with what stands for a key.
async fn call(world: &World, (method, path, _): &(Method, &str, Scope), id: &str, key: &str) -> Answer {
    let body = (*path == "/v1/jobs" && *method == Method::POST).then_some(ORDER);
    world.call(method.clone(), &path.replace("{id}", id), &[("authorization", key)], body).await
}

fn key_id(token: &str) -> KeyId {
    token.split('_').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_missing_malformed_unknown_wrong_and_revoked_key_get_the_same_answer() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    let revoked = world.new_key(&world.account, vec![Scope::Read, Scope::Write]).await;
    assert!(KeyStore::new(world.table()).revoke(&key_id(&revoked)).await.unwrap());
    let (start, secret) = world.key.rsplit_once('_').unwrap();
    let unknown = format!("Bearer gmx_{}_{secret}", KeyId::from_bytes([7; 10]));
    let (wrong, short) = (format!("Bearer {start}_{}", "a".repeat(secret.len())), format!("Bearer {start}_"));
    let cut = format!("Bearer {}", &world.key[..world.key.len() - 1]);
    let (bare, basic) = (world.key.clone(), format!("Basic {}", world.key));
    let (revoked, long) = (format!("Bearer {revoked}"), format!("Bearer {}", "gmx_".repeat(2_000)));
    let keys = ["", "Bearer", "Bearer ", "Bearer gmx_", "Bearer gmx__", "Bearer gmx_KEY_x", &unknown, &wrong];
    let keys = keys.into_iter().chain([short.as_str(), &cut, &bare, &basic, &revoked, &long]);

    world.wire.reset();
    let before = Snapshot::take(&world).await;
    let mut told = Vec::new();
    for key in keys {
        for route in &ROUTES {
            let answer = call(&world, route, id.as_str(), key).await;
            told.push(assert_problem(&answer, 401, "unauthenticated").to_owned());
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_unchanged(&world, &before).await;
}

#[tokio::test]
async fn a_key_without_the_scope_is_forbidden() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    let reader = format!("Bearer {}", world.new_key(&world.account, vec![Scope::Read]).await);
    let writer = format!("Bearer {}", world.new_key(&world.account, vec![Scope::Write]).await);
    world.wire.reset();
    let before = Snapshot::take(&world).await;
    for route in &ROUTES {
        let key = if route.2 == Scope::Read { &writer } else { &reader };
        assert_problem(&call(&world, route, id.as_str(), key).await, 403, "forbidden");
    }
    assert_unchanged(&world, &before).await;
    for route in &ROUTES {
        let key = if route.2 == Scope::Read { &reader } else { &writer };
        let answer = call(&world, route, id.as_str(), key).await;
        assert!(answer.status.is_success(), "{route:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_revoked_key_works_for_a_minute_at_most() {
    let world = World::new().await;
    let reader = world.new_key(&world.account, vec![Scope::Read]).await;
    let key = format!("Bearer {reader}");
    let models = (Method::GET, "/v1/models", Scope::Read);
    assert_eq!(call(&world, &models, "", &key).await.status, 200);
    assert!(KeyStore::new(world.table()).revoke(&key_id(&reader)).await.unwrap());
    world.clock.advance(Duration::from_secs(60));
    assert_problem(&call(&world, &models, "", &key).await, 401, "unauthenticated");
}

#[tokio::test]
async fn another_accounts_job_is_no_job() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    let other: AccountId = "acct_other".parse().unwrap();
    world.grant(&other, Credits::ONE).await;
    let key = format!("Bearer {}", world.new_key(&other, vec![Scope::Read, Scope::Write]).await);
    world.wire.reset();
    let before = Snapshot::take(&world).await;
    for route in [&ROUTES[2], &ROUTES[3]] {
        let mut bodies = Vec::new();
        for id in [id.as_str(), "job_aaaaaaaaaaaaaaaaaaaaaaaaaa", "job_1", "nonsense", "job_%00"] {
            let mut answer = call(&world, route, id, &key).await;
            assert_problem(&answer, 404, "not_found");
            answer.body["request_id"] = json!("");
            bodies.push(answer.body.to_string());
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
    }
    let list = call(&world, &ROUTES[1], "", &key).await;
    assert_eq!(list.body, json!({"jobs": [], "next_cursor": null}));
    assert_unchanged(&world, &before).await;
}
