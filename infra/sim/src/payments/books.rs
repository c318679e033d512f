//! What the processors know: objects by id, as they are shown, and the events of them.

use std::collections::BTreeMap;

use domain::payment::Processor;
use domain::time::Timestamp;
use serde_json::Value;

/// An event that is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) processor: Processor,
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) kind: String,
    pub(super) body: Value,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) objects: BTreeMap<String, Value>,
    /// The oldest first.
    pub(super) events: Vec<Event>,
    pub(super) new_events: Vec<Event>,
    /// What was answered under an idempotency key, and to which request.
    pub(super) answered: BTreeMap<String, (Vec<u8>, u16, Value)>,
    count: u64,
    /// Drawn when the first id is made.
    process: Option<u32>,
}

impl Books {
    /// An id that no object before has, not even one of an earlier process: what is in the table names them.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        let process = *self.process.get_or_insert_with(|| {
            let mut drawn = [0; 4];
            getrandom::fill(&mut drawn).expect("the system gives random bytes");
            u32::from_le_bytes(drawn)
        });
        self.count += 1;
        format!("{prefix}{process:08x}{:06}", self.count)
    }

    /// The objects whose member has this value, the oldest first.
    pub(super) fn having<'a>(
        &'a self,
        prefix: &'a str,
        member: &'a str,
        value: &'a str,
    ) -> impl Iterator<Item = &'a Value> {
        let of_kind =
            self.objects.range(prefix.to_owned()..).take_while(move |(id, _)| id.starts_with(prefix));
        of_kind.map(|(_, object)| object).filter(move |object| object[member] == value)
    }

    pub(super) fn record(&mut self, event: Event) {
        self.events.push(event.clone());
        self.new_events.push(event);
    }
}
