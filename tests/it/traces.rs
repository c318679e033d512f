//! Traces: all that is done for a job is one tree, and a collector that fails costs nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::id::JobId;
use domain::job::State;
use domain::trace::{TraceId, Traceparent};
use harness::{Receiver, World};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::boot::Env;
use shared::operate::trace;
use shared::store::keystore::Scope;
use tokio::time::Instant;

use crate::console::Browser;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A world whose functions send their spans to this collector.
async fn traced(collector: &str) -> World {
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector), ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of%20ours")];
    World::with(|options| options.env = Env::from_pairs(variables)).await
}

/// A job with a callback URL, of a caller that traces.
async fn job(world: &World, model: &str, callback: &str, traceparent: &str) -> (JobId, String) {
    let body = json!({"model": model, "prompt": "a boat", "callback_url": callback});
    let headers = [("traceparent", traceparent)];
    let answer = world.call(reqwest::Method::POST, "/v1/jobs", &headers, Some(&body.to_string())).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let id: JobId = answer.text("/id").parse().unwrap();
    world.finish(&id).await;
    world.drain().await;
    (id, answer.headers["traceparent"].to_str().unwrap().to_owned())
}

/// Each span with the function that sent it.
fn spans(collector: &Receiver) -> Vec<(String, Value)> {
    let mut spans = Vec::new();
    for sent in collector.at("/v1/traces") {
        assert_eq!((sent.header("content-type"), sent.header("x-key")), ("application/json", "of ours"));
        let body = sent.json();
        for resource in body["resourceSpans"].as_array().unwrap() {
            let attributes = resource["resource"]["attributes"].as_array().unwrap();
            let name = attributes.iter().find(|attribute| attribute["key"] == "faas.name").unwrap();
            let name = name["value"]["stringValue"].as_str().unwrap();
            let of_scope = resource["scopeSpans"][0]["spans"].as_array().unwrap();
            spans.extend(of_scope.iter().map(|span| (name.to_owned(), span.clone())));
        }
    }
    spans
}

/// A world, its collector and its customer, after two jobs.
pub(crate) async fn played() -> (World, Receiver, Receiver, [(JobId, String); 2]) {
    let (collector, customer) = (Receiver::start().await, Receiver::start().await);
    let world = traced(&collector.base).await;
    let by_webhook = job(&world, "pika-2.2", &customer.url("/done"), CALLER).await;
    let by_polls = job(&world, "gen-4.5", &customer.url("/done"), "nonsense").await;
    (world, collector, customer, [by_webhook, by_polls])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_functions_do_for_a_job_is_one_tree() {
    let (world, collector, customer, jobs) = played().await;
    let all = spans(&collector);
    for ((id, answered), link) in jobs.iter().zip([Some(CALLER), None]) {
        assert_eq!(world.state(id).await, State::Succeeded);
        let trace = TraceId::of_job(id).to_string();
        let spans: Vec<_> = all.iter().filter(|(_, span)| span["traceId"] == *trace).collect();
        let by_id: BTreeMap<_, _> =
            spans.iter().map(|(_, span)| (span["spanId"].as_str().unwrap(), span)).collect();
        assert_eq!(by_id.len(), spans.len(), "each has an id of its own");
        let roots: Vec<_> = spans.iter().filter(|(_, span)| span["parentSpanId"].is_null()).collect();
        let [(function, root)] = roots[..] else { panic!("one root: {roots:?}") };
        assert_eq!((function.as_str(), &root["name"]), ("genmux-submit", &json!("POST /v1/jobs")));
        let parsed: Traceparent = answered.parse().unwrap();
        assert_eq!(
            (root["spanId"].as_str(), &root["traceId"]),
            (Some(&*parsed.span.to_string()), &json!(trace))
        );
        let linked = root["links"][0].as_object().map(|link| {
            format!("00-{}-{}-01", link["traceId"].as_str().unwrap(), link["spanId"].as_str().unwrap())
        });
        assert_eq!(linked.as_deref(), link);
        for (_, span) in spans.iter().filter(|(_, span)| !span["parentSpanId"].is_null()) {
            assert!(by_id.contains_key(span["parentSpanId"].as_str().unwrap()), "no parent: {span}");
            let time = |name: &str| span[name].as_str().unwrap().parse::<i128>().unwrap();
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
        }
        let functions: BTreeSet<_> = spans.iter().map(|(function, _)| function.as_str()).collect();
        for name in ["submit", "dispatch", "fetch", "notify", "deliver"] {
            assert!(functions.contains(&*format!("genmux-{name}")), "{name} is not in {functions:?}");
        }
        let names: BTreeSet<_> = spans.iter().map(|(_, span)| span["name"].as_str().unwrap()).collect();
        assert!(names.is_superset(&["create", "dispatch.v1", "deliver"].into()), "{names:?}");
        // The customer's part hangs below ours.
        let called =
            customer.at("/done").into_iter().find(|one| one.json()["data"]["id"] == id.as_str()).unwrap();
        let sent: Traceparent = called.header("traceparent").parse().unwrap();
        assert_eq!(sent.trace, TraceId::of_job(id));
        assert!(by_id.contains_key(&*sent.span.to_string()), "{sent}");
    }
    assert!(all.iter().any(|(function, _)| function == "genmux-webhook"), "the webhook of the first");
    let text = format!("{all:?}");
    assert!(!text.contains("a boat") && !text.contains("gmx_") && !text.contains(&customer.base));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_the_headers_are_the_same_and_nothing_is_sent() {
    let (world, customer) = (World::new().await, Receiver::start().await);
    let (id, answered) = job(&world, "pika-2.2", &customer.url("/done"), CALLER).await;
    let trace = TraceId::of_job(&id);
    assert_eq!(answered.parse::<Traceparent>().unwrap().trace, trace);
    let called = customer.at("/done").pop().unwrap();
    assert_eq!(called.header("traceparent").parse::<Traceparent>().unwrap().trace, trace);
    let status = world.status(&id).await;
    assert_eq!(status.headers["traceparent"].to_str().unwrap().parse::<Traceparent>().unwrap().trace, trace);
    let other = world.call(reqwest::Method::GET, "/v1/models", &[], None).await;
    assert!(!other.headers.contains_key("traceparent"), "about no job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_fails_or_hangs_is_tried_once_in_a_while_and_changes_nothing() {
    let (collector, customer) = (Receiver::start().await, Receiver::start().await);
    collector.answers("/v1/traces", 500, &[], "");
    // It accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    for url in [&collector.base, &silent_url] {
        let world = traced(url).await;
        let started = Instant::now();
        for _ in 0..3 {
            let (id, _) = job(&world, "pika-2.2", &customer.url("/done"), CALLER).await;
            assert_eq!(world.state(&id).await, State::Succeeded);
        }
        // Each of seven functions waited once for 300 ms; the rest is the test's own work.
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        world.audit().await;
    }
    let tries = collector.count("/v1/traces");
    assert!((1..=17).contains(&tries), "one try of each function, then a pause: {tries}");
}

/// A page of the console submits as well; an order that is refused is in no job's trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_the_console_has_a_root_and_a_refused_order_has_no_trace() {
    let collector = Receiver::start().await;
    let world = traced(&collector.base).await;
    let browser = Browser::signed_in(&world, &world.key).await;
    let fields = [("form", "f1"), ("model", "pika-2.2"), ("prompt", "a boat")];
    let made = browser.post("/playground", &fields).await.location;
    let id: JobId = made.strip_prefix("/console/jobs/").unwrap().parse().unwrap();
    world.finish(&id).await;
    let trace = TraceId::of_job(&id).to_string();
    let of_job: Vec<_> =
        spans(&collector).into_iter().filter(|(_, span)| span["traceId"] == *trace).collect();
    let roots: Vec<_> = of_job.iter().filter(|(_, span)| span["parentSpanId"].is_null()).collect();
    let [(function, _)] = roots[..] else { panic!("one root: {of_job:?}") };
    assert_eq!(function, "genmux-console");

    let before = spans(&collector).len();
    let poor = world.new_key(&"acct_poor".parse().unwrap(), vec![Scope::Write]).await;
    let (poor, order) =
        (format!("Bearer {poor}"), json!({"model": "pika-2.2", "prompt": "a boat"}).to_string());
    let headers = [("authorization", &*poor), ("idempotency-key", "refused")];
    let refused = world.call(reqwest::Method::POST, "/v1/jobs", &headers, Some(&order)).await;
    assert_eq!((refused.status.as_u16(), refused.headers.get("traceparent")), (402, None), "{refused:?}");
    assert_eq!(spans(&collector).len(), before);
    world.audit().await;
}

/// An event has ended when the last of its deliveries has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_lasts_until_its_last_delivery_has_ended() {
    let (world, arrives, fails) = (World::new().await, Receiver::start().await, Receiver::start().await);
    fails.answers("/hook", 500, &[], "");
    for url in [arrives.url("/hook"), fails.url("/hook")] {
        let body = json!({"url": url, "types": ["job.succeeded"]}).to_string();
        let made = world.call(reqwest::Method::POST, "/v1/endpoints", &[], Some(&body)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    }
    let id = world.submit("pika-2.2", "a boat", "lasts").await;
    let job = world.finish(&id).await;
    world.drain().await;
    let root = trace::read(&world.table(), &id).await.unwrap().unwrap();
    assert_eq!(root.end, job.ended_at());
    let event = root.children.iter().find(|node| node.name.starts_with("event ")).unwrap();
    assert_eq!((event.children.len(), event.end), (2, None), "{event:?}");
    assert!(event.children.iter().any(|delivery| delivery.end.is_some()), "{event:?}");
}
