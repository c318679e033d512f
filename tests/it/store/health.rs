//! Health: each write is conditional on its version.

use std::collections::BTreeMap;

use domain::policy::health::{Gauge, Ping};
use domain::provider::Provider;
use domain::route::Health;
use harness::World;
use shared::store::admission::AdmissionStore;
use shared::store::keys;

use super::{snapshot, spoil, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_conditional_on_its_version_and_a_stale_one_fails() {
    let world = World::new().await;
    let (store, now) = (AdmissionStore::new(world.table()), world.clock.now());
    let first = Gauge::new(now).after(Ping::Answered { latency_ms: 12 }, now);
    let second = first.after(Ping::Failed, now);
    let concurrent = first.after(Ping::Answered { latency_ms: 99 }, now);

    assert!(store.set_health(Provider::Fal, &first).await.unwrap(), "there was none");
    assert!(store.set_health(Provider::Fal, &second).await.unwrap(), "it follows the first");
    let before = snapshot(&world).await;
    for stale in [&concurrent, &second, &first] {
        assert!(!store.set_health(Provider::Fal, stale).await.unwrap(), "{stale:?}");
    }

    assert_eq!(snapshot(&world).await, before);
    assert_eq!(store.health(Provider::ALL).await.unwrap(), BTreeMap::from([(Provider::Fal, second)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gauge_from_a_version_ahead_of_the_stored_one_is_not_written() {
    let world = World::new().await;
    let (store, now) = (AdmissionStore::new(world.table()), world.clock.now());
    let first = Gauge::new(now).after(Ping::Failed, now);
    let third = first.after(Ping::Failed, now).after(Ping::Failed, now);
    assert!(store.set_health(Provider::Fal, &first).await.unwrap());
    assert!(!store.set_health(Provider::Fal, &third).await.unwrap());
    assert_eq!(store.health(&[Provider::Fal]).await.unwrap()[&Provider::Fal], first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_provider_has_its_own_gauge_and_only_requested_ones_are_returned() {
    let world = World::new().await;
    let (store, now) = (AdmissionStore::new(world.table()), world.clock.now());
    assert_eq!(store.health(Provider::ALL).await.unwrap(), BTreeMap::new());
    let well = Gauge::new(now).after(Ping::Answered { latency_ms: 12 }, now);
    let ill = Gauge::new(now).after(Ping::Failed, now);
    assert!(store.set_health(Provider::Fal, &well).await.unwrap());
    assert!(store.set_health(Provider::Runway, &ill).await.unwrap());

    let all = BTreeMap::from([(Provider::Fal, well), (Provider::Runway, ill.clone())]);
    assert_eq!(ill.health, Health::Degraded);
    assert_eq!(store.health(Provider::ALL).await.unwrap(), all);
    assert_eq!(store.health(&[Provider::Runway]).await.unwrap(), BTreeMap::from([(Provider::Runway, ill)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_pings_at_the_same_instant_one_is_written() {
    let world = World::new().await;
    let now = world.clock.now();
    let mut writers = tokio::task::JoinSet::new();
    for latency_ms in 0..20 {
        let (store, gauge) =
            (AdmissionStore::new(world.table()), Gauge::new(now).after(Ping::Answered { latency_ms }, now));
        writers
            .spawn(async move { store.set_health(Provider::Fal, &gauge).await.expect("the table answers") });
    }
    let written = writers.join_all().await;
    assert_eq!(written.iter().filter(|written| **written).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_health_is_an_error() {
    let world = World::new().await;
    let (store, now) = (AdmissionStore::new(world.table()), world.clock.now());
    let gauge = Gauge::new(now).after(Ping::Failed, now);
    assert!(store.set_health(Provider::Fal, &gauge).await.unwrap());
    spoil(&world, &keys::gauge(Provider::Fal), keys::HEALTH, "health", text("splendid")).await;
    let unreadable = store.health(Provider::ALL).await.unwrap_err();
    assert!(unreadable.is_corrupt(), "{unreadable:?}");
}
