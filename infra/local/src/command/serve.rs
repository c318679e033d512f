//! `genmux serve`: the whole stack until Ctrl-C.

use anyhow::Result;
use shared::domain::provider::Provider;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Serve;
use super::local::take_alone;
use crate::stack::Stack;

pub(super) async fn run(args: &Serve) -> Result<()> {
    let folder = take_alone(args)?;
    let stack = folder.start(args.port, !args.no_webhooks).await?;
    let key = folder.demo_key(&stack.operator).await?;
    println!("Genmux is running. Ctrl-C stops it; its jobs are kept in {}.", args.data.display());
    println!("  API        {}", stack.api_url);
    println!("  key        {key}");
    println!("  providers  {}", providers(&stack));
    println!("  try        cargo run -- demo \"a paper boat on a rainy street\"");
    tokio::spawn(stop_on_signal(stack.stopper()));
    stack.run().await?;
    println!("Stopped.");
    Ok(())
}

fn providers(stack: &Stack) -> String {
    let kind = |provider| if stack.simulators.contains_key(&provider) { "simulated" } else { "real" };
    let named = |provider: &Provider| format!("{provider} ({})", kind(*provider));
    Provider::ALL.iter().map(named).collect::<Vec<_>>().join(", ")
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
