//! `genmux`: the local stack, a demo and an operator's commands.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use clap::Parser;
use genmux::command::{Cli, run};
use shared::boot::Env;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    // s3s reports every ordinary 304, 404 and 412 as an error.
    let filter =
        Env::from_process().get("RUST_LOG").unwrap_or("warn,genmux=info,s3s=off,s3s_fs=off").to_owned();
    let lines = tracing_subscriber::fmt().with_writer(stderr).with_ansi(stderr().is_terminal());
    lines.with_env_filter(EnvFilter::new(filter)).init();
    run(cli).await
}
