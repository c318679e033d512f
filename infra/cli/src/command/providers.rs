//! `genmux providers`: lists provider state, and pauses or resumes a provider.

use std::fmt::Write;

use anyhow::Result;
use domain::provider::Provider;
use domain::route::Health;
use shared::operate::providers::{self, Overview};
use shared::store::admission::AdmissionStore;

use super::print::{self, say};
use super::{Local, ProvidersCommand, Target};

pub(super) async fn run(command: ProvidersCommand, target: &Target, local: &Local) -> Result<()> {
    let opened = target.open(local).await?;
    let (store, now) = (AdmissionStore::new(opened.table()), opened.process.clock.now());
    let (name, pause) = match command {
        ProvidersCommand::List => {
            print::text(list(&providers::list(&store, now).await?));
            return Ok(());
        }
        ProvidersCommand::Pause { name } => (name, true),
        ProvidersCommand::Resume { name } => (name, false),
    };
    let is_changed = providers::pause(&store, name, pause, opened.process.random.u64(), now).await?;
    say!("{}", outcome(name, pause, is_changed));
    Ok(())
}

/// The outcome of a pause, or of its end.
fn outcome(provider: Provider, pause: bool, is_changed: bool) -> String {
    match (pause, is_changed) {
        (true, false) => format!("{provider} is already paused"),
        (true, true) => {
            format!("paused {provider}: running attempts continue; takes effect within 60 s")
        }
        (false, false) => format!("{provider} is not paused"),
        (false, true) => format!("resumed {provider}"),
    }
}

/// A table of providers, with a line of headings.
fn list(providers: &[Overview]) -> String {
    let mut text = row(["NAME", "HEALTH", "BREAKER", "PAUSED", "SLOTS", "RETRIES"]);
    for shown in providers {
        let breaker = match shown.open {
            Some(open) => format!("open ({}) since {}", open.why.name(), open.since),
            None => "closed".to_owned(),
        };
        text += &row([
            shown.provider.name(),
            shown.health.map_or("unknown", Health::name),
            &breaker,
            &shown.paused_at.map_or_else(|| "-".to_owned(), |at| format!("since {at}")),
            &shown.slots.to_string(),
            &shown.retries.to_string(),
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

#[cfg(test)]
mod tests {
    use shared::store::admission::ProviderState;

    use super::*;

    #[test]
    fn the_outcome_of_a_pause_names_provider_and_change() {
        assert!(outcome(Provider::Fal, true, true).starts_with("paused fal: "));
        assert_eq!(outcome(Provider::Fal, true, false), "fal is already paused");
        assert_eq!(outcome(Provider::Fal, false, true), "resumed fal");
        assert_eq!(outcome(Provider::Fal, false, false), "fal is not paused");
    }

    #[test]
    fn the_table_shows_since_when_a_provider_is_paused() {
        let now = domain::time::Timestamp::from_secs(1_800_000_000);
        let shown = Overview::new(Provider::Fal, ProviderState::default(), now);
        assert!(list(std::slice::from_ref(&shown)).contains("fal           unknown    closed"));
        assert!(list(&[Overview { paused_at: Some(now), ..shown }]).contains("since 2027-01-15"));
    }
}
