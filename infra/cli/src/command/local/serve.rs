//! `genmux serve`: runs the local stack until Ctrl-C.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use domain::provider::Provider;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Local, Start, lock_exclusively};
use crate::command::print::{Output, say};
use ::local::stack::Pool;

const PORT: u16 = 8787;

pub(in crate::command) async fn run(local: &Local, as_json: bool) -> Result<ExitCode> {
    let start = Start::for_callers(local, PORT)?;
    let (providers, pool) = (providers(&start.pool), start.pool.clone());
    let folder = lock_exclusively(&local.data)?;
    let stack = folder.start(start).await?;
    let key = folder.demo_key(&stack.operator).await.unwrap_or_else(|error| format!("none: {error:#}"));
    // Before the banner, whose reader may stop the stack at once.
    stop_on_signal(stack.stopper())?;
    let url = &stack.api_url;
    let banner = format!(
        "Genmux is running. Ctrl-C stops it; its data is in {}.\n  API        {url}\n  console    {url}/console\n  \
         key        {key}\n  providers  {providers}\n  payments   {} (simulated)\n  try        {}",
        local.data.display(),
        stack.payments_url(),
        demo_command(&std::env::args().next().unwrap_or_default(), &local.data)
    );
    let real: Vec<_> = pool.real.iter().map(|provider| provider.name()).collect();
    Output::new(
        banner,
        json!({"api": url, "key": key, "payments": stack.payments_url(), "data": local.data, "real": real}),
    )
    .print(as_json);
    stack.run().await?;
    if !as_json {
        say!("Stopped.");
    }
    Ok(ExitCode::SUCCESS)
}

/// The providers: simulated, or real and billed.
fn providers(pool: &Pool) -> String {
    let list = |providers: &[Provider]| {
        providers.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(", ")
    };
    let simulated = match pool.simulated == Provider::ALL {
        true => format!("all {} simulated; --real NAME,… calls real ones", Provider::ALL.len()),
        false => format!("simulated: {}", list(&pool.simulated)),
    };
    match (pool.real.is_empty(), pool.simulated.is_empty()) {
        (true, _) => simulated,
        (false, true) => format!("REAL, calls cost money: {}", list(&pool.real)),
        (false, false) => format!("REAL, calls cost money: {}; {simulated}", list(&pool.real)),
    }
}

/// A demo command that can be copied to a shell in the same folder.
fn demo_command(program: &str, data: &Path) -> String {
    let program = if program.is_empty() { "genmux" } else { program };
    let mut command = format!("{} demo \"a paper boat on a rainy street\"", quoted(program));
    if data != Path::new(".genmux") {
        command += &format!(" --data {}", quoted(&data.to_string_lossy()));
    }
    command
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    match word.chars().all(is_plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Catches Ctrl-C and SIGTERM from now on; either stops the stack.
fn stop_on_signal(stopper: CancellationToken) -> std::io::Result<()> {
    let [mut interrupted, mut terminated] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        stopper.cancel();
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_command_is_quoted_for_a_shell() {
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
        assert!(providers(&pool(&[], &[])).starts_with("all 15 simulated"));
        assert_eq!(providers(&pool(&[Provider::Fal], &[])), "REAL, calls cost money: fal");
        let mixed = providers(&pool(&[Provider::Fal], &[Provider::Luma]));
        assert_eq!(mixed, "REAL, calls cost money: fal; simulated: luma");
    }
}
