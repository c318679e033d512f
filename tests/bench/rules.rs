//! CPU and allocations of what a function does between its calls: `infra/bench rules`.

use std::collections::BTreeMap;
use std::hint::black_box;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use domain::attempt::AttemptEvent;
use domain::catalog::Catalog;
use domain::credit::{Credits, MicroUsd};
use domain::decide::{Claim, Decision, Event};
use domain::id::{AccountId, JobId, RemoteJob};
use domain::job::Job;
use domain::price::quote;
use domain::price_book::{Buyer, PERCENT_DEFAULT, PriceBook};
use domain::provider::Provider;
use domain::request::{JobRequest, Order};
use domain::route::{Standing, choose};
use domain::time::Timestamp;
use domain::verdict::Verdict;
use harness::vectors::Case;
use http::HeaderMap;
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use shared::provider::{Answer, CallbackSecrets, CreateOrder, Settings, Token, adapter};
use signatures::{Secret, verify_signed};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const NOW: Timestamp = Timestamp::from_secs(1_796_000_000);
const ORDER: &str = r#"{"model": "pika-2.2", "prompt": "a paper boat on a lake in the evening", "duration_s": 5,
    "resolution": "720p", "aspect_ratio": "16:9", "callback_url": "https://example.com/done",
    "metadata": {"shot": "12", "scene": "lake"}}"#;
const RESULT: &str = include_str!("../../shared/fixtures/fal/result_finished.json");

fn main() {
    divan::main();
}

fn order() -> Order {
    serde_json::from_str(ORDER).expect("an order")
}

fn request(catalog: &Catalog) -> JobRequest {
    JobRequest::new(order(), catalog).expect("a request that fits")
}

fn account() -> AccountId {
    "acct_measured".parse().expect("an account")
}

fn remote() -> RemoteJob {
    RemoteJob::new("764cabcf-b745-4b3e-ae38-1200304cf45b", None).expect("a remote job")
}

/// The events that bring a job to the copy of its file, each with the job before it.
fn history(catalog: &Catalog) -> Vec<(&'static str, Job, Event)> {
    let request = request(catalog);
    let model = catalog.model(&request.model).expect("its model");
    let route = model.routes.iter().find(|route| route.provider == Provider::Fal).expect("its route");
    let claim = Event::Claimed(Claim {
        id: 7,
        provider: route.provider,
        route: route.name(),
        cost: request.cost(route),
        key_mark: Some(1),
        reports: true,
        stop_is_free: false,
        simulated: false,
    });
    let of = |event| Event::Attempt { number: 1, event };
    let verdict =
        Verdict::Finished { asset_url: "https://v3.fal.media/files/boat.mp4".to_owned(), cost: None };
    let events = [
        ("claimed", claim),
        ("accepted", of(AttemptEvent::Accepted { remote: remote(), cost: MicroUsd::from_decimal("0.2") })),
        ("ended", of(AttemptEvent::Ended { remote: Some(remote()), verdict })),
    ];
    let id = JobId::for_key(&account(), "measured");
    let price = Credits::from_micros(20_000_000);
    let mut job = Job::new(id, account(), request.model.clone(), price, request.digest(), NOW);
    let mut history = Vec::new();
    for (name, event) in events {
        let Ok(Decision::Move(moved)) = job.decide(&event, NOW) else { panic!("{name} moves the job") };
        let before = std::mem::replace(&mut job, moved.into_after());
        history.push((name, before, event));
    }
    history
}

#[divan::bench]
fn catalogue() -> Catalog {
    Catalog::built_in()
}

mod submit {
    use super::*;

    #[divan::bench]
    fn parse(bencher: Bencher<'_, '_>) {
        let catalog = Catalog::built_in();
        bencher.bench(|| request(&catalog));
    }

    #[divan::bench]
    fn price(bencher: Bencher<'_, '_>) {
        let (catalog, book, account) = (Catalog::built_in(), PriceBook::default(), account());
        let request = request(&catalog);
        bencher.bench(|| {
            quote(&request, &catalog, &book, Buyer { account: &account, percent: PERCENT_DEFAULT })
        });
    }

    #[divan::bench]
    fn digest(bencher: Bencher<'_, '_>) {
        let request = request(&Catalog::built_in());
        bencher.bench(|| request.digest());
    }
}

#[divan::bench]
fn route(bencher: Bencher<'_, '_>) {
    let catalog = Catalog::built_in();
    let (request, history) = (request(&catalog), history(&catalog));
    let standings: BTreeMap<_, _> =
        Provider::ALL.iter().map(|provider| (*provider, Standing::default())).collect();
    bencher.bench(|| choose(&history[0].1, &request, &catalog, &standings).is_ok());
}

#[divan::bench(args = ["claimed", "accepted", "ended"])]
fn decide(bencher: Bencher<'_, '_>, name: &str) {
    let history = history(&Catalog::built_in());
    let (_, job, event) = history.iter().find(|(of, ..)| *of == name).expect("an event of this name");
    bencher.bench(|| job.decide(event, NOW));
}

mod item {
    use super::*;

    fn job() -> Job {
        history(&Catalog::built_in()).pop().expect("a job with an attempt").1
    }

    #[divan::bench]
    fn encode(bencher: Bencher<'_, '_>) {
        let job = job();
        bencher.bench(|| to_item(&job).expect("an item"));
    }

    #[divan::bench]
    fn decode(bencher: Bencher<'_, '_>) {
        let item = to_item(job()).expect("an item");
        bencher.with_inputs(|| item.clone()).bench_values(|item| from_item::<Job>(item).expect("a job"));
    }
}

mod provider {
    use super::*;

    #[divan::bench]
    fn create_call(bencher: Bencher<'_, '_>) {
        let catalog = Catalog::built_in();
        let request = request(&catalog);
        let route = catalog.route(&choose_fal(&catalog)).expect("a route");
        let (adapter, settings) = (adapter(Provider::Fal), Settings::default());
        bencher.bench(|| adapter.create(&CreateOrder::new(&request, route, "job_x.1"), &settings).is_some());
    }

    fn choose_fal(catalog: &Catalog) -> String {
        let model = catalog.model("pika-2.2").expect("a model");
        model.routes.iter().find(|route| route.provider == Provider::Fal).expect("a route").name()
    }

    #[divan::bench]
    fn result(bencher: Bencher<'_, '_>) {
        let fixture: serde_json::Value = serde_json::from_str(RESULT).expect("a fixture");
        let body = Bytes::from(fixture["answer"]["json"].to_string());
        let answer = Answer { status: 200, headers: HeaderMap::new(), body };
        let (adapter, remote) = (adapter(Provider::Fal), remote());
        bencher.bench(|| black_box(adapter.read_result(&remote, &answer)));
    }
}

mod signature {
    use super::*;

    /// The first accepted delivery of each scheme.
    fn deliveries() -> BTreeMap<String, Case> {
        let lines = include_str!("../fixtures/vectors.jsonl").lines();
        let cases = lines.map(|line| serde_json::from_str::<Case>(line).expect("a case"));
        let accepted = cases.filter(|case| case.gate == "must_accept");
        let mut first = BTreeMap::new();
        for case in accepted {
            first.entry(case.scheme.clone()).or_insert(case);
        }
        first
    }

    fn schemes() -> Vec<String> {
        deliveries().into_keys().collect()
    }

    #[divan::bench(args = schemes())]
    fn verify(bencher: Bencher<'_, '_>, scheme: &str) {
        let case = &deliveries()[scheme];
        let signing = case.signing().expect("usable keys");
        let (headers, body) = (case.headers().expect("headers"), case.body());
        let verified = || verify_signed(&signing, &case.url, &headers, body.clone(), case.now_unix);
        assert!(verified().is_ok(), "{scheme}");
        bencher.bench(verified);
    }

    #[divan::bench]
    fn callback_token(bencher: Bencher<'_, '_>) {
        let secrets = CallbackSecrets::new(vec![Secret::new("measured".repeat(4))]).expect("a secret");
        let token = Token { job: JobId::from_bytes([7; 16]), attempt: 1, provider: Provider::Fal };
        bencher.bench(|| black_box(secrets.sign(&token)));
    }
}
