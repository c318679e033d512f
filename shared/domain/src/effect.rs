//! The effect of an event.

/// What an event does to a job or an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Effect {
    Moved,
    /// It is a repeat, or changes nothing.
    Unchanged,
    /// It contradicts the known state: a defect, not a race.
    Illegal,
}

impl Effect {
    /// The effect of two steps. The second is not taken if the first is illegal.
    pub(super) fn and(self, second: impl FnOnce() -> Self) -> Self {
        if self == Self::Illegal {
            return self;
        }
        match second() {
            Self::Unchanged => self,
            effect => effect,
        }
    }
}
