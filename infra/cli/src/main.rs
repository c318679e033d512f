//! `genmux`: the local stack, a demo and operator commands.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use clap::Parser;
use genmux::command::{Cli, report, run};
use shared::boot::metrics::{Exposition, Metrics};
use shared::boot::{Env, telemetry};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Whether standard error is a terminal and colours are not disabled (<https://no-color.org>).
fn is_colourful(env: &Env) -> bool {
    stderr().is_terminal() && env.get("NO_COLOR").is_none()
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // s3s logs every 304, 404 and 412 as an error, and dynoxide every failed condition.
    let env = Env::from_process();
    let levels = telemetry::levels(
        env.get("RUST_LOG")
            .unwrap_or("warn,genmux=info,local=info,sim=info,dynoxide=error,s3s=off,s3s_fs=off"),
    );
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(is_colourful(&env));
    let metrics = Metrics(Exposition::of_process()).with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines.with_filter(levels)).with(metrics).init();
    Box::pin(run(cli)).await.unwrap_or_else(|error| {
        report(&error);
        ExitCode::FAILURE
    })
}
