//! `genmux serve`: the whole stack until Ctrl-C.

use std::path::Path;

use anyhow::Result;
use domain::provider::Provider;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Local;
use super::local::{Start, take_alone};
use super::print::say;
use crate::stack::Pool;

const PORT: u16 = 8787;

pub(super) async fn run(local: &Local) -> Result<()> {
    let start = Start::for_callers(local, PORT)?;
    let providers = providers(&start.pool);
    let folder = take_alone(&local.data)?;
    let stack = folder.start(start).await?;
    let key = folder.demo_key(&stack.operator).await.unwrap_or_else(|error| format!("none: {error:#}"));
    say!("Genmux is running. Ctrl-C stops it; its jobs are kept in {}.", local.data.display());
    say!("  API        {}", stack.api_url);
    say!("  key        {key}");
    say!("  providers  {providers}");
    say!("  try        {}", demo_command(&std::env::args().next().unwrap_or_default(), &local.data));
    tokio::spawn(stop_on_signal(stack.stopper()));
    stack.run().await?;
    say!("Stopped.");
    Ok(())
}

/// Which providers are called, and which of them for money.
fn providers(pool: &Pool) -> String {
    let list = |providers: &[Provider]| {
        providers.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(", ")
    };
    let simulated = match pool.simulated == Provider::ALL {
        true => format!("all {} simulated; real ones are called with --real NAME,…", Provider::ALL.len()),
        false => format!("simulated: {}", list(&pool.simulated)),
    };
    match (pool.real.is_empty(), pool.simulated.is_empty()) {
        (true, _) => simulated,
        (false, true) => format!("REAL, calls cost money: {}", list(&pool.real)),
        (false, false) => format!("REAL, calls cost money: {}; {simulated}", list(&pool.real)),
    }
}

/// A command that works as it stands, in the same folder.
fn demo_command(program: &str, data: &Path) -> String {
    let program = if program.is_empty() { "genmux" } else { program };
    let mut command = format!("{} demo \"a paper boat on a rainy street\"", quoted(program));
    if data != Path::new(".genmux") {
        command += &format!(" --data {}", quoted(&data.to_string_lossy()));
    }
    command
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    match word.chars().all(is_plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

async fn stop_on_signal(stopper: CancellationToken) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
    stopper.cancel();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_try_works_as_it_stands() {
        for (program, data, command) in [
            ("genmux", ".genmux", "genmux demo \"a paper boat on a rainy street\""),
            (
                "target/debug/genmux",
                "/tmp/x",
                "target/debug/genmux demo \"a paper boat on a rainy street\" --data /tmp/x",
            ),
            (
                "./a b/genmux",
                "it's",
                "'./a b/genmux' demo \"a paper boat on a rainy street\" --data 'it'\\''s'",
            ),
        ] {
            assert_eq!(demo_command(program, Path::new(data)), command);
        }
    }

    #[test]
    fn the_banner_says_which_calls_cost_money() {
        let pool = |real: &[Provider], simulated: &[Provider]| Pool::named(real, simulated).unwrap();
        assert!(providers(&pool(&[], &[])).starts_with("all 12 simulated"));
        assert_eq!(providers(&pool(&[Provider::Fal], &[])), "REAL, calls cost money: fal");
        let mixed = providers(&pool(&[Provider::Fal], &[Provider::Luma]));
        assert_eq!(mixed, "REAL, calls cost money: fal; simulated: luma");
    }
}
