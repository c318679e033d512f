//! A provider's bill against the attempts on record: what agrees, and everything that does not.

use std::time::Duration;

use domain::bill::{Comparison, Kind, Known, Line, Period, compare};
use domain::catalog::Catalog;
use domain::credit::MicroUsd;
use domain::id::JobId;
use domain::job::{Job, State};
use domain::provider::Provider::{self, Fal, Minimax, Replicate};
use harness::World;
use serde_json::{Value, json};
use shared::operate::bills::{Query, around, endpoints, named};
use shared::provider::{Bill, BillOf, NoList, ProviderClient, ProviderConfig, Timeouts};
use signatures::Secret;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
/// Five seconds of Pika in 720p.
const PIKA: u64 = 200_000;

async fn made(world: &World, model: &str, provider: Provider, prompt: &str) -> Job {
    let order = json!({"model": model, "prompt": prompt, "provider": provider, "pin": true});
    let id: JobId = world.post_job(&order, &format!("{model} {prompt}")).await.text("/id").parse().unwrap();
    world.finish(&id).await
}

/// What the simulator of a provider lists for this key.
async fn listed(world: &World, provider: Provider, key: &str, period: Period) -> Result<Bill, NoList> {
    listed_of(world, key, query(provider, period), &Catalog::built_in(), &[]).await
}

/// The same, for the routes of a catalogue and of these attempts.
async fn listed_of(
    world: &World,
    key: &str,
    Query { provider, period, .. }: Query,
    catalog: &Catalog,
    known: &[Known],
) -> Result<Bill, NoList> {
    let base_url = Some(world.simulator(provider).base().parse().unwrap());
    let config = ProviderConfig { base_url, ..ProviderConfig::new(provider, Secret::new(key)) };
    let client = ProviderClient::new(vec![config], Timeouts::default()).unwrap();
    let endpoints = endpoints(catalog, provider, known);
    let endpoints = endpoints.iter().map(String::as_str).collect();
    client
        .bill(provider, &BillOf { period, endpoints, is_admin: key.starts_with("admin") }, world.clock.now())
        .await
}

const fn query(provider: Provider, period: Period) -> Query {
    Query { provider, simulated: true, period }
}

async fn compared(world: &World, provider: Provider, bill: &Bill, period: Period) -> Comparison {
    let known = around(&world.table(), query(provider, period)).await.unwrap();
    compared_with(world, provider, bill, period, known).await
}

async fn compared_with(
    world: &World,
    provider: Provider,
    bill: &Bill,
    period: Period,
    mut known: Vec<Known>,
) -> Comparison {
    bill.keep_listed(provider, &Catalog::built_in(), &mut known);
    let named = named(&world.table(), query(provider, period), &bill.lines, &known).await.unwrap();
    known.extend(named);
    compare(&bill.lines, &known, period, MicroUsd(1))
}

/// The last two days, and the minute that begins.
fn period(world: &World) -> Period {
    Period { since: world.clock.now().minus(DAY * 2), until: world.clock.now() + Duration::from_secs(60) }
}

/// A remote job that another program made with the same key.
async fn stray(world: &World, provider: Provider, path: &str, authorization: &str, body: &Value) {
    let url = format!("{}{path}", world.simulator(provider).base());
    let call = reqwest::Client::new().post(url).header("authorization", authorization).json(body);
    let answer = call.send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

fn counts(compared: &Comparison) -> Vec<(&'static str, usize, u64)> {
    let kinds = Kind::ALL.into_iter().map(|kind| (kind.name(), compared.of(kind)));
    kinds.filter(|(_, (count, _))| *count > 0).map(|(name, (count, sum))| (name, count, sum.0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bill_that_is_right_agrees_line_by_line_and_one_that_is_not_is_listed_with_its_sums() {
    let world = World::new().await;
    let good = made(&world, "pika-2.2", Fal, "a paper boat").await;
    assert_eq!(good.attempts()[0].cost, Some(MicroUsd(PIKA)));
    let bill = listed(&world, Fal, "admin-key", period(&world)).await.unwrap();
    let right = compared(&world, Fal, &bill, period(&world)).await;
    assert_eq!((right.lines, right.billed.0, right.matched, right.recorded.0), (1, PIKA, 1, PIKA));
    assert_eq!(right.findings, []);
    world.audit().await;

    for prompt in
        ["[[sim: bill=0.9]]", "[[sim: bill=lost]]", "[[sim: bill=twice]]", "[[sim: bill=0.2000009]]"]
    {
        assert_eq!(made(&world, "pika-2.2", Fal, prompt).await.state(), State::Succeeded);
    }
    let failed = made(&world, "pika-2.2", Fal, "[[sim: fail=internal-billed]]").await;
    assert_eq!(failed.state(), State::Failed);
    made(&world, "pika-2.2", Fal, "[[sim: fail=internal]]").await;
    // More than one page of the simulator.
    for n in 0..9 {
        let body = json!({"prompt": format!("not ours {n}")});
        stray(&world, Fal, "/fal-ai/pika/v2.2/text-to-video", "Key other", &body).await;
    }
    world.advance(HOUR).await;
    let now = period(&world);
    let bill = listed(&world, Fal, "admin-key", now).await.unwrap();
    let wrong = compared(&world, Fal, &bill, now).await;
    let nine = bill.lines.iter().filter(|line| line.cost != Some(MicroUsd(900_000))).count();
    assert_eq!((bill.lines.len(), nine), (15, 14));
    assert_eq!(
        counts(&wrong),
        [
            ("unknown_remote_job", 9, 9 * PIKA),
            ("billed_twice", 1, PIKA),
            ("billed_without_result", 1, PIKA),
            ("cost_differs", 1, 700_000),
            ("not_billed", 1, PIKA),
        ]
    );
    let vain = wrong.findings.iter().find(|it| it.kind == Kind::BilledWithoutResult).unwrap();
    assert_eq!(vain.attempt, Some((failed.id().clone(), 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_admin_key_fals_requests_are_compared_by_what_exists() {
    let world = World::new().await;
    let period_of = period(&world);
    made(&world, "pika-2.2", Fal, "a paper boat").await;
    made(&world, "pika-2.2", Fal, "a [[sim: history=unlisted]]").await;
    let body = json!({"prompt": "not ours"});
    stray(&world, Fal, "/fal-ai/pika/v2.2/text-to-video", "Key other", &body).await;
    let now = Period { until: world.clock.now() + HOUR, ..period_of };
    let list = listed(&world, Fal, "key", now).await.unwrap();
    let found = compared(&world, Fal, &list, now).await;
    assert_eq!((found.lines, found.unpriced, found.recorded.0), (2, 2, 0));
    assert_eq!(counts(&found), [("unknown_remote_job", 1, 0), ("not_billed", 1, PIKA)]);

    let refused = ProviderConfig {
        base_url: Some(world.simulator(Fal).base().parse().unwrap()),
        ..ProviderConfig::new(Fal, Secret::new("key"))
    };
    let client = ProviderClient::new(vec![refused], Timeouts::default()).unwrap();
    let of = BillOf { period: now, endpoints: Vec::new(), is_admin: true };
    let refused = client.bill(Fal, &of, world.clock.now()).await.unwrap_err().to_string();
    assert_eq!(refused, "it answered 403: An admin API key is required");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replicate_and_minimax_made_is_compared_over_all_pages() {
    let world = World::new().await;
    let since = world.clock.now().minus(HOUR);
    made(&world, "veo-3.1-fast", Replicate, "a paper boat").await;
    made(&world, "minimax-h3", Minimax, "a paper boat").await;
    // Its API has no list.
    made(&world, "hailuo-2.3", Minimax, "a paper boat").await;
    let own = Period { since, until: world.clock.now() + HOUR };
    for provider in [Replicate, Minimax] {
        let list = listed(&world, provider, "key", own).await.unwrap();
        let found = compared(&world, provider, &list, own).await;
        assert_eq!((found.matched, found.findings.len()), (1, 0), "{found:?}");
    }
    for n in 0..101 {
        let input = json!({"prompt": format!("not ours {n}")});
        let body = json!({"version": "google/veo-3.1-fast", "input": input});
        stray(&world, Replicate, "/v1/predictions", "Bearer other", &body).await;
        let text = json!([{"type": "text", "text": format!("not ours {n}")}]);
        let body = json!({"model": "MiniMax-H3", "content": text, "duration": 5, "resolution": "768P", "ratio": "16:9"});
        stray(&world, Minimax, "/v2/video_generation", "Bearer other", &body).await;
    }
    for provider in [Replicate, Minimax] {
        let list = listed(&world, provider, "key", own).await.unwrap();
        assert_eq!(list.lines.len(), 102, "{provider}");
        let found = compared(&world, provider, &list, own).await;
        assert_eq!(counts(&found), [("unknown_remote_job", 101, 0)], "{provider}");
    }
}

/// A line may be about a job of long before the period: the item of its remote job leads to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_job_is_known_by_its_own_item_when_its_job_is_older_than_the_period() {
    let world = World::new().await;
    let job = made(&world, "pika-2.2", Fal, "a paper boat").await;
    let remote = job.attempts()[0].remote.clone().unwrap().id;
    let later = world.clock.now() + DAY * 5;
    let own = Period { since: later, until: later + DAY };
    let line =
        |remote: &str| Line { number: 2, remote: remote.to_owned(), at: None, cost: Some(MicroUsd(PIKA)) };
    let bill = Bill { lines: vec![line(&remote), line("nothing-of-ours")], endpoints: None };
    let found = compared(&world, Fal, &bill, own).await;
    assert_eq!((found.matched, counts(&found)), (1, vec![("unknown_remote_job", 1, PIKA)]));
}

/// A provider may date a line later than its job: on the next bill it is matched. A line without an amount is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_dated_later_is_matched_on_the_bill_that_has_it() {
    let world = World::new().await;
    let since = world.clock.now();
    made(&world, "pika-2.2", Fal, "[[sim: bill=later]]").await;
    made(&world, "hailuo-2.3", Fal, "a paper boat").await;
    let first = Period { since, until: since + HOUR * 12 };
    world.clock.advance(DAY * 2);
    let next = Period { since: first.until, until: world.clock.now() };
    let late = vec![("not_billed", 1, PIKA)];
    for (own, unpriced, recorded, want) in [(first, 1, 0, late), (next, 0, PIKA, vec![])] {
        let bill = listed(&world, Fal, "admin-key", own).await.unwrap();
        let found = compared(&world, Fal, &bill, own).await;
        assert_eq!((found.lines, found.matched, counts(&found)), (1, 1, want));
        assert_eq!((found.unpriced, found.billed.0, found.recorded.0), (unpriced, recorded, recorded));
    }
}

/// What simulators made is on no real bill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_simulators_are_no_part_of_a_real_bill() {
    let world = World::new().await;
    made(&world, "pika-2.2", Fal, "a paper boat").await;
    let real = Query { simulated: false, ..query(Fal, period(&world)) };
    assert_eq!(around(&world.table(), real).await.unwrap(), []);
}

/// The line of a job may be of a day that ends before the job was made, by another clock or in another zone; the
/// item of its remote job is not kept for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_of_the_day_after_the_period_are_known_and_none_of_them_is_missing() {
    let world = World::new().await;
    let job = made(&world, "pika-2.2", Fal, "a paper boat").await;
    let until = job.created_at().minus(HOUR * 12);
    let own = Period { since: until.minus(DAY), until };
    let known = around(&world.table(), query(Fal, own)).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(compare(&[], &known, own, MicroUsd(1)).findings, []);
    let later = Period { since: own.since.minus(DAY), until: until.minus(DAY) };
    assert_eq!(around(&world.table(), query(Fal, later)).await.unwrap(), []);
}

/// fal lists its requests by endpoint: those of routes that are no longer sold are asked for, too, and what it does
/// not know is missing in no list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_by_endpoint_has_what_ran_on_routes_that_are_no_longer_sold() {
    let world = World::new().await;
    made(&world, "pika-2.2", Fal, "a paper boat").await;
    let own = Period { until: world.clock.now() + HOUR, ..period(&world) };
    let known = around(&world.table(), query(Fal, own)).await.unwrap();
    let unsold = Catalog::with_own("[[models]]\nname = \"pika-2.2\"\nremove = true\n").unwrap();
    let list = listed_of(&world, "key", query(Fal, own), &unsold, &[]).await.unwrap();
    assert_eq!(list.lines.len(), 1);

    // Of a catalogue that is not given: its name alone is known, and fal knows neither it nor its requests.
    let other =
        Known { route: "fal/own/boat".to_owned(), remote: "not-listed".to_owned(), ..known[0].clone() };
    let other_endpoint = Known { route: "fal/fal-ai/pika/v2.2/image-to-video".to_owned(), ..other.clone() };
    let known = vec![known[0].clone(), other, other_endpoint];
    assert!(endpoints(&Catalog::built_in(), Fal, &known).contains("own/boat"));
    let list = listed_of(&world, "key", query(Fal, own), &Catalog::built_in(), &known).await.unwrap();
    assert!(list.endpoints.as_ref().is_some_and(|listed| !listed.contains("own/boat")));
    let found = compared_with(&world, Fal, &list, own, known.clone()).await;
    assert_eq!((found.matched, counts(&found)), (1, vec![]));
    let routes = list.keep_listed(Fal, &Catalog::built_in(), &mut known.clone());
    assert_eq!(routes, known[1..].iter().map(|known| known.route.clone()).collect());
    // A bill that is not by endpoint has everything.
    let all = listed_of(&world, "admin-key", query(Fal, own), &Catalog::built_in(), &known).await.unwrap();
    let found = compared_with(&world, Fal, &all, own, known).await;
    assert_eq!(counts(&found), [("not_billed", 2, 2 * PIKA)]);
}
