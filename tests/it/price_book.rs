//! Prices as data: versions that take effect without a deployment.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::catalog::Catalog;
use domain::credit::Credits;
use futures_util::future::join_all;
use harness::World;
use reqwest::Method;
use serde_json::{Value, json};
use shared::operate::prices::{Set, set};
use shared::operate::recent::CACHED_FOR;
use shared::store::keys;
use shared::store::prices::{PriceStore, Version};

use crate::store::spoil;

const MODEL: &str = "veo-3.1";

fn order() -> Value {
    json!({"model": MODEL, "prompt": "a boat", "duration_s": 4})
}

/// A version in which a second costs this much, and the account pays this percentage.
fn file(per_second: u64, percent: u32) -> String {
    format!(
        "[models.\"{MODEL}\".\"720p\"]\nper_second = {per_second}\n\n[accounts.acct_test]\npercent = {percent}\n"
    )
}

async fn quote(world: &World) -> (u64, u64) {
    let answer = world.call(Method::POST, "/v1/quotes", &[], Some(&order().to_string())).await;
    let number = |name: &str| answer.body[name].as_u64().unwrap();
    (number("price_micro_credits"), number("price_version"))
}

pub(crate) async fn set_prices(world: &World, file: &str) -> Set {
    let (store, catalog) = (PriceStore::new(world.table()), Catalog::built_in());
    let set = set(&store, &catalog, file, world.clock.now()).await.unwrap();
    world.clock.advance(CACHED_FOR);
    set
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_takes_effect_within_a_minute_and_a_job_keeps_its_price() {
    let world = World::new().await;
    let listed = quote(&world).await;
    assert_eq!(listed.1, 0);
    let before = world.post_job(&order(), "before").await;
    assert_eq!(before.body["price_micro_credits"], listed.0);
    assert_eq!(set_prices(&world, &file(1_000_001, 50)).await, Set::New(1));
    assert_eq!(quote(&world).await, (4 * 500_001, 1));
    let models = world.call(Method::GET, "/v1/models", &[], None).await;
    let shown =
        models.body["models"].as_array().unwrap().iter().find(|model| model["name"] == MODEL).unwrap();
    assert_eq!(shown["price"]["720p"]["micro_credits_per_s"], 500_001);
    let during = world.post_job(&order(), "during").await;
    assert_eq!(during.body["price_micro_credits"], 4 * 500_001);
    assert_eq!(set_prices(&world, &file(2_000_000, 100)).await, Set::New(2));
    assert_eq!(set_prices(&world, &file(2_000_000, 100)).await, Set::Same(2));
    assert_eq!(quote(&world).await, (8_000_000, 2));

    // Repeats and refunds go by the price of the job.
    for (answer, price, version) in [(&before, listed.0, 0), (&during, 4 * 500_001, 1)] {
        let key = if version == 0 { "before" } else { "during" };
        let again = world.post_job(&order(), key).await;
        assert_eq!(again.text("/id"), answer.text("/id"));
        assert_eq!(again.body["price_micro_credits"], price);
        let job = world.finish(&answer.text("/id").parse().unwrap()).await;
        assert_eq!((job.price(), job.price_version()), (Credits::from_micros(price), version));
    }
    world.audit().await;
}

/// From one month to the next: what a month counts decides the prices of the next, and late refunds of it do not
/// change what was charged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_goes_by_the_charges_of_the_month_before() {
    let world = World::new().await;
    let (_, next) = world.clock.now().month().unwrap();
    world.clock.advance((next + Duration::from_secs(3_600)).since(world.clock.now()));
    let (price, _) = quote(&world).await;
    let tiers = format!("[[tiers]]\nfrom = {}\npercent = 50\n", 2 * price);
    assert_eq!(set_prices(&world, &tiers).await, Set::New(1));
    for (n, prompt) in ["a boat", "a coat", "a goat [[sim: fail=content_policy]]"].into_iter().enumerate() {
        let order = json!({"model": MODEL, "prompt": prompt, "duration_s": 4});
        let answer = world.post_job(&order, &n.to_string()).await;
        assert_eq!(answer.body["price_micro_credits"], price, "{answer:?}");
        let job = world.finish(&answer.text("/id").parse().unwrap()).await;
        assert_eq!(job.budgets().len(), 1, "the volume of the month");
    }
    let (_, next) = world.clock.now().month().unwrap();
    world.clock.advance((next + Duration::from_secs(60)).since(world.clock.now()));
    assert_eq!(quote(&world).await, (price / 2, 1));
    let cheap = world.post_job(&order(), "cheap").await;
    assert_eq!(cheap.body["price_micro_credits"], price / 2);
    assert_eq!(world.finish(&cheap.text("/id").parse().unwrap()).await.price_percent(), 50);
    world.audit().await;
    // A month with too little: the listed price again.
    let (_, next) = world.clock.now().month().unwrap();
    world.clock.advance((next + Duration::from_secs(60)).since(world.clock.now()));
    assert_eq!(quote(&world).await, (price, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_operators_who_set_prices_at_once_each_version_is_one_of_theirs() {
    let world = World::new().await;
    let files: Vec<_> = (1..=6).map(|n| file(n, 100)).collect();
    let (store, catalog, now) = (PriceStore::new(world.table()), Catalog::built_in(), world.clock.now());
    let results = join_all(files.iter().map(|file| set(&store, &catalog, file, now))).await;
    let new = results.iter().filter(|result| matches!(result, Ok(Set::New(_)))).count();
    let versions = store.latest(10).await.unwrap();
    assert!(new >= 1 && versions.len() == new, "{results:?}");
    for (version, number) in versions.iter().rev().zip(1..) {
        assert_eq!(version.number, number);
        assert!(files.contains(&version.file));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_finds_a_charge_that_is_not_the_price_of_its_version() {
    let world = World::new().await;
    set_prices(&world, &file(1_000_000, 100)).await;
    let job = world.post_job(&order(), "charged").await;
    assert_eq!(job.status, 202);
    world.audit().await;
    let dearer = AttributeValue::S(file(2_000_000, 100));
    spoil(&world, keys::PRICES, &keys::price_version(1), "file", dearer).await;
    let found: Vec<_> = world.inspect().await.violations.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("costs 4 credits and 8 in version 1"), "{found:?}");
}

/// A version may name what the catalogue does not sell: no one is charged for it, and the audit knows that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_model_that_does_not_make_the_resolution_is_not_charged_and_no_violation() {
    let world = World::new().await;
    let other = "hailuo-2.3";
    let catalog = Catalog::built_in();
    assert!(!catalog.model(other).unwrap().price.contains_key("720p"));
    let idle = format!("{}\n[models.\"{other}\".\"720p\"]\nper_second = 9_000_000\n", file(1_000_000, 100));
    assert_eq!(set_prices(&world, &idle).await, Set::New(1));
    let order = json!({"model": MODEL, "prompt": "a boat", "duration_s": 4, "fallback_models": [other]});
    let answer = world.post_job(&order, "with an idle price").await;
    assert_eq!(answer.body["price_micro_credits"], 4_000_000, "{answer:?}");
    world.finish(&answer.text("/id").parse().unwrap()).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_that_cannot_be_read_charge_no_one() {
    let world = World::new().await;
    let (store, catalog) = (PriceStore::new(world.table()), Catalog::built_in());
    for file in ["[models", "[models.\"veo-3.1\".\"720p\"]\n", &file(0, 100), &file(u64::MAX >> 1, 100)] {
        assert!(set(&store, &catalog, file, world.clock.now()).await.is_err(), "{file}");
    }
    assert_eq!(store.newest().await.unwrap(), None);
    // Of a newer release.
    let version = Version { number: 1, file: "[bundles]\n".to_owned(), set_at: world.clock.now() };
    assert!(store.add(&version).await.unwrap());
    let refused = world.post_job(&order(), "unpriced").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (500, "internal"), "{refused:?}");
    assert_eq!(set_prices(&world, &file(1_000_000, 100)).await, Set::New(2));
    assert_eq!(world.post_job(&order(), "unpriced").await.status, 202);
}
