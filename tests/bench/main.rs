//! Measures what the release binaries cost: `infra/bench` builds them and runs this.
#![expect(clippy::print_stdout, reason = "this is what a person at a terminal reads")]

mod copy;
mod fake;
mod figures;
mod functions;
mod load;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use harness::cost::{PATHS, table};

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// CPU and memory of each function: to its first request for work, and for a call.
    Functions {
        /// The folder of the binaries, `hello` among them.
        #[arg(long)]
        binaries: PathBuf,
        #[arg(long, default_value_t = 30)]
        starts: usize,
        #[arg(long, default_value_t = 2_000)]
        calls: usize,
    },
    /// Copies of files by `fetch`, beside a plain pipe.
    Copy {
        /// The folder of the binaries.
        #[arg(long)]
        binaries: PathBuf,
        /// The largest file, in MiB: up to 5,120, and twice that on the disk.
        #[arg(long, default_value_t = 256)]
        largest: u64,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// What one job costs on each path, and a million of them: the table of the page on prices.
    Cost,
    /// A provider in OpenAI's form that accepts every order, for a gateway beside ours.
    Fake {
        #[arg(long)]
        port: u16,
    },
    /// Orders at a rate that does not wait for answers, against an API on this machine.
    Load(load::Args),
}

#[tokio::main]
async fn main() {
    match Args::parse().what {
        What::Functions { binaries, starts, calls } => {
            print!("{}", functions::measure(&binaries, starts, calls).await);
        }
        What::Copy { binaries, largest, rounds } => {
            print!("{}", copy::measure(&binaries, largest, rounds).await);
        }
        What::Cost => {
            let mut costs = Vec::new();
            for path in PATHS {
                costs.push((path, Box::pin(path.measure()).await));
            }
            print!("{}", table(&costs));
        }
        What::Fake { port } => fake::serve(port).await,
        What::Load(args) => print!("{}", load::drive(&args).await),
    }
}
