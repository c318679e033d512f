//! Plays seeds until one fails: `cargo run --release -p tests --bin simulate -- --seeds 200`.
#![expect(clippy::print_stdout, reason = "this is what a person at a terminal reads")]

use std::process::ExitCode;

use clap::Parser;
use harness::simulation;

#[derive(Debug, Parser)]
struct Args {
    /// How many seeds to play.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them: with `--seeds 1`, the one that a failure has printed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Jobs of each seed.
    #[arg(long, default_value_t = 500)]
    jobs: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let (mut jobs, mut effects, mut failed) = (0, 0, 0);
    for seed in args.from..args.from + args.seeds {
        let outcome = Box::pin(simulation::run(seed, args.jobs)).await;
        println!("{outcome}");
        if !outcome.violations.is_empty() {
            println!("again: simulate --from {seed} --seeds 1 --jobs {}", args.jobs);
            failed += 1;
        }
        jobs += outcome.jobs;
        effects += outcome.effects;
    }
    println!("{} seeds, {jobs} jobs, {effects} effects: {failed} seeds with violations", args.seeds);
    ExitCode::from(u8::from(failed > 0))
}
