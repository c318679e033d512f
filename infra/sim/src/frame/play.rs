//! The faults that the directives of a prompt or of a fault profile order.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The faults of one remote job at one provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Play {
    pub(crate) latency: Option<Duration>,
    pub(crate) create: CreatePlay,
    /// From a fault profile: the fault of every call.
    pub(crate) all: CreatePlay,
    pub(crate) times: Option<u32>,
    pub(crate) retry_after: Option<RetryAfter>,
    pub(crate) fail: Option<Failure>,
    /// The failure is billed.
    #[serde(default)]
    pub(crate) fail_bills: bool,
    pub(crate) status: Option<StatusPlay>,
    #[serde(default)]
    pub(crate) answer: Option<AnswerPlay>,
    pub(crate) throttled: Duration,
    pub(crate) cancel_ignored: bool,
    pub(crate) webhook: WebhookPlay,
    pub(crate) result: Option<ResultPlay>,
    pub(crate) asset: Option<AssetPlay>,
    /// Directives of a single provider.
    pub(crate) own: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum CreatePlay {
    #[default]
    Accept,
    Refuse(Refusal),
    DropBefore,
    DropAfter,
    Slow(Duration),
    Html,
    /// The remote job exists, and the answer is an error.
    AcceptThen(Then),
    SameId,
}

/// What is answered in place of a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Then {
    Error(u16),
    Html,
}

/// The forms of the header, in seconds from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RetryAfter {
    Seconds(u32),
    /// With one decimal.
    Tenths(u32),
    Date(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    WrongKey,
    NoBalance,
    BrokenInput,
    RateLimit,
    Internal,
    Unavailable,
    Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    ContentPolicy,
    Internal,
    Invalid,
    NoCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StatusPlay {
    Backwards,
    Unknown,
    Empty,
    Html,
    Junk,
    Truncated,
    Error(u16),
    Hang(Duration),
    Invisible(Duration),
    Missing(Duration),
}

/// What is unusual in every answer about a remote job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AnswerPlay {
    NoFile,
    Null,
    Number,
    Long,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WebhookPlay {
    #[default]
    Punctual,
    Lost,
    Twice,
    Early,
    Late(Duration),
    BadSignature,
    Unsigned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ResultPlay {
    Gone,
    NoMedia,
    Broken(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AssetPlay {
    Missing,
    Broken(u32),
    Busy(u32),
    Cut(u32),
    /// The time until it expires, and the status after that.
    Expires(Duration, u16),
    Slow,
    /// Bytes a second.
    Trickle(u32),
    Endless,
    Half,
    Redirect,
    Html,
    /// An image in place of a video, and the other way round.
    Other,
}
