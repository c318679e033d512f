//! Spoilt endpoints, events and deliveries.

use std::time::Duration;

use harness::{Receiver, World};
use reqwest::Method;
use serde_json::json;
use shared::store::keys::{self, BALANCE, CHECK_AT, EVENT};

use super::{item, number, put, remove, text, violations};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_count_a_lost_check_and_a_late_event_are_seen() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/hook", 500, &[], "");
    let body = json!({"url": receiver.url("/hook"), "types": ["job.*"]}).to_string();
    let made = world.call(Method::POST, "/v1/endpoints", &[], Some(&body)).await;
    let endpoint = made.text("/id").parse().unwrap();
    let job = world.submit("gen-4.5", "a boat", "told").await;
    world.finish(&job).await;
    world.drain().await;
    world.audit().await;

    let listed = format!("/v1/endpoints/{endpoint}/deliveries");
    let listed = world.call(Method::GET, &listed, &[], None).await.body;
    assert_eq!(listed["deliveries"][0]["status"], "pending", "{listed}");
    let event = keys::event(&listed["deliveries"][0]["event"].as_str().unwrap().parse().unwrap());
    let delivery = keys::delivery(&endpoint);
    let account = keys::account(&world.account);
    let long_ago = || number((world.clock.now().minus(Duration::from_secs(1_000))).as_millis());
    for (pk, sk, name, value, words) in [
        (
            &account,
            BALANCE,
            "listeners",
            Some(number(2)),
            "counts 2 endpoints and 1 that want `job.running`; there are 1 and 1",
        ),
        (
            &account,
            BALANCE,
            "movers",
            Some(number(0)),
            "counts 1 endpoints and 0 that want `job.running`; there are 1 and 1",
        ),
        (&event, delivery.as_str(), CHECK_AT, Some(long_ago()), "no run has sent it"),
        (&event, delivery.as_str(), CHECK_AT, None, "is not in the due index"),
        (&event, EVENT, CHECK_AT, Some(long_ago()), "no run has sent it"),
        (&event, EVENT, "type", None, "cannot be read"),
        (&event, delivery.as_str(), "status", Some(text("odd")), "cannot be read"),
    ] {
        let before = item(&world, pk, sk).await.unwrap_or_else(|| panic!("{pk} {sk} is there"));
        let mut changed = before.clone();
        match value {
            Some(value) => drop(changed.insert(name.to_owned(), value)),
            None => drop(changed.remove(name)),
        }
        put(&world, changed).await;
        let found = violations(&world).await;
        assert!(found.iter().any(|found| found.contains(words)), "`{words}` is not in {found:#?}");
        put(&world, before).await;
    }
    remove(&world, &keys::endpoints(&world.account), &keys::endpoint(&endpoint)).await;
    let found = violations(&world).await;
    assert!(found.iter().any(|found| found.contains("there are 0 and 0")), "{found:#?}");
}
