//! Lists: jobs, models, an account's money; and what a list's parameters may be.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::catalog::Catalog;
use domain::credit::Credits;
use domain::id::AccountId;
use domain::provider::Provider;
use harness::{Answer, World};
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::keystore::Scope;

use super::{Snapshot, assert_problem, assert_unchanged};

async fn get(world: &World, path: &str) -> Answer {
    world.call(Method::GET, path, &[], None).await
}

/// Every page of a list, by its cursors.
async fn pages(world: &World, path: &str, items: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = get(world, &format!("{path}{cursor}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        pages.push(answer.body[items].as_array().unwrap().clone());
        match answer.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
        assert!(pages.len() < 50, "the list never ends");
    }
}

fn sizes(pages: &[Vec<Value>]) -> Vec<usize> {
    pages.iter().map(Vec::len).collect()
}

/// Jobs, five to a millisecond, every third canceled; gives the ids of all and of those.
async fn world_with_jobs(count: usize) -> (World, BTreeSet<String>, BTreeSet<String>) {
    let world = World::new().await;
    let (mut all, mut canceled) = (BTreeSet::new(), BTreeSet::new());
    for n in 0..count {
        if n % 5 == 0 {
            world.clock.advance(Duration::from_millis(1));
        }
        let id = world.submit("pika-2.2", "a boat", &format!("order-{n}")).await;
        if n % 3 == 0 {
            assert_eq!(world.cancel(&id).await.status, 202);
            canceled.insert(id.to_string());
        }
        all.insert(id.to_string());
    }
    (world, all, canceled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_newest_first_each_once_over_all_pages() {
    let (world, all, _) = world_with_jobs(23).await;
    let pages = pages(&world, "/v1/jobs?limit=7", "jobs").await;
    assert_eq!(sizes(&pages), [7, 7, 7, 2]);
    let jobs: Vec<Value> = pages.concat();
    assert!(jobs.is_sorted_by(|one, next| one["created_at"].as_str() >= next["created_at"].as_str()));
    let ids: BTreeSet<String> = jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ids, jobs.len()), (all, 23));
    assert!(jobs.iter().all(|job| job.get("media").is_none() && job.get("request").is_none()));
    let first = get(&world, "/v1/jobs").await;
    assert_eq!(first.body["jobs"].as_array().unwrap().len(), 20, "the page that nobody asked a size for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_filters_jobs_over_all_pages() {
    let (world, all, canceled) = world_with_jobs(23).await;
    for (status, want) in
        [("canceled", canceled.clone()), ("queued", &all - &canceled), ("failed", BTreeSet::new())]
    {
        let pages = pages(&world, &format!("/v1/jobs?limit=3&status={status}"), "jobs").await;
        assert!(pages.iter().all(|page| page.len() <= 3));
        let jobs = pages.concat();
        assert!(jobs.iter().all(|job| job["status"] == status), "{jobs:?}");
        let ids: BTreeSet<String> = jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!((ids.len(), ids), (jobs.len(), want), "{status}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_account_opens_nothing_of_it() {
    let (world, all, _) = world_with_jobs(4).await;
    let other: AccountId = "acct_other".parse().unwrap();
    world.grant(&other, Credits::ONE).await;
    let key = format!("Bearer {}", world.new_key(&other, vec![Scope::Read]).await);
    let list = get(&world, "/v1/jobs?limit=1").await;
    let lines = get(&world, "/v1/account?limit=1").await;
    let calls = [("/v1/jobs", &list, "jobs"), ("/v1/account", &lines, "ledger")];
    for (path, answer, items) in calls {
        let path = format!("{path}?cursor={}", answer.text("/next_cursor"));
        let seen = world.call(Method::GET, &path, &[("authorization", &key)], None).await;
        let seen = seen.body[items].to_string();
        assert!(all.iter().all(|id| !seen.contains(id)), "{path}: {seen}");
    }
}

#[tokio::test]
async fn a_parameter_that_a_list_does_not_take_is_refused_by_name() {
    let (world, ..) = world_with_jobs(1).await;
    let ledger = get(&world, "/v1/account?limit=1").await.text("/next_cursor").to_owned();
    let jobs = get(&world, "/v1/jobs?limit=1").await.text("/next_cursor").to_owned();
    let states = ["queued", "dispatching", "running", "settling", "succeeded", "failed", "canceled"];
    world.wire.reset();
    let before = Snapshot::take(&world).await;
    let refused = async |path: String, field: &str, allowed: Option<Value>| {
        let answer = get(&world, &path).await;
        assert_eq!(answer.status, 422, "{path}: {answer:?}");
        assert_problem(&answer, 422, "invalid_request");
        assert_eq!(answer.text("/errors/0/field"), field, "{path}: {answer:?}");
        assert_eq!(answer.body.pointer("/errors/0/allowed").cloned(), allowed, "{path}");
    };
    for limit in ["0", "101", "-1", "ten", "", "1.5", "99999999999"] {
        refused(format!("/v1/jobs?limit={limit}"), "limit", None).await;
        refused(format!("/v1/account?limit={limit}"), "limit", None).await;
    }
    for status in ["done", "Queued", "", "queued,failed"] {
        refused(format!("/v1/jobs?status={status}"), "status", Some(json!(states))).await;
    }
    for cursor in ["", "x", "%00", "MTIz", "MTIzLmpvYg", "____", &"A".repeat(5_000), &ledger] {
        refused(format!("/v1/jobs?cursor={cursor}"), "cursor", None).await;
    }
    for cursor in ["", "x", &jobs] {
        refused(format!("/v1/account?cursor={cursor}"), "cursor", None).await;
    }
    assert_unchanged(&world, &before).await;
}

/// They look like cursors of ours, and name what is not there.
#[tokio::test]
async fn a_made_up_cursor_is_no_failure_of_ours() {
    let (world, ..) = world_with_jobs(2).await;
    let made_up = [
        "MC5qb2JfYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE", // 0.job_aaaaaaaaaaaaaaaaaaaaaaaaaa
        "LTEuam9iX2FhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh", // -1.job_…
        "OTIyMzM3MjAzNjg1NDc3NTgwNy5qb2JfYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE", // 9223372036854775807.job_…
    ];
    for cursor in made_up {
        let answer = get(&world, &format!("/v1/jobs?cursor={cursor}")).await;
        assert!(matches!(answer.status.as_u16(), 200 | 422), "{cursor}: {answer:?}");
    }
    for cursor in ["MC5FTlRSWSM", "MC5FTlRSWSN4I0NIQVJHRQ"] {
        // 0.ENTRY#, 0.ENTRY#x#CHARGE
        let answer = get(&world, &format!("/v1/account?cursor={cursor}")).await;
        assert!(matches!(answer.status.as_u16(), 200 | 422), "{cursor}: {answer:?}");
    }
}

#[tokio::test]
async fn models_are_listed_with_limits_and_price_and_without_our_cost() {
    let world = World::new().await;
    let answer = get(&world, "/v1/models").await;
    let models = answer.body["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names, Catalog::for_providers(Provider::ALL).names());
    let veo = models.iter().find(|model| model["name"] == "veo-3.1").unwrap();
    assert_eq!(
        veo["price"]["720p"],
        json!({
            "micro_credits_per_s": 25_000_000,
            "micro_credits_per_s_with_audio": 50_000_000,
            "micro_credits_by_length": null,
            "micro_credits_per_image": null,
        })
    );
    assert_eq!(
        veo["defaults"],
        json!({"duration_s": 8, "aspect_ratio": "16:9", "resolution": "720p", "audio": false})
    );
    let routes: Vec<&str> =
        veo["routes"].as_array().unwrap().iter().map(|route| route["name"].as_str().unwrap()).collect();
    assert_eq!(routes[..2], ["fal/fal-ai/veo3.1", "runway/veo3.1"]);
    assert_eq!(veo["routes"][0]["durations_s"], json!([4, 6, 8]));
    assert!(!answer.body.to_string().contains("cost"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_shows_its_balance_and_its_ledger_newest_first() {
    let world = World::new().await;
    let mut want =
        vec![json!({"kind": "grant", "micro_credits": 1_000_000_000_000_u64, "job": null, "topup": null})];
    for (n, prompt) in ["a boat", "a coat [[sim: fail=content_policy]]"].into_iter().enumerate() {
        world.clock.advance(Duration::from_secs(1));
        let id = world.submit("pika-2.2", prompt, &n.to_string()).await;
        world.finish(&id).await;
        want.push(json!({"kind": "charge", "micro_credits": 25_000_000, "job": id, "topup": null}));
    }
    let failed = want[2]["job"].clone();
    want.push(json!({"kind": "refund", "micro_credits": 25_000_000, "job": failed, "topup": null}));
    want.reverse();

    let mut lines = pages(&world, "/v1/account?limit=3", "ledger").await.concat();
    assert!(lines.is_sorted_by(|one, next| one["at"].as_str() >= next["at"].as_str()));
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("at");
    }
    assert_eq!(lines, want);
    let account = get(&world, "/v1/account").await;
    assert_eq!(account.text("/id"), world.account.as_str());
    assert_eq!(account.body["balance_micro_credits"], 1_000_000_000_000_u64 - 25_000_000);
    world.audit().await;
}
