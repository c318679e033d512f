//! When an operator is alerted: once when something turns bad, once when it is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How long after an alert no other says that the same thing is bad again.
pub const COOLDOWN: Duration = Duration::from_secs(15 * 60);
/// Calm sightings in a row that end an alert.
pub const CALM_MIN: u8 = 3;

/// What one look showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Calm,
    /// It cannot be said: what was is kept.
    Unsure,
    /// The higher, the worse; above zero.
    Bad(u8),
}

/// What the operator is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It turned bad, or worse.
    Raised,
    /// It is over.
    Cleared,
}

impl Turn {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
        }
    }
}

/// What the operator was alerted of.
///
/// # Guarantees
///
/// - Each `Cleared` follows one or more `Raised` of growing level, and each series of them is followed by at most one
///   `Cleared`.
/// - A series begins at least [`COOLDOWN`] after the last `Raised`, so that what flaps does not alert each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Alarm {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_alerted: bool,
    /// What was alerted. Older releases knew one level.
    #[serde(default, skip_serializing_if = "is_zero")]
    level: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alerted_at: Option<Timestamp>,
    /// Calm sightings in a row since.
    #[serde(default, skip_serializing_if = "is_zero")]
    calm: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl Alarm {
    /// Since when it is bad, if the operator knows of it and it is not over.
    pub fn raised_at(&self) -> Option<Timestamp> {
        self.alerted_at.filter(|_| self.is_alerted)
    }

    /// The level of which the operator knows; 0 for none.
    fn known(&self) -> u8 {
        match (self.is_alerted, self.level) {
            (false, _) => 0,
            (true, 0) => u8::MAX,
            (true, level) => level,
        }
    }

    /// The alarm after a look, with what the operator is to know of it.
    #[must_use]
    pub fn after(self, sight: Sight, now: Timestamp) -> (Self, Option<Turn>) {
        let is_quiet = !self.is_alerted && self.alerted_at.is_some_and(|at| now.since(at) < COOLDOWN);
        match sight {
            Sight::Bad(level) if level > self.known() && !is_quiet => {
                (Self { is_alerted: true, level, alerted_at: Some(now), calm: 0 }, Some(Turn::Raised))
            }
            Sight::Calm if self.is_alerted && self.calm + 1 >= CALM_MIN => {
                (Self { is_alerted: false, level: 0, calm: 0, ..self }, Some(Turn::Cleared))
            }
            Sight::Calm if self.is_alerted => (Self { calm: self.calm + 1, ..self }, None),
            Sight::Calm | Sight::Unsure | Sight::Bad(_) => (Self { calm: 0, ..self }, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sight::{Bad, Calm, Unsure};
    use super::*;

    /// The turns of these sightings, a minute apart, with the number of each.
    fn turns(sights: &[Sight]) -> Vec<(usize, Turn)> {
        let mut alarm = Alarm::default();
        let look = |(minute, sight): (usize, &Sight)| {
            let now = Timestamp::from_secs(i64::try_from(minute).unwrap() * 60);
            let (next, turn) = alarm.after(*sight, now);
            alarm = next;
            turn.map(|turn| (minute, turn))
        };
        sights.iter().enumerate().filter_map(look).collect()
    }

    #[test]
    fn an_alert_ends_after_three_calm_looks_in_a_row() {
        let sights = [Calm, Bad(1), Bad(1), Calm, Calm, Bad(1), Calm, Calm, Unsure, Calm, Calm, Calm, Calm];
        assert_eq!(turns(&sights), [(1, Turn::Raised), (11, Turn::Cleared)]);
    }

    #[test]
    fn what_gets_worse_is_another_alert_and_what_gets_better_is_none() {
        let sights = [Bad(1), Bad(3), Bad(1), Bad(3), Bad(2), Calm, Calm, Calm];
        assert_eq!(turns(&sights), [(0, Turn::Raised), (1, Turn::Raised), (7, Turn::Cleared)]);
    }

    #[test]
    fn what_is_bad_again_within_the_cooldown_is_an_alert_when_that_has_passed() {
        let mut sights = vec![Bad(1), Calm, Calm, Calm];
        sights.extend([Bad(1); 20]);
        assert_eq!(turns(&sights), [(0, Turn::Raised), (3, Turn::Cleared), (15, Turn::Raised)]);
    }

    #[test]
    fn an_alert_of_an_older_release_is_known_at_every_level() {
        let at = Timestamp::from_secs(60);
        let old = Alarm { is_alerted: true, alerted_at: Some(at), ..Alarm::default() };
        assert_eq!(old.after(Bad(4), at).1, None);
    }

    proptest! {
        #[test]
        fn alerts_of_what_flaps_are_a_cooldown_apart(looks in prop::collection::vec(0_u8..3, 1..500)) {
            let sights: Vec<_> = looks.iter().map(|look| [Calm, Unsure, Bad(1)][usize::from(*look)]).collect();
            let turns = turns(&sights);
            prop_assert!(turns.windows(2).all(|pair| pair[0].1 != pair[1].1), "{turns:?}");
            let raised: Vec<_> = turns.iter().filter(|(_, turn)| *turn == Turn::Raised).collect();
            prop_assert!(raised.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 15), "{turns:?}");
        }
    }
}
