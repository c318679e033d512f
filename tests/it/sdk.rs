//! Official SDKs as clients of our simulators: what they can read, the real ones say alike.
//!
//! Ignored where nothing is said, because they come from a package index: `tests/sdk/run.sh NAME`
//! installs one and runs its test.

use std::process::Stdio;
use std::time::Duration;

use domain::provider::Provider;
use local::stack::{clock, outward};
use shared::boot::{Clock, Env};
use sim::Options;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Runs the script that `tests/sdk/run.sh` names against a simulator, whose jobs take half a second.
async fn talk(provider: Provider) {
    let env = Env::from_process();
    let variable = |name| env.get(name).expect("tests/sdk/run.sh sets it");
    let (program, script) = (variable("SDK_PROGRAM"), variable("SDK_SCRIPT"));
    let options = Options { latency: Duration::from_millis(500), ..Options::default() };
    let simulator = sim::open(provider, None, clock(&Clock::System), options, outward().unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let said = async {
        let mut command = Command::new(program);
        if script.ends_with(".py") {
            // Isolated: a script may have the name of what it imports.
            command.args(["-I", "-B"]);
        }
        command.arg(script).arg(url).stdin(Stdio::null()).kill_on_drop(true);
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
