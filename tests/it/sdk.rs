//! Official SDKs as clients of our simulators: what they can read, the real ones say alike. And of our API.
//!
//! Ignored where nothing is said, because they come from a package index: `tests/sdk/run.sh NAME`
//! installs one and runs its test.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::payment::Processor;
use domain::provider::Provider;
use harness::platform::{KINDS, source};
use harness::{Platform, Receiver, World};
use local::stack::{clock, outward};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::json;
use shared::boot::metrics::TABLE;
use shared::boot::{Clock, Env};
use sim::Options;
use sim::channels::Channels;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::dialects::IMAGE;
use crate::payments::Shop;

/// The script that the environment names, before its arguments.
fn script() -> Command {
    let env = Env::from_process();
    let variable = |name| env.get(name).expect("tests/sdk/run.sh sets it").to_owned();
    let (program, script) = (variable("SDK_PROGRAM"), variable("SDK_SCRIPT"));
    let mut command = Command::new(program);
    if script.ends_with(".py") {
        // Isolated: a script may have the name of what it imports.
        command.args(["-I", "-B"]);
    }
    command.arg(script).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs the script that `tests/sdk/run.sh` names against a simulator, whose jobs take half a second.
async fn talk(provider: Provider) {
    let options = Options { latency: Duration::from_millis(500), ..Options::default() };
    let simulator = sim::open(provider, None, clock(&Clock::System), options, outward().unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let said = async {
        let mut command = script();
        command.arg(url);
        let said = command.output().await.unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    simulator.serve(listener, said).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh runwayml"]
async fn runwayml() {
    talk(Provider::Runway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh openai"]
async fn openai() {
    talk(Provider::Openai).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh luma_agents"]
async fn luma_agents() {
    talk(Provider::Luma).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh lumaai"]
async fn lumaai() {
    talk(Provider::DreamMachine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh replicate"]
async fn replicate() {
    talk(Provider::Replicate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh google_genai"]
async fn google_genai() {
    talk(Provider::Gemini).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh ai_sdk_xai"]
async fn ai_sdk_xai() {
    talk(Provider::Xai).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh arkruntime"]
async fn arkruntime() {
    talk(Provider::Byteplus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh dashscope"]
async fn dashscope() {
    talk(Provider::Dashscope).await;
}

/// The clients of the vendors of channels, against their one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh channels"]
async fn channels() {
    vendors(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh google"]
async fn google() {
    let credentials = Channels::credentials().into_iter();
    let account = credentials.filter(|(name, _)| *name == "GOOGLE_SERVICE_ACCOUNT_JSON");
    vendors(&[account.map(|(_, file)| file).collect()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh apns"]
async fn apns() {
    let credentials = Channels::credentials().into_iter();
    let account: std::collections::BTreeMap<_, _> = credentials.collect();
    vendors(&[json!(account).to_string()]).await;
}

/// Runs the script against the vendors of channels, with more arguments.
async fn vendors(arguments: &[String]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let said = async {
        let said = script().arg(url).args(arguments).output().await.unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    Channels::new(clock(&Clock::System)).serve(listener, said).await;
}

/// What an endpoint with both kinds of signatures was sent: its secret, its public key, and a file.
async fn delivered(folder: &Path) -> (String, String, String) {
    let options = |options: &mut local::stack::Options| options.clock = Clock::System;
    let (world, receiver) = (World::with(options).await, Receiver::start().await);
    let body = json!({"url": receiver.url("/hook"), "types": ["job.*"], "v1a": true}).to_string();
    let made = world.call(reqwest::Method::POST, "/v1/endpoints", &[], Some(&body)).await;
    let order = json!({"model": "gen-4.5", "prompt": "a boat [[sim: fail=content_policy, latency=0]]"});
    let id = world.post_job(&order, "told").await.text("/id").parse().unwrap();
    while !world.job(&id).await.state().is_terminal() || receiver.count("/hook") < 2 {
        world.drain().await;
        world.sweep().await;
    }
    let sent = receiver.at("/hook").into_iter().map(|one| {
        let headers = one.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let headers: std::collections::BTreeMap<_, _> = headers.collect();
        json!({"headers": headers, "body": String::from_utf8(one.body.to_vec()).unwrap()})
    });
    let file = folder.join("deliveries.json");
    std::fs::write(&file, serde_json::Value::from_iter(sent).to_string()).unwrap();
    (made.text("/secret").to_owned(), made.text("/public_key").to_owned(), file.to_str().unwrap().to_owned())
}

async fn verify() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public, file) = delivered(folder.path()).await;
    let said = script().args([secret, file, public]).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh webhooks"]
async fn webhooks() {
    verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh webhooks_js"]
async fn webhooks_js() {
    verify().await;
}

/// Requests of our test platforms for the official verifiers, and where the official signers send theirs.
async fn platforms(folder: &Path) -> (World, String) {
    let ours: Vec<_> = KINDS.iter().map(|kind| Platform::new(kind, 1)).collect();
    let list = ours.iter().map(|platform| source("acct_test", platform.kind, &[platform]));
    let list = serde_json::Value::from_iter(list).to_string();
    let world = World::with(|options| {
        options.clock = Clock::System;
        options.env = Env::from_pairs([("INBOUND_SOURCES", &list)]);
    })
    .await;
    let now = Clock::System.now().as_secs();
    let told = ours.iter().map(|platform| {
        let path = crate::inbound::path(&world, "acct_test", platform.kind) + &platform.query();
        let (url, body) = (format!("{}{path}", world.stack.api_url), platform.body("id_1", "paid"));
        let headers = platform.headers(&url, "id_1", "paid", &body, now);
        let headers: std::collections::BTreeMap<_, _> = headers.into_iter().collect();
        json!({"kind": platform.kind, "secret": platform.secret(), "url": url, "headers": headers, "body": body})
    });
    let file = folder.join("platforms.json");
    std::fs::write(&file, serde_json::Value::from_iter(told).to_string()).unwrap();
    (world, file.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh inbound"]
async fn inbound() {
    let folder = tempfile::tempdir().unwrap();
    let (_world, file) = platforms(folder.path()).await;
    let said = script().arg(file).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// A proxy before the API that drops the first answer to an accepted call which makes a video: it answers 503 in
/// its place. It has an image as well.
async fn lossy(api: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (dropped, client) = (Arc::new(AtomicBool::new(false)), reqwest::Client::new());
    let pass = async move |request: axum::extract::Request| {
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/boat.png" {
            return (StatusCode::OK, HeaderMap::new(), axum::body::Body::from(IMAGE));
        }
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let mut headers = parts.headers;
        headers.remove("host");
        let makes = parts.method == "POST" && !parts.uri.path().ends_with("/status");
        let call = client.request(parts.method, format!("{api}{}", parts.uri)).headers(headers);
        let answer = call.body(body).send().await.unwrap();
        let status = answer.status();
        if makes && status.is_success() && !dropped.swap(true, Ordering::SeqCst) {
            return (StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new(), axum::body::Body::empty());
        }
        let mut headers = answer.headers().clone();
        for name in ["content-length", "transfer-encoding"] {
            headers.remove(name);
        }
        (status, headers, axum::body::Body::from(answer.bytes().await.unwrap()))
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(pass)).await });
    url
}

/// Runs an official client against the API itself, whose remote jobs take half a second.
async fn calls_us() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("boat.png");
    std::fs::write(&image, IMAGE).unwrap();
    let options = |options: &mut local::stack::Options| {
        (options.clock, options.latency) = (Clock::System, Duration::from_millis(500));
    };
    let world = World::with(options).await;
    let (api, before) = (world.stack.api_url.clone(), world.balance().await);
    let proxy = lossy(api.clone()).await;
    let said = async {
        let said = script().args([&api, &proxy, &world.key]).arg(&image).output().await.unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    let mut said = std::pin::pin!(said);
    // What the stack does by itself when it runs, a step at a time.
    loop {
        tokio::select! {
            () = &mut said => break,
            () = world.drain() => tokio::task::yield_now().await,
        }
    }
    while world.stack.next_due().unwrap().is_some() {
        world.drain().await;
    }
    assert!(world.balance().await < before);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh openai_videos"]
async fn openai_videos() {
    calls_us().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh openai_videos_js"]
async fn openai_videos_js() {
    calls_us().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh litellm_proxy"]
async fn litellm_proxy() {
    calls_us().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh ai_gateway"]
async fn ai_gateway() {
    calls_us().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh sockets"]
async fn sockets() {
    calls_us().await;
}

/// A form of ours as boto3 makes and signs it, and the bucket as boto3 knows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh s3_forms"]
async fn s3_forms() {
    let world = World::new().await;
    let form = crate::uploads::ask(&world, &[], &crate::uploads::announced(IMAGE)).await;
    let endpoint = world.operator.env.get("AWS_ENDPOINT_URL_S3").unwrap();
    let mut command = script();
    command.args([form.body.to_string(), endpoint.to_owned(), data_encoding::HEXLOWER.encode(IMAGE)]);
    let said = command.output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// OpenTelemetry's own definition of what a collector is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh otlp"]
async fn otlp() {
    let (_world, collector, _customer, jobs) = crate::traces::played().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let bodies: Vec<_> = collector.at("/v1/traces").iter().map(harness::receiver::Received::json).collect();
    std::fs::write(file.path(), json!(bodies).to_string()).unwrap();
    let traces = jobs.map(|(id, _)| domain::trace::TraceId::of_job(&id).to_string());
    let said = script().arg(file.path()).args(traces).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// On one thread, whose metrics are this test's alone.
#[tokio::test]
#[ignore = "needs a package index: tests/sdk/run.sh prometheus"]
async fn prometheus() {
    let (_world, log, _receiver) = crate::metrics::played().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), crate::metrics::exposed(&log).text()).unwrap();
    let said = script().arg(file.path()).arg(TABLE.len().to_string()).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Runs Stripe's client for a script's language, which refunds a part of what our own flow has paid.
async fn at_stripe() {
    let (world, file) = (World::new().await, tempfile::NamedTempFile::new().unwrap());
    let shop = Shop::of(&world).await;
    let bought = shop.bought(Processor::Stripe, "sdk").await.body;
    shop.pay(&bought).await;
    let invoked = world.wire.invocations();
    let (_, webhook) = invoked.into_iter().find(|(name, _)| name == "webhook").expect("a webhook");
    let paid = json!({
        "session": shop.session(&bought),
        "body": webhook["body"],
        "signature": webhook["headers"]["stripe-signature"],
    });
    std::fs::write(file.path(), paid.to_string()).unwrap();
    let said = script().arg(payment_url(&world)).arg(file.path()).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    world.drain().await;
    // What it refunded is taken back.
    assert_eq!(shop.balance().await, 700_000_000);
    world.audit().await;
}

/// Where the simulated payment processors are.
fn payment_url(world: &World) -> String {
    world.stack.payments_url().trim_end_matches("/pay/").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh payments"]
async fn payments() {
    at_stripe().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh payments_js"]
async fn payments_js() {
    at_stripe().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh paypal"]
async fn paypal() {
    let world = World::new().await;
    let shop = Shop::of(&world).await;
    let bought = shop.bought(Processor::Paypal, "sdk").await.body;
    let payment = shop.pay(&bought).await;
    let said = script().args([payment_url(&world), payment]).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    world.drain().await;
    // What it refunded is taken back.
    assert_eq!(shop.balance().await, 700_000_000);
    world.audit().await;
}
