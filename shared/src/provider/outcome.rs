//! What a call to a provider came to.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822;

use super::Call;
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Fault, Verdict};

/// The longest that a provider's `Retry-After` is believed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What came of a create call. These are never mixed: that is what loses or doubles money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It runs and will bill.
    Accepted { remote: RemoteJob, cost: Option<MicroUsd> },
    /// It is done and billed, and this is the file: there is nothing to ask after.
    Delivered { media: Bytes, cost: Option<MicroUsd> },
    /// They said no, certainly: nothing runs.
    Refused { fault: Fault, retry_after: Option<Duration> },
    /// It certainly never reached them.
    NotSent(Fault),
    /// It was sent, or may have been, and the answer tells nothing: it may run.
    Unknown {
        cause: &'static str,
        /// The id that the answer carries all the same. It may name nothing.
        remote: Option<RemoteJob>,
        /// They answered with an error of the server, which is probably a refusal. `false` for
        /// silence, also for that of what stands behind a gateway.
        answered: bool,
    },
}

impl Outcome {
    /// No answer, or none that tells anything.
    pub const fn unknown(cause: &'static str) -> Self {
        Self::Unknown { cause, remote: None, answered: false }
    }

    /// With the id that an answer carries outside its body, for where nothing else is known.
    pub(super) fn naming(self, id: Option<RemoteJob>) -> Self {
        match self {
            Self::Unknown { cause, remote, answered } => {
                Self::Unknown { cause, remote: remote.or(id), answered }
            }
            other => other,
        }
    }

    /// With how long a refusal asks us to wait, where the answer says so in its own way.
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

/// What a provider says of a remote job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// It waits or runs, or its result is not ready.
    Pending,
    /// It is over, and this call tells how. Never leaves [`ProviderClient::poll`].
    ///
    /// [`ProviderClient::poll`]: super::client::ProviderClient::poll
    Fetch(Box<Call>),
    Ended(Verdict),
    /// It has succeeded, and there is no file in the answer: outputs may lag behind the word for
    /// the end. What stays so is a failure, with this fault.
    Empty(Fault),
    /// They are asked too often or are overloaded, and want to be left alone for so long.
    Busy(Duration),
    /// Nothing was learnt: the job is as it was. Ask again later.
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

/// What came of looking for a remote job whose create answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This is it, and no other attempt's: it carries our own reference.
    Job(RemoteJob),
    /// All that were made at the time with the same input, at least one. Some or all of them may
    /// be other attempts', or of other software that has our key.
    Alike(Vec<RemoteJob>),
    /// The answer is whole, and it is not in it.
    Nothing,
    /// They are asked too often or are overloaded, and want to be left alone for so long.
    Busy(Duration),
    /// Nothing was learnt. Look again later.
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

/// Whether a remote job that somebody named is that of an attempt whose create answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It looks so. As its provider lists it, with the handle where there is one.
    Ours(RemoteJob),
    /// It certainly is not.
    Another,
    /// Its provider did not show it now, and may later.
    NotYet,
    /// Its provider shows nothing to compare.
    Nowhere,
}

/// What one answer to a look-up tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub found: Found,
    /// The call for the rest of the list.
    pub next: Option<Call>,
}

impl From<Found> for Page {
    fn from(found: Found) -> Self {
        Self { found, next: None }
    }
}

/// What came of asking a remote job to stop. None of them is a verdict: poll for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceling {
    /// They will try; it may still finish and bill.
    Asked,
    /// It was over already.
    TooLate,
    /// They do not know it (any more).
    Gone,
    /// This provider cannot be asked to stop a job.
    Impossible,
    /// Nothing was learnt. Ask again later.
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

/// What a webhook says. A hint: where its provider can be asked, ask before money moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub remote: Option<RemoteJob>,
    /// `None`: something happened, and only a poll tells what.
    pub verdict: Option<Verdict>,
}

/// A webhook that is genuine and makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the webhook cannot be read: {0}")]
pub struct Unreadable(pub &'static str);

/// How long somebody who is asked too often, or is overloaded, wants to be left alone. `None` for
/// other answers, and where it does not say.
pub(super) fn busy(status: u16, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    retry_after(headers, now).filter(|_| matches!(status, 429 | 503))
}

/// How long the provider asks us to wait, from seconds, also with a fraction, or from an HTTP date in
/// any of its forms; at most [`RETRY_AFTER_MAX`]. `None` when it does not say or cannot be understood.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let span = if is_number {
        // Rounded up, and saturated: a call that comes early is refused again.
        Duration::from_secs(text.parse::<f64>().ok()?.ceil() as u64)
    } else {
        let date = httpdate::parse_http_date(text).ok().and_then(|date| jiff::Timestamp::try_from(date).ok());
        let date = date.or_else(|| Some(rfc2822::parse(text).ok()?.timestamp()))?;
        Timestamp::from_millis(date.as_millisecond()).since(now)
    };
    Some(span.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers, Timestamp::from_secs(1_445_412_400)) // 2015-10-21 07:26:40
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        assert_eq!(after("30"), Some(Duration::from_secs(30)));
        for date in [
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "Wednesday, 21-Oct-15 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2015",
            "Wed, 21 Oct 2015 07:28:00 +0000",
        ] {
            assert_eq!(after(date), Some(Duration::from_secs(80)), "{date}");
        }
        assert_eq!(after("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn a_fraction_is_rounded_up() {
        for (text, seconds) in [("1.5", 2), ("19.6", 20), ("299.997", 300), ("0.0", 0), ("7.", 7), (".2", 1)]
        {
            assert_eq!(after(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn a_mad_retry_after_is_capped_or_ignored() {
        for text in ["86400", "Wed, 21 Oct 2099 07:28:00 GMT", "99999999999999999999999"] {
            assert_eq!(after(text), Some(RETRY_AFTER_MAX), "{text}");
        }
        for text in ["", "soon", "-5", ".", "1.2.3", "1e3", "NaN", "inf"] {
            assert_eq!(after(text), None, "{text}");
        }
    }
}
