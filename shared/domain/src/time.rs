//! Points in time, passed in by the caller.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch.
///
/// Printed as RFC 3339 in UTC with milliseconds. Serialised as the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000)
    }

    /// The start of a day in UTC, as `2027-03-01`.
    pub fn of_day(day: &str) -> Option<Self> {
        let midnight = day.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        (day.len() == 10).then(|| Self(midnight.timestamp().as_millisecond()))
    }

    /// A time in RFC 3339, as `2026-11-29T10:00:00Z`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|time| Self(time.as_millisecond()))
    }

    /// The start of its month in UTC, and of the next.
    pub fn month(self) -> Option<(Self, Self)> {
        let first_of = |time: Self| Self::of_day(&format!("{}-01", time.to_string().get(..7)?));
        let first = first_of(self)?;
        // No month is longer, and none is so short that this skips it.
        Some((first, first_of(first + Duration::from_secs(31 * 24 * 3_600))?))
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// `self` minus `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "@{}ms", self.0),
        }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_as_rfc_3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_120).to_string(), "2023-11-14T22:13:20.120Z");
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        assert_eq!(Timestamp::of_day("2027-03-01"), Some(Timestamp::from_secs(1_803_859_200)));
        for wrong in ["", "2027-3-1", "2027-02-29", "2027-03-01T00:00:00", "20270301", "soon"] {
            assert_eq!(Timestamp::of_day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_span_into_the_past_is_zero() {
        assert_eq!(Timestamp::from_secs(5).since(Timestamp::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn a_time_is_the_milliseconds_that_it_was_made_of() {
        let time = Timestamp::from_secs(7) + Duration::from_millis(250);
        assert_eq!((time.as_millis(), time.as_secs()), (7_250, 7));
    }
}
