//! `genmux`: the local stack, a demo and an operator's commands.

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use genmux::command::{Cli, run};
use shared::boot::{Env, telemetry};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Standard error is a terminal that may be coloured (<https://no-color.org>).
fn is_colourful(env: &Env) -> bool {
    stderr().is_terminal() && env.get("NO_COLOR").is_none()
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // s3s reports every ordinary 304, 404 and 412 as an error, and dynoxide every condition that does
    // not hold, as in each replay.
    let env = Env::from_process();
    let levels = telemetry::levels(
        env.get("RUST_LOG").unwrap_or("warn,genmux=info,dynoxide=error,s3s=off,s3s_fs=off"),
    );
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(is_colourful(&env));
    tracing_subscriber::registry().with(lines).with(levels).init();
    Box::pin(run(cli)).await.unwrap_or_else(|error| {
        // Its causes in one line, and never a backtrace: it is a person's mistake or the machine's.
        let _nobody_reads = writeln!(stderr(), "Error: {error:#}");
        ExitCode::FAILURE
    })
}
