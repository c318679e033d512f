//! The transition history of a job, stored in the job's item.

use serde::{Deserialize, Serialize};

use domain::decide::{Event, Transition};
use domain::job::State;
use domain::time::Timestamp;

/// One transition of a job, for information only.
///
/// Stored as a list of about 40 bytes. There are at most as many as versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Timestamp, String, u8, State)", into = "(Timestamp, String, u8, State)")]
pub struct Move {
    pub at: Timestamp,
    /// [`Event::name`] of the event.
    pub event: String,
    /// The attempt of the event, or else the current attempt; 0 before the first.
    pub attempt: u8,
    /// The state after it.
    pub state: State,
}

impl Move {
    pub(super) fn new(transition: &Transition, event: &Event) -> Self {
        let after = transition.after();
        let attempt = match event {
            Event::Attempt { number, .. }
            | Event::Delivered { number, .. }
            | Event::Stored { number, .. }
            | Event::CopyStarted { number }
            | Event::CopyRenewed { number, .. }
            | Event::CopyFailed { number, .. }
            | Event::AssetLost { number, .. }
            | Event::WrongFile { number, .. } => *number,
            Event::Claimed(_)
            | Event::NoRoute { .. }
            | Event::CancelRequested(_)
            | Event::DeadlinePassed
            | Event::Deleted => after.current_number(),
        };
        Self { at: after.updated_at(), event: event.name().to_owned(), attempt, state: after.state() }
    }
}

impl From<(Timestamp, String, u8, State)> for Move {
    fn from((at, event, attempt, state): (Timestamp, String, u8, State)) -> Self {
        Self { at, event, attempt, state }
    }
}

impl From<Move> for (Timestamp, String, u8, State) {
    fn from(moved: Move) -> Self {
        (moved.at, moved.event, moved.attempt, moved.state)
    }
}
