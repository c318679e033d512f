//! Measures what the release binaries cost: `infra/bench` builds them and runs this.
#![expect(clippy::print_stdout, reason = "this is what a person at a terminal reads")]

mod figures;
mod functions;
mod load;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    /// Orders at a rate that does not wait for answers, against an API on this machine.
    Load(load::Args),
}

#[tokio::main]
async fn main() {
    match Args::parse().what {
        What::Functions { binaries, starts, calls } => {
            print!("{}", functions::measure(&binaries, starts, calls).await);
        }
        What::Load(args) => print!("{}", load::drive(&args).await),
    }
}
