//! Events and deliveries in the due index, in shards of their own: they delay no job.

use std::time::Duration;

use super::EventStore;
use crate::store::Error;
use crate::store::due::PageEnd;
use crate::store::item::{Item, key, number, number_of, text, text_of};
use crate::store::keys::{self, CHECK_AT, DUE_SHARD, PK, SK};
use domain::id::{EndpointId, EventId};
use domain::time::Timestamp;

/// How long after it is due an event or a delivery counts as one whose message was lost.
pub(super) const UNSENT: Duration = Duration::from_secs(60);

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The event has no deliveries yet.
    Event,
    /// This endpoint's delivery waits for a try.
    Delivery(EndpointId),
}

/// An event, or one of its deliveries, whose `check_at` has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueEvent {
    pub event: EventId,
    pub what: What,
    pub check_at: Timestamp,
}

/// Adds the place in the due index.
pub(super) fn add(item: &mut Item, id: &EventId, check_at: Timestamp) {
    item.insert(DUE_SHARD.to_owned(), text(keys::due_events(keys::event_shard(id))));
    item.insert(CHECK_AT.to_owned(), number(check_at.as_millis()));
}

impl EventStore {
    /// Due events and deliveries of one shard, longest overdue first, by pages. Returns the end of the page if there
    /// are more.
    pub async fn due(
        &self,
        shard: u8,
        now: Timestamp,
        limit: i32,
        start: Option<PageEnd>,
    ) -> Result<(Vec<DueEvent>, Option<PageEnd>), Error> {
        let doing = format!("read shard {shard} of the due events");
        self.table.due_page(&doing, keys::due_events(shard), (now, limit), start, due_of).await
    }

    /// Moves a check. `false` if another run has moved it, or it is done.
    pub async fn check_again(&self, due: &DueEvent, at: Timestamp) -> Result<bool, Error> {
        let sk = match &due.what {
            What::Event => keys::EVENT.to_owned(),
            What::Delivery(endpoint) => keys::delivery(endpoint),
        };
        let doing = format!("move the check of event {}", due.event);
        self.table.move_check(&doing, key(keys::event(&due.event), sk), due.check_at, at).await
    }
}

fn due_of(item: &Item) -> Option<DueEvent> {
    let event = keys::parse_event(text_of(item, PK)?)?;
    let what = match text_of(item, SK)? {
        keys::EVENT => What::Event,
        sk => What::Delivery(keys::parse_delivery(sk)?),
    };
    Some(DueEvent { event, what, check_at: Timestamp::from_millis(number_of(item, CHECK_AT)?) })
}
