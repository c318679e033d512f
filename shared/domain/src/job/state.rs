//! The states of a job, why it is canceled, and what an operator sets about both.

use serde::{Deserialize, Serialize};
use strum::EnumString;

use crate::word::stored_by_word;

/// How to treat a create call that was answered with a server error: the request may have been
/// accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum UnclearCreate {
    /// Wait for the webhook, a look-up or the deadline.
    #[default]
    Wait,
    /// Treat it as rejected and fail over: it may be created, and billed, twice.
    Failover,
}

/// The refund of a canceled job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CancelRefund {
    /// The price minus the possible cost of the attempts.
    #[default]
    LessCost,
    /// The full price, whatever the providers bill.
    Full,
}

impl CancelRefund {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which moves of a job are events. Stored as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum Notifies {
    #[default]
    Nothing,
    /// Its end: it has a callback URL, or its account had an endpoint when it was submitted.
    Ends,
    /// Every move that is one: an endpoint wants more than ends.
    Moves,
}

impl From<u8> for Notifies {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Nothing,
            1 => Self::Ends,
            _ => Self::Moves,
        }
    }
}

impl From<Notifies> for u8 {
    fn from(notifies: Notifies) -> Self {
        notifies as Self
    }
}

impl Notifies {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for an attempt.
    Queued,
    /// An attempt is being sent, or was sent with an unknown outcome.
    Dispatching,
    /// A remote job is known and may be running.
    Running,
    /// A remote job has finished and is billed; its media is being downloaded.
    Settling,
    Succeeded,
    Failed,
    Canceled,
    /// A state of a newer release, which alone handles such a job.
    Other(&'static str),
}

stored_by_word!(State);

impl State {
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Dispatching,
        Self::Running,
        Self::Settling,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
    ];

    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dispatching => "dispatching",
            Self::Running => "running",
            Self::Settling => "settling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Other(word) => word,
        }
    }
}

/// Why a job is canceled early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    Caller,
    Deadline,
    /// A value of a newer release.
    Other(&'static str),
}

stored_by_word!(Stop);

impl Stop {
    const ALL: [Self; 2] = [Self::Caller, Self::Deadline];

    /// The word that is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Deadline => "deadline",
            Self::Other(word) => word,
        }
    }
}
