//! `genmux providers`: lists provider state, and pauses or resumes a provider.

use std::fmt::Write;

use anyhow::Result;
use domain::policy::gate::Gate;
use domain::provider::Provider;
use domain::time::Timestamp;
use shared::store::gates::Known;
use shared::store::gauges::Gauges;

use super::print::{self, say};
use super::{Local, ProvidersCommand, Target};

pub(super) async fn run(command: ProvidersCommand, target: &Target, local: &Local) -> Result<()> {
    let opened = target.open(local).await?;
    let (gauges, now) = (Gauges::new(opened.table()), opened.process.clock.now());
    match command {
        ProvidersCommand::List => {
            let known = gauges.known(Provider::ALL).await?;
            let of = |provider| known.get(&provider).cloned().unwrap_or_default();
            print::text(list(Provider::ALL.iter().map(|provider| (*provider, of(*provider))), now));
        }
        ProvidersCommand::Pause { name } => {
            say!("{}", pause(&gauges, name, true, opened.process.random.u64(), now).await?);
        }
        ProvidersCommand::Resume { name } => {
            say!("{}", pause(&gauges, name, false, opened.process.random.u64(), now).await?);
        }
    }
    Ok(())
}

/// Pauses or resumes a provider; idempotent. Returns a message for the operator.
pub async fn pause(
    gauges: &Gauges,
    provider: Provider,
    pause: bool,
    stamp: u64,
    now: Timestamp,
) -> Result<String> {
    let before = gauges.gate(provider, now).await?;
    let change = |gate: &Gate| Ok::<_, shared::store::Error>(gate.paused(pause, now));
    let (after, _) = gauges.change_gate(provider, before.clone(), stamp, change).await?;
    Ok(match (pause, after.version == before.version) {
        (true, true) => format!("{provider} is already paused"),
        (true, false) => {
            format!("paused {provider}: running attempts continue; takes effect within 60 s")
        }
        (false, true) => format!("{provider} is not paused"),
        (false, false) => format!("resumed {provider}"),
    })
}

/// A table of providers, with a header line.
pub fn list(providers: impl Iterator<Item = (Provider, Known)>, now: Timestamp) -> String {
    let mut text = row(["NAME", "HEALTH", "BREAKER", "PAUSED", "SLOTS", "RETRIES"]);
    for (provider, Known { health, gate }) in providers {
        let health = health.map_or_else(|| "unknown".to_owned(), |gauge| format!("{:?}", gauge.health));
        let gate = gate.unwrap_or_else(|| Gate::new(now));
        let breaker = match gate.breaker.open {
            Some(open) => format!("open ({}) since {}", open.why.name(), open.since),
            None => "closed".to_owned(),
        };
        let slots = gate.usage.leases.values().filter(|expires| **expires > now).count();
        text += &row([
            provider.name(),
            &health.to_lowercase(),
            &breaker,
            &gate.paused_at.map_or_else(|| "-".to_owned(), |at| format!("since {at}")),
            &slots.to_string(),
            &(gate.earn(0, now).budget.left / 1_000).to_string(),
        ]);
    }
    text
}

fn row([name, health, breaker, paused, slots, retries]: [&str; 6]) -> String {
    let mut text = String::new();
    let _infallible =
        writeln!(text, "{name:<12}  {health:<9}  {breaker:<58}  {paused:<30}  {slots:<5}  {retries}");
    text
}
