//! The place of a poll in the sequence of polls of an attempt.

use serde::{Deserialize, Serialize};

/// The number from which on stored numbers belong to the cancel sequence.
const CANCEL_FROM: u16 = 10_000;

/// The place of a poll in a sequence, in which each poll sends the next. Later places are greater,
/// and the cancel sequence comes after the normal one.
///
/// It is stored as one number: those of the cancel sequence begin at 10 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
pub enum PollSequence {
    /// Polls until the attempt ends.
    Normal(u16),
    /// Polls until the attempt ends, and cancels it as long as it runs.
    Cancel(u16),
}

impl PollSequence {
    pub const FIRST: Self = Self::Normal(0);

    /// The number of polls before this one in its sequence.
    pub const fn polls(self) -> u16 {
        match self {
            Self::Normal(polls) | Self::Cancel(polls) => polls,
        }
    }

    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Normal(polls) => Self::Normal(polls.saturating_add(1)),
            Self::Cancel(polls) => Self::Cancel(polls.saturating_add(1)),
        }
    }

    /// The same place, or the first of the cancel sequence if this one is before that.
    #[must_use]
    pub const fn canceling(self) -> Self {
        match self {
            Self::Normal(_) => Self::Cancel(0),
            Self::Cancel(_) => self,
        }
    }
}

impl From<u16> for PollSequence {
    fn from(number: u16) -> Self {
        number.checked_sub(CANCEL_FROM).map_or(Self::Normal(number), Self::Cancel)
    }
}

impl From<PollSequence> for u16 {
    fn from(sequence: PollSequence) -> Self {
        match sequence {
            PollSequence::Normal(polls) => polls.min(CANCEL_FROM - 1),
            PollSequence::Cancel(polls) => CANCEL_FROM.saturating_add(polls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stored_number_is_one_place_in_the_same_order() {
        let places: Vec<PollSequence> = (0..=u16::MAX).map(PollSequence::from).collect();
        assert!(places.is_sorted_by(|one, next| one < next));
        assert!(places.iter().zip(0..=u16::MAX).all(|(place, number)| u16::from(*place) == number));
    }

    #[test]
    fn the_cancel_sequence_begins_at_ten_thousand_and_follows_the_normal_one() {
        assert_eq!(u16::from(PollSequence::FIRST.next()), 1);
        assert_eq!(u16::from(PollSequence::Normal(3).canceling()), 10_000);
        assert_eq!(u16::from(PollSequence::Cancel(3).canceling().next()), 10_004);
    }

    #[test]
    fn a_sequence_that_is_too_long_stays_at_its_last_place() {
        let last = PollSequence::Normal(9_999).next();
        assert_eq!(u16::from(last), 9_999);
        assert_eq!(u16::from(PollSequence::Cancel(u16::MAX)), u16::MAX);
    }
}
