//! Official SDKs as clients of our simulators: what they can read, the real ones say alike.
//!
//! Ignored where nothing is said, because they come from a package index: `tests/sdk/run.sh NAME`
//! installs one and runs its test.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use domain::provider::Provider;
use harness::{Receiver, World};
use local::stack::{clock, outward};
use serde_json::json;
use shared::boot::{Clock, Env};
use sim::Options;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Runs a script of `tests/sdk/` against a simulator, whose jobs take half a second.
async fn talk(provider: Provider, script: &str) {
    let env = Env::from_process();
    let python = env.get("SDK_PYTHON").expect("tests/sdk/run.sh sets it");
    let options = Options { latency: Duration::from_millis(500), ..Options::default() };
    let simulator = sim::open(provider, None, clock(&Clock::System), options, outward().unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(script);
    let said = async {
        let mut command = Command::new(python);
        // Isolated: a script may have the name of what it imports.
        command.args(["-I", "-B"]).arg(script).arg(url).stdin(Stdio::null()).kill_on_drop(true);
        let said = command.output().await.unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    simulator.serve(listener, said).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh runwayml"]
async fn runwayml() {
    talk(Provider::Runway, "runwayml.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh openai"]
async fn openai() {
    talk(Provider::Openai, "openai.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh luma_agents"]
async fn luma_agents() {
    talk(Provider::Luma, "luma_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh lumaai"]
async fn lumaai() {
    talk(Provider::DreamMachine, "lumaai.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh replicate"]
async fn replicate() {
    talk(Provider::Replicate, "replicate.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh google_genai"]
async fn google_genai() {
    talk(Provider::Gemini, "google_genai.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh arkruntime"]
async fn arkruntime() {
    talk(Provider::Byteplus, "arkruntime.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh dashscope"]
async fn dashscope() {
    talk(Provider::Dashscope, "dashscope.py").await;
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

async fn verify(command: &mut Command, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public, file) = delivered(folder.path()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(script);
    let said = command.arg(script).args([secret, file, public]).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh webhooks"]
async fn webhooks() {
    let env = Env::from_process();
    let mut python = Command::new(env.get("SDK_PYTHON").expect("tests/sdk/run.sh sets it"));
    verify(python.args(["-I", "-B"]), "webhooks.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a package index: tests/sdk/run.sh webhooks_js"]
async fn webhooks_js() {
    verify(&mut Command::new("node"), "webhooks_js.mjs").await;
}
