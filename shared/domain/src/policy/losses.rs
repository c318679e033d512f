//! When "not found" is no longer accepted as a loss: a provider that reports many jobs as not
//! found at once has another defect, or the key has changed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Losses within [`WINDOW`] that are accepted.
pub const LOSSES_MAX: u32 = 5;
pub const WINDOW: Duration = Duration::from_secs(600);
/// How long no loss is accepted after one too many; each further one restarts it.
pub const DOUBT: Duration = Duration::from_secs(3_600);

/// The losses of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Losses {
    pub count: u32,
    /// Start of the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubted_until: Option<Timestamp>,
}

impl Losses {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a loss that was just counted is accepted.
    pub fn is_accepted(self, now: Timestamp) -> bool {
        self.doubted_until.is_none_or(|until| now >= until)
    }

    /// The losses with one more.
    #[must_use]
    pub fn one_more(self, now: Timestamp) -> Self {
        let recent = self.since.is_some_and(|since| now.since(since) < WINDOW);
        let count = if recent { self.count } else { 0 };
        if !self.is_accepted(now) || count >= LOSSES_MAX {
            return Self { doubted_until: Some(now + DOUBT), ..self };
        }
        let since = if recent { self.since } else { Some(now) };
        Self { count: count + 1, since, doubted_until: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// How many of losses at these seconds are accepted.
    fn accepted(seconds: impl IntoIterator<Item = u64>) -> usize {
        let mut losses = Losses::default();
        let accepted = seconds.into_iter().filter(|second| {
            let now = START + Duration::from_secs(*second);
            losses = losses.one_more(now);
            losses.is_accepted(now)
        });
        accepted.count()
    }

    #[test]
    fn of_many_at_once_five_are_accepted() {
        assert_eq!(accepted(0..300), 5);
    }

    #[test]
    fn continued_losses_are_not_accepted_one_by_one() {
        assert_eq!(accepted((0..48).map(|n| n * 1_800)), 48, "one each half hour is normal");
        let flood = (0..10).chain((0..200).map(|n| 600 + n * 300));
        assert_eq!(accepted(flood), 5);
    }

    #[test]
    fn after_an_hour_without_losses_they_are_accepted_again() {
        assert_eq!(accepted((0..10).chain([4_000])), 6);
    }
}
