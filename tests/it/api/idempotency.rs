//! One key is one job and one charge, however many submit at once; and credits are a hard cap.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::credit::Credits;
use domain::id::AccountId;
use domain::job::State;
use domain::provider::Provider;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use harness::{Answer, Moment, World, how_many};
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::keystore::Scope;
use sim::CallKind;

use super::{Snapshot, assert_problem, assert_unchanged};

/// What five seconds of Pika at 720p cost, in micro-credits.
const PRICE: u64 = 25_000_000;

fn order() -> Value {
    json!({"model": "pika-2.2", "prompt": "a boat"})
}

fn is_replay(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

/// An account with so many micro-credits; gives it and its `Authorization`.
async fn account(world: &World, name: &str, micros: u64) -> (AccountId, String) {
    let account: AccountId = name.parse().unwrap();
    if micros > 0 {
        world.grant(&account, Credits::from_micros(micros)).await;
    }
    let key = world.new_key(&account, vec![Scope::Read, Scope::Write]).await;
    (account, format!("Bearer {key}"))
}

async fn submit_as(world: &World, authorization: &str, key: &str) -> Answer {
    let headers = [("authorization", authorization), ("idempotency-key", key)];
    world.call(Method::POST, "/v1/jobs", &headers, Some(&order().to_string())).await
}

async fn balance_of(world: &World, authorization: &str) -> u64 {
    let answer = world.call(Method::GET, "/v1/account", &[("authorization", authorization)], None).await;
    answer.body["balance_micro_credits"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_submits_with_one_key_are_one_job_one_charge_and_one_create() {
    let world = World::new().await;
    let before = world.balance().await;
    let order = order();
    // A thousand share one process here: on a busy machine some wait for longer than a function
    // may run. They repeat what was answered by 5xx, as every caller shall.
    let persistent = async |_| {
        let mut answer = world.post_job(&order, "order-1").await;
        for _ in 0..5 {
            if answer.status != 503 {
                break;
            }
            answer = world.post_job(&order, "order-1").await;
        }
        answer
    };
    let answers = join_all((0..1_000).map(persistent)).await;

    assert!(
        answers.iter().all(|answer| answer.status == 202),
        "{:?}",
        answers.iter().find(|it| it.status != 202)
    );
    let ids: BTreeSet<&str> = answers.iter().map(|answer| answer.text("/id")).collect();
    assert_eq!(ids.len(), 1);
    assert!(answers.iter().filter(|answer| is_replay(answer)).count() >= 999);
    assert_eq!(before.micros() - world.balance().await.micros(), PRICE);

    let job = world.finish(&ids.first().unwrap().parse().unwrap()).await;
    assert_eq!(job.state(), State::Succeeded);
    assert_eq!(world.calls(Provider::Fal, CallKind::Create), 1);
    let report = world.audit().await;
    assert_eq!(report.jobs.values().sum::<usize>(), 1);
}

/// `SUBMITS=10000` plays more of them, in a few minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_credits_for_some_of_many_submits_exactly_those_pass() {
    const AT_ONCE: usize = 200;
    const AFFORDED: u64 = 137;
    let world = World::new().await;
    let (_, caller) = account(&world, "acct_capped", AFFORDED * PRICE + PRICE - 1).await;
    let keys: Vec<String> = (0..how_many("SUBMITS", 1_000)).map(|n| format!("order-{n}")).collect();
    // Who met too many others is told to try again, and does.
    let submit = async |key: &String| loop {
        let answer = submit_as(&world, &caller, key).await;
        if answer.status != 503 {
            return answer;
        }
    };
    let answers: Vec<Answer> = stream::iter(keys.iter().map(submit)).buffered(AT_ONCE).collect().await;

    let (passed, refused): (Vec<_>, Vec<_>) = keys.iter().zip(&answers).partition(|(_, it)| it.status == 202);
    assert_eq!(passed.len() as u64, AFFORDED);
    for (_, answer) in &refused {
        let detail = assert_problem(answer, 402, "insufficient_credits");
        assert!(detail.contains("Nothing was charged"), "{detail}");
    }
    assert_eq!(balance_of(&world, &caller).await, PRICE - 1);
    world.audit().await;
    // A key that was refused is not used up, and one that passed needs no more credit.
    assert!(is_replay(&submit_as(&world, &caller, passed[0].0).await));
    world.grant(&"acct_capped".parse().unwrap(), Credits::from_micros(1)).await;
    let late = submit_as(&world, &caller, refused[0].0).await;
    assert!(late.status == 202 && !is_replay(&late), "{late:?}");
    assert_eq!(balance_of(&world, &caller).await, 0);
    world.audit().await;
}

#[tokio::test]
async fn without_the_table_a_submit_is_refused_and_makes_nothing() {
    let world = World::new().await;
    let items = Snapshot::take(&world).await.items.len();
    // The caller's key, and the one transaction.
    for k in 0..2 {
        world.wire.reset();
        world.wire.fail_at(k, Moment::Before);
        assert_problem(&world.post_job(&order(), "order-1").await, 503, "unavailable");
        assert!(world.wire.is_spent());
        let after = Snapshot::take(&world).await;
        assert_eq!((after.items.len(), after.next_message), (items, None), "effect {k}");
    }
    world.wire.reset();
    let answer = world.post_job(&order(), "order-1").await;
    assert!(answer.status == 202 && !is_replay(&answer), "{answer:?}");
    world.audit().await;
}

#[tokio::test]
async fn an_account_without_any_credits_is_refused() {
    let world = World::new().await;
    let (_, caller) = account(&world, "acct_poor", 0).await;
    world.wire.reset();
    let answer = submit_as(&world, &caller, "order-1").await;
    let detail = assert_problem(&answer, 402, "insufficient_credits");
    assert!(detail.contains("costs 25 credits and the balance is 0"), "{detail}");
    let report = world.audit().await;
    assert!(report.jobs.is_empty(), "{report}");
    assert_eq!(world.stack.sqs.next_visible_at().unwrap(), None);
}

#[tokio::test]
async fn a_repeat_gets_the_job_as_it_is_by_then() {
    let world = World::new().await;
    let first = world.post_job(&order(), "order-1").await;
    assert!(first.status == 202 && !is_replay(&first), "{first:?}");
    assert_eq!(first.headers["location"], format!("/v1/jobs/{}", first.text("/id")));
    world.finish(&first.text("/id").parse().unwrap()).await;
    let balance = world.balance().await;
    // A key is kept for good: nothing of a job lapses.
    let items = Snapshot::take(&world).await.items;
    let lapses = |(key, item): (&[String; 2], &HashMap<String, AttributeValue>)| {
        key[0].starts_with("JOB#") && item.contains_key("expires_at")
    };
    assert!(!items.iter().any(lapses), "{items:?}");
    world.clock.advance(std::time::Duration::from_secs(31 * 24 * 3_600));
    let again = world.post_job(&order(), "order-1").await;
    assert!(again.status == 202 && is_replay(&again), "{again:?}");
    assert_eq!((again.text("/id"), again.text("/status")), (first.text("/id"), "succeeded"));
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(world.balance().await, balance);
    world.audit().await;
}

#[tokio::test]
async fn one_order_is_the_same_however_it_is_spelled() {
    let world = World::new().await;
    let first = world.post_job(&order(), "order-1").await;
    // A quoted key and a bare one; defaults left out and written down.
    let spelled =
        json!({"prompt": "a boat", "duration_s": 5, "model": "pika-2.2", "resolution": "720p", "seed": null});
    for (body, key) in [(&order(), "\"order-1\""), (&spelled, "order-1"), (&spelled, " \"order-1\" ")] {
        let again = world.post_job(body, key).await;
        assert!(is_replay(&again), "{key} {body}: {again:?}");
        assert_eq!(again.text("/id"), first.text("/id"));
    }
    for key in ["Order-1", "order-1 x", "order-11"] {
        assert_ne!(world.post_job(&order(), key).await.text("/id"), first.text("/id"), "{key}");
    }
    world.audit().await;
}

#[tokio::test]
async fn a_key_that_is_used_for_another_order_is_refused() {
    let world = World::new().await;
    world.post_job(&order(), "order-1").await;
    world.drain().await;
    world.wire.reset();
    let table = Snapshot::take(&world).await.items;
    for other in [
        json!({"prompt": "a coat"}),
        json!({"seed": 7}),
        json!({"metadata": {"a": "b"}}),
        json!({"duration_s": 10}),
    ] {
        let mut body = order();
        body.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        let answer = world.post_job(&body, "order-1").await;
        assert_problem(&answer, 422, "idempotency_key_reused");
    }
    // It is the transaction that finds out: it was tried, and wrote nothing.
    assert_eq!(table, Snapshot::take(&world).await.items);
    world.audit().await;
}

#[tokio::test]
async fn an_invalid_order_under_a_used_key_is_told_what_is_wrong_with_it() {
    let world = World::new().await;
    world.post_job(&order(), "order-1").await;
    world.drain().await;
    world.wire.reset();
    let before = Snapshot::take(&world).await;
    let answer = world.post_job(&json!({"model": "sora-9", "prompt": "a boat"}), "order-1").await;
    assert_problem(&answer, 422, "invalid_request");
    assert_unchanged(&world, &before).await;
}

#[tokio::test]
async fn the_same_key_of_another_account_is_another_job() {
    let world = World::new().await;
    let first = world.post_job(&order(), "order-1").await;
    let (other, caller) = account(&world, "acct_other", 2 * PRICE).await;
    let second = submit_as(&world, &caller, "order-1").await;
    assert!(second.status == 202 && !is_replay(&second), "{second:?}");
    assert_ne!(second.text("/id"), first.text("/id"));
    assert_eq!(second.text("/account"), other.as_str());
    assert_eq!(balance_of(&world, &caller).await, PRICE);
    world.audit().await;
}

#[tokio::test]
async fn without_a_key_every_submit_is_a_job_of_its_own() {
    let world = World::new().await;
    let body = order().to_string();
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let answer = world.call(Method::POST, "/v1/jobs", &[], Some(&body)).await;
        assert!(answer.status == 202 && !is_replay(&answer), "{answer:?}");
        ids.insert(answer.text("/id").to_owned());
    }
    assert_eq!(ids.len(), 3);
    world.audit().await;
}

#[tokio::test]
async fn two_keys_in_one_order_are_refused_by_the_name_of_the_header() {
    let world = World::new().await;
    let before = Snapshot::take(&world).await;
    let headers = [("idempotency-key", "order-1"), ("idempotency-key", "order-2")];
    let answer = world.call(Method::POST, "/v1/jobs", &headers, Some(&order().to_string())).await;
    assert_problem(&answer, 400, "invalid_idempotency_key");
    assert!(answer.text("/detail").contains("`Idempotency-Key`"), "{answer:?}");
    assert_unchanged(&world, &before).await;
}

#[tokio::test]
async fn a_body_with_a_byte_order_mark_is_the_same_order() {
    let world = World::new().await;
    let (key, order) = ([("idempotency-key", "order-1")], order().to_string());
    let marked = format!("\u{feff}{order}");
    let first = world.call(Method::POST, "/v1/jobs", &key, Some(&marked)).await;
    assert_eq!(first.status, 202, "{first:?}");
    let again = world.call(Method::POST, "/v1/jobs", &key, Some(&order)).await;
    assert!(is_replay(&again) && again.text("/id") == first.text("/id"), "{again:?}");
}
