//! Alerts: events for the operator. They are written beside what they are about, and only if the
//! operator has endpoints; `reconcile` sends them.

use super::Table;
use super::events::EventStore;
use super::ledger::Ledger;
use domain::event::Event;

/// The alerts of the table.
#[derive(Debug, Clone)]
pub struct Alerts {
    events: EventStore,
    ledger: Ledger,
}

impl Alerts {
    pub fn new(table: Table) -> Self {
        Self { events: EventStore::new(table.clone()), ledger: Ledger::new(table) }
    }

    /// Writes an alert, once under its id. An alert that cannot be written stops nothing: what it is
    /// about is in the log as well, which alarms watch.
    pub async fn raise(&self, alert: Event) {
        let written = async {
            if self.ledger.has_endpoints(&alert.account).await? {
                self.events.put(&alert).await?;
            }
            Ok::<_, super::Error>(())
        };
        if let Err(error) = written.await {
            tracing::warn!(kind = alert.kind.as_str(), error = error.with_causes(), "alert.not_written");
        }
    }
}
