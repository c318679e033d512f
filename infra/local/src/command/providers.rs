//! `genmux providers`: lists provider state, and pauses or resumes a provider.

use std::fmt::Write;

use anyhow::Result;
use domain::policy::admission::Admission;
use domain::provider::Provider;
use domain::time::Timestamp;
use shared::store::admission::{AdmissionStore, ProviderState};

use super::print::{self, say};
use super::{Local, ProvidersCommand, Target};

pub(super) async fn run(command: ProvidersCommand, target: &Target, local: &Local) -> Result<()> {
    let opened = target.open(local).await?;
    let (store, now) = (AdmissionStore::new(opened.table()), opened.process.clock.now());
    match command {
        ProvidersCommand::List => {
            let known = store.states(Provider::ALL).await?;
            let of = |provider| known.get(&provider).cloned().unwrap_or_default();
            print::text(list(Provider::ALL.iter().map(|provider| (*provider, of(*provider))), now));
        }
        ProvidersCommand::Pause { name } => {
            say!("{}", pause(&store, name, true, opened.process.random.u64(), now).await?);
        }
        ProvidersCommand::Resume { name } => {
            say!("{}", pause(&store, name, false, opened.process.random.u64(), now).await?);
        }
    }
    Ok(())
}

/// Pauses or resumes a provider; idempotent. Returns a message for the operator.
pub async fn pause(
    store: &AdmissionStore,
    provider: Provider,
    pause: bool,
    stamp: u64,
    now: Timestamp,
) -> Result<String> {
    let before = store.admission(provider, now).await?;
    let change = |admission: &Admission| Ok::<_, shared::store::Error>(admission.paused(pause, now));
    let (after, _) = store.change(provider, before.clone(), stamp, change).await?;
    Ok(match (pause, after.version == before.version) {
        (true, true) => format!("{provider} is already paused"),
        (true, false) => {
            format!("paused {provider}: running attempts continue; takes effect within 60 s")
        }
        (false, true) => format!("{provider} is not paused"),
        (false, false) => format!("resumed {provider}"),
    })
}

/// A table of providers, with a line of headings.
pub fn list(providers: impl Iterator<Item = (Provider, ProviderState)>, now: Timestamp) -> String {
    let mut text = row(["NAME", "HEALTH", "BREAKER", "PAUSED", "SLOTS", "RETRIES"]);
    for (provider, ProviderState { health, admission }) in providers {
        let health = health.map_or_else(|| "unknown".to_owned(), |gauge| format!("{:?}", gauge.health));
        let admission = admission.unwrap_or_else(|| Admission::new(now));
        let breaker = match admission.breaker.open {
            Some(open) => format!("open ({}) since {}", open.why.name(), open.since),
            None => "closed".to_owned(),
        };
        let slots = admission.usage.leases.values().filter(|lapses| **lapses > now).count();
        text += &row([
            provider.name(),
            &health.to_lowercase(),
            &breaker,
            &admission.paused_at.map_or_else(|| "-".to_owned(), |at| format!("since {at}")),
            &slots.to_string(),
            &(admission.earn(0, now).budget.left / 1_000).to_string(),
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
