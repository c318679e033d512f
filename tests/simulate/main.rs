//! Plays seeds: `cargo run --release -p tests --bin simulate -- --seeds 200`.
#![expect(clippy::print_stdout, reason = "this is what a person at a terminal reads")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{panic, thread};

use clap::Parser;
use harness::simulation::{self, Total};
use tokio::runtime;

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
    /// Seeds played at one time; by default as many as the machine has processors.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let threads = args.threads.or_else(|| Some(thread::available_parallelism().ok()?.get()));
    let next = AtomicU64::new(args.from);
    let total = Mutex::new(Total::default());
    let play = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.from + args.seeds {
                return;
            }
            let outcome = play(seed, args.jobs);
            let mut line = outcome.to_string();
            if !outcome.violations.is_empty() {
                line.push_str(&format!("\nagain: simulate --from {seed} --seeds 1 --jobs {}", args.jobs));
            }
            println!("{line}");
            if let Ok(mut total) = total.lock() {
                total.add(&outcome);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.unwrap_or(1) {
            scope.spawn(play);
        }
    });
    let Ok(total) = total.into_inner() else { return ExitCode::FAILURE };
    println!("{total}");
    ExitCode::from(u8::from(total.failed > 0))
}

/// A seed in which the harness gives up has failed, and the others go on.
fn play(seed: u64, jobs: usize) -> simulation::Outcome {
    let played = panic::catch_unwind(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(Box::pin(simulation::run(seed, jobs)))
    });
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let violation = text.unwrap_or_else(|| "the run has panicked".to_owned());
        simulation::Outcome { seed, violations: vec![violation], ..Default::default() }
    })
}
