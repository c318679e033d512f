//! What is sent on request, beside its events, to an endpoint whose messages cost money or look like spam: tests,
//! repeats and recoveries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// That many of one endpoint within an hour that begins with the first of them.
pub const EXTRAS_MAX: u32 = 10;
const SPAN: Duration = Duration::from_secs(3_600);

/// How many there were since a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extras {
    count: u32,
    since: Timestamp,
}

impl Extras {
    /// # Errors
    ///
    /// How long there is no more.
    pub(super) fn with_one_more(known: Option<Self>, now: Timestamp) -> Result<Self, Duration> {
        let known = known.filter(|extras| now.since(extras.since) < SPAN);
        let Self { count, since } = known.unwrap_or(Self { count: 0, since: now });
        if count >= EXTRAS_MAX {
            return Err((since + SPAN).since(now));
        }
        Ok(Self { count: count + 1, since })
    }
}
