//! Results of provider calls.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::call::Call;
use crate::outside::retry_after::retry_after;
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Fault, Verdict};

/// The maximum accepted `Retry-After`.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// The outcome of a create call. Confusing these variants loses or doubles money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The remote job runs and may be billed.
    Accepted { remote: RemoteJob, cost: Option<MicroUsd> },
    /// The answer is the file: finished and billed, nothing to poll.
    Delivered { media: Bytes, cost: Option<MicroUsd> },
    /// The provider rejected the request: nothing runs.
    Refused { fault: Fault, retry_after: Option<Duration> },
    /// The call did not reach the provider.
    NotSent(Fault),
    /// The call may have been sent, and the outcome is unknown: a remote job may run.
    Unknown {
        cause: &'static str,
        /// The id in the answer, if any. The remote job may not exist.
        remote: Option<RemoteJob>,
        /// The provider returned a server error, which is probably a refusal. `false` if it did not
        /// answer, also behind a gateway.
        answered: bool,
    },
}

impl Outcome {
    /// No answer, or no usable one.
    pub const fn unknown(cause: &'static str) -> Self {
        Self::Unknown { cause, remote: None, answered: false }
    }

    /// With the id from outside the body, if the body has none.
    pub(super) fn naming(self, id: Option<RemoteJob>) -> Self {
        match self {
            Self::Unknown { cause, remote, answered } => {
                Self::Unknown { cause, remote: remote.or(id), answered }
            }
            other => other,
        }
    }

    /// With a refusal's wait from the body.
    pub(super) fn after(self, wait: Option<Duration>) -> Self {
        match self {
            Self::Refused { fault, retry_after } => {
                Self::Refused { fault, retry_after: wait.or(retry_after) }
            }
            other => other,
        }
    }

    /// Its name and, where there is one, the reason: for logs and metrics.
    pub fn summary(&self) -> (&'static str, &'static str) {
        match self {
            Self::Accepted { .. } => ("accepted", ""),
            Self::Delivered { .. } => ("delivered", ""),
            Self::Refused { fault, .. } => ("refused", fault.class.name()),
            Self::NotSent(fault) => ("not_sent", fault.class.name()),
            Self::Unknown { cause, .. } => ("unknown", cause),
        }
    }
}

/// The result of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Queued, running, or the result is not ready.
    Pending,
    /// Ended; this call returns the result. Never returned by [`ProviderClient::poll`].
    ///
    /// [`ProviderClient::poll`]: super::ProviderClient::poll
    Fetch(Box<Call>),
    Ended(Verdict),
    /// Succeeded, but the answer has no file: outputs may lag behind the status. If it stays so, it is a
    /// failure with this fault.
    Empty(Fault),
    /// Rate limited or overloaded, with `Retry-After`.
    Busy(Duration),
    /// The answer is unusable. Poll again later.
    Unreadable(&'static str),
}

impl Polled {
    /// Its name and, where there is one, the reason: for logs and metrics.
    pub fn summary(&self) -> (&'static str, &'static str) {
        match self {
            Self::Pending => ("pending", ""),
            Self::Fetch(_) => ("over", ""),
            Self::Ended(Verdict::Finished { .. }) => ("finished", ""),
            Self::Ended(Verdict::Broke { fault, .. }) => ("broke", fault.class.name()),
            Self::Ended(Verdict::Canceled { .. }) => ("canceled", ""),
            Self::Ended(Verdict::Gone) => ("gone", ""),
            Self::Empty(fault) => ("empty", fault.class.name()),
            Self::Busy(_) => ("unreadable", "busy"),
            Self::Unreadable(cause) => ("unreadable", cause),
        }
    }
}

/// The result of a look-up of an unconfirmed create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This attempt's remote job: it has Genmux's reference.
    Job(RemoteJob),
    /// All remote jobs of the period with the same input, at least one. Some or all may belong to other
    /// attempts, or to other software with the same key.
    Alike(Vec<RemoteJob>),
    /// Not found in a complete answer.
    Nothing,
    /// Rate limited or overloaded, with `Retry-After`.
    Busy(Duration),
    /// The answer is unusable. Look up again later.
    Unreadable(&'static str),
}

impl Found {
    /// Its name and, where there is one, the reason: for logs and metrics.
    pub const fn summary(&self) -> (&'static str, &'static str) {
        match self {
            Self::Job(_) => ("found", ""),
            Self::Alike(_) => ("alike", ""),
            Self::Nothing => ("nothing", ""),
            Self::Busy(_) => ("unreadable", "busy"),
            Self::Unreadable(cause) => ("unreadable", cause),
        }
    }
}

/// Whether a reported remote job belongs to an unconfirmed create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Probably. As listed by the provider, with the handle if there is one.
    Ours(RemoteJob),
    /// No.
    Another,
    /// Not listed now; it may be later.
    NotYet,
    /// The provider lists nothing to compare.
    Nowhere,
}

/// One page of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub found: Found,
    /// The call for the next page.
    pub next: Option<Call>,
}

impl From<Found> for Page {
    fn from(found: Found) -> Self {
        Self { found, next: None }
    }
}

/// The result of a cancel request. Poll for the final state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceling {
    /// Accepted; the job may still finish and be billed.
    Asked,
    /// Already ended.
    TooLate,
    /// Not found.
    Gone,
    /// The provider has no cancel.
    Impossible,
    /// The answer is unusable. Request again later.
    Unreadable(&'static str),
}

impl Canceling {
    /// Its name and, where there is one, the reason: for logs and metrics.
    pub const fn summary(self) -> (&'static str, &'static str) {
        match self {
            Self::Asked => ("asked", ""),
            Self::TooLate => ("too_late", ""),
            Self::Gone => ("gone", ""),
            Self::Impossible => ("impossible", ""),
            Self::Unreadable(cause) => ("unreadable", cause),
        }
    }
}

/// The content of a webhook. If the provider can be polled, poll before money moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub remote: Option<RemoteJob>,
    /// `None`: the state changed; poll for it.
    pub verdict: Option<Verdict>,
}

/// An authentic webhook that cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the webhook cannot be read: {0}")]
pub struct Unreadable(pub &'static str);

/// The `Retry-After` of a 429 or 503. `None` for other answers and without the header.
pub(super) fn busy(status: u16, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    retry_after(headers, RETRY_AFTER_MAX, now).filter(|_| matches!(status, 429 | 503))
}
