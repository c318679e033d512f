//! Rules of one account's own, beside those of all.

use domain::budget::Budgets;
use domain::credit::{Credits, MicroUsd};
use domain::id::JobId;
use domain::policy::health::{Gauge, Ping};
use domain::policy::live::LiveMax;
use domain::provider::Provider::{Fal, Runway};
use domain::request::Prefer;
use harness::{Answer, World};
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::Table;
use shared::store::accounts::{Accounts, Policy};
use shared::store::admission::AdmissionStore;

async fn set(world: &World, policy: Policy) {
    Accounts::new(world.table()).change_policy(&world.account, true, &policy).await.unwrap();
    world.clock.advance(shared::operate::recent::CACHED_FOR);
}

async fn submit(world: &World, prompt: &str, more: &Value) -> Answer {
    let mut order = json!({"model": "veo-3.1", "prompt": prompt});
    order.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    world.post_job(&order, prompt).await
}

/// An account whose settings are reset is never without the new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_with_new_settings_is_one_write() {
    let world = World::new().await;
    // Over the connection whose calls are counted.
    let name = world.operator.env.get("TABLE").unwrap_or_default();
    let table = Table::new(world.stack.operator.dynamodb(), name);
    let (store, account) = (Accounts::new(table), &world.account);
    let credits = |n| Some(Credits::from_micros(n));
    let first = Policy {
        prefer: Some(Prefer::Fastest),
        live_jobs_max: Some(LiveMax::AtMost(3)),
        loss_per_day: Some(MicroUsd(5)),
        low_below: credits(7),
        budgets: Budgets { day: credits(1), month: credits(2), total: credits(3) },
    };
    assert_eq!(store.change_policy(account, false, &first).await.unwrap(), first);
    let more = Policy { live_jobs_max: Some(LiveMax::AtMost(4)), ..Policy::default() };
    let merged = Policy { live_jobs_max: Some(LiveMax::AtMost(4)), ..first };
    assert_eq!(store.change_policy(account, false, &more).await.unwrap(), merged);
    world.wire.reset();
    let budgets = Budgets { day: credits(9), ..Budgets::default() };
    let named = Policy { budgets, ..Policy::default() };
    assert_eq!(store.change_policy(account, true, &named).await.unwrap(), named);
    assert_eq!(world.wire.calls(), ["UpdateItem"]);
    assert_eq!(store.policy(account).await.unwrap(), named);
    for reset in [true, false] {
        let none = Policy::default();
        assert_eq!(store.change_policy(account, reset, &none).await.unwrap(), none);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_wants_speed_gets_the_fastest_route_unless_an_order_says_otherwise() {
    let world = World::new().await;
    for (provider, latency_ms) in [(Fal, 900), (Runway, 20)] {
        let now = world.clock.now();
        let gauge = Gauge::new(now).after(Ping::Answered { latency_ms }, now);
        assert!(AdmissionStore::new(world.table()).set_health(provider, &gauge).await.unwrap());
    }
    let first = async |prompt: &str, more: Value| {
        let id = submit(&world, prompt, &more).await.text("/id").parse().unwrap();
        world.finish(&id).await.attempts()[0].provider
    };
    assert_eq!(first("as for everybody", json!({})).await, Fal);
    set(&world, Policy { prefer: Some(Prefer::Fastest), ..Policy::default() }).await;
    let quote = json!({"model": "veo-3.1", "prompt": "a"}).to_string();
    let quote = world.call(Method::POST, "/v1/quotes", &[], Some(&quote)).await;
    assert_eq!(quote.text("/request/prefer"), "fastest");
    assert_eq!(first("by policy", json!({})).await, Runway);
    assert_eq!(first("by order", json!({"prefer": "cheapest"})).await, Fal);

    // The same order again is the same job, whatever the policy is by now.
    let again = submit(&world, "as for everybody", &json!({})).await;
    assert_eq!(
        (again.status.as_u16(), again.headers["idempotent-replayed"].to_str().unwrap()),
        (202, "true")
    );
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_an_account_without_a_limit_are_not_counted_and_its_others_are() {
    let world = World::new().await;
    set(&world, Policy { live_jobs_max: Some(LiveMax::NONE), ..Policy::default() }).await;
    let mut ids: Vec<JobId> = Vec::new();
    for prompt in ["one", "two", "three [[sim: fail=content_policy]]"] {
        ids.push(submit(&world, prompt, &json!({})).await.text("/id").parse().unwrap());
    }
    set(&world, Policy { live_jobs_max: Some(LiveMax::AtMost(1)), ..Policy::default() }).await;
    ids.push(submit(&world, "counted", &json!({})).await.text("/id").parse().unwrap());
    let second = submit(&world, "counted, too", &json!({})).await;
    assert_eq!((second.status.as_u16(), second.code()), (429, "too_many_live_jobs"));
    world.audit().await;
    for id in &ids {
        assert!(world.finish(id).await.state().is_terminal());
    }
    world.audit().await;
    assert_eq!(submit(&world, "counted, too", &json!({})).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_with_a_limit_of_its_own_is_held_to_that() {
    let world = World::new().await;
    set(&world, Policy { live_jobs_max: Some(LiveMax::AtMost(0)), ..Policy::default() }).await;
    let none = submit(&world, "none at all", &json!({})).await;
    assert_eq!((none.status.as_u16(), none.code()), (429, "too_many_live_jobs"));
    assert!(none.text("/detail").contains("has 0 live jobs and may have 0"), "{none:?}");
    set(&world, Policy { live_jobs_max: Some(LiveMax::AtMost(2)), ..Policy::default() }).await;
    for prompt in ["one", "two"] {
        assert_eq!(submit(&world, prompt, &json!({})).await.status, 202);
    }
    let third = submit(&world, "three", &json!({})).await;
    assert_eq!((third.status.as_u16(), third.code()), (429, "too_many_live_jobs"));
    assert!(third.text("/detail").contains("has 2 live jobs and may have 2"), "{third:?}");
    assert!(third.headers["ratelimit-policy"].to_str().unwrap().contains("q=2"), "{third:?}");
    set(&world, Policy::default()).await;
    assert_eq!(submit(&world, "three", &json!({})).await.status, 202);
}
