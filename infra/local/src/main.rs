//! `genmux`: the local stack, a demo and an operator's commands.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use clap::Parser;
use genmux::command::{Cli, run};
use shared::boot::{Env, telemetry};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    // s3s reports every ordinary 304, 404 and 412 as an error.
    let env = Env::from_process();
    let levels = telemetry::levels(env.get("RUST_LOG").unwrap_or("warn,genmux=info,s3s=off,s3s_fs=off"));
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(levels).init();
    run(cli).await
}
