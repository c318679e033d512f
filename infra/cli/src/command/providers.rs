//! `genmux providers`: lists provider state, and pauses or resumes a provider.

use anyhow::Result;
use domain::policy::health::{Change, Condition};
use domain::provider::Provider;
use serde_json::{Value, json};
use shared::operate::providers::{self, Overview};
use shared::store::admission::AdmissionStore;

use super::print::{Output, table};
use super::{Local, ProvidersCommand, Target};

pub(super) async fn run(command: ProvidersCommand, target: &Target, local: &Local) -> Result<Output> {
    let opened = target.open(local).await?;
    let (store, now) = (AdmissionStore::new(opened.table()), opened.process.clock.now());
    let (name, pause) = match command {
        ProvidersCommand::List => {
            let shown = providers::list(&store, now).await?;
            let json = json!({"providers": shown.iter().map(json_of).collect::<Vec<_>>()});
            return Ok(Output::new(list(&shown), json));
        }
        ProvidersCommand::History { name, limit } => {
            let changes = store.changes(name, i32::from(limit)).await?;
            let json = json!({"provider": name, "changes": changes});
            return Ok(Output::new(changes.iter().map(line).collect::<String>(), json));
        }
        ProvidersCommand::Pause { name } => (name, true),
        ProvidersCommand::Resume { name } => (name, false),
    };
    let is_changed = providers::pause(&store, name, pause, opened.process.random.u64(), now).await?;
    let json = json!({"provider": name, "paused": pause, "changed": is_changed});
    Ok(Output::new(outcome(name, pause, is_changed), json))
}

fn line(change: &Change) -> String {
    format!("{}  {} → {}\n", change.at, change.from.name(), change.to.name())
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
    let rows: Vec<_> = providers.iter().map(row).collect();
    table(["NAME", "HEALTH", "BREAKER", "PAUSED", "SLOTS", "RETRIES"], &rows)
}

fn row(shown: &Overview) -> [String; 6] {
    let breaker = match shown.open {
        Some(open) => format!("open ({}) since {}", open.why.name(), open.since),
        None => "closed".to_owned(),
    };
    [
        shown.provider.to_string(),
        shown.health.map_or("unknown", Condition::name).to_owned(),
        breaker,
        shown.paused_at.map_or_else(|| "-".to_owned(), |at| format!("since {at}")),
        shown.slots.to_string(),
        shown.retries.to_string(),
    ]
}

fn json_of(shown: &Overview) -> Value {
    let open = shown.open.map(|open| json!({"reason": open.why.name(), "since": open.since.to_string()}));
    json!({
        "provider": shown.provider,
        "health": shown.health.map(Condition::name),
        "breaker_open": open,
        "paused_at": shown.paused_at.map(|at| at.to_string()),
        "slots": shown.slots,
        "retries": shown.retries,
    })
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
        assert!(list(std::slice::from_ref(&shown)).contains("fal   unknown  closed"));
        assert!(list(&[Overview { paused_at: Some(now), ..shown }]).contains("since 2027-01-15"));
    }
}
