//! Deliveries: one event for one endpoint. Each try is claimed before it is made.

mod receipt;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventType};
use super::id::{AccountId, EndpointId, EventId};
use super::time::Timestamp;

pub use receipt::{Fate, Receipt, Reported};

/// The pause before each try. Together 75 h 35 min 5 s, less the jitter.
pub const GAPS: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(300),
    Duration::from_secs(1_800),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// The longest wait that an endpoint may ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How long a claimed try may take. One that was not recorded by then counts as lost: it may have arrived.
pub const CLAIM: Duration = Duration::from_secs(60);
/// Tries that are kept with a delivery.
const TRIES_KEPT: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for its next try.
    Pending,
    Delivered,
    /// All tries have failed, or the endpoint cannot take this event.
    Failed,
    /// The endpoint was paused or disabled.
    Skipped,
}

impl Status {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// The outcome of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// A later try may succeed, not before this wait.
    Later {
        wait: Option<Duration>,
    },
    /// The endpoint no longer exists.
    Gone,
    /// The endpoint cannot take this event.
    Never,
    /// It was not sent, because the endpoint is failing and another delivery tries it.
    Held,
    /// What became of it was not recorded.
    Lost,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Later { .. } => "failed",
            Self::Gone => "gone",
            Self::Never => "rejected",
            Self::Held => "held",
            Self::Lost => "lost",
        }
    }
}

/// One try, as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// An [`Outcome`] in a word.
    pub outcome: String,
    /// The status code of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The begin of the answer, at most 1 kB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// A delivery, as of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub event: EventId,
    pub account: AccountId,
    pub endpoint: EndpointId,
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The job's own callback URL; `None` for an endpoint of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub status: Status,
    pub version: u64,
    /// Tries of this round: claimed ones count.
    pub number: u8,
    /// When the next try is due, or the running one counts as lost.
    pub next_at: Timestamp,
    /// Whether a try is running until then.
    #[serde(default)]
    pub claimed: bool,
    /// The last ones.
    #[serde(default)]
    pub tries: Vec<Try>,
    /// What the vendor reported of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What to do with a delivery now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Its next try, if this version is written.
    Try(Box<Delivery>),
    /// Its last try was lost: see [`Delivery::finish`].
    Lost,
    /// It is not due for this long.
    NotYet(Duration),
    /// It has ended.
    Ended,
}

impl Try {
    /// One without a connection.
    pub fn unsent(outcome: Outcome, error: Option<&str>, at: Timestamp) -> Self {
        let error = error.map(str::to_owned);
        Self { at, ms: 0, outcome: outcome.name().to_owned(), status: None, error, answer: None }
    }
}

impl Delivery {
    /// The first version of a delivery that is due now, or that its endpoint does not take now.
    pub fn new(
        event: &Event,
        endpoint: EndpointId,
        url: Option<String>,
        status: Status,
        now: Timestamp,
    ) -> Self {
        Self {
            event: event.id.clone(),
            account: event.account.clone(),
            endpoint,
            kind: event.kind.clone(),
            url,
            status,
            version: 1,
            number: 0,
            next_at: now,
            claimed: false,
            tries: Vec::new(),
            receipt: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Its message group: its endpoint, so that no endpoint delays another. The callback URLs of an
    /// account are one.
    pub fn group(&self) -> &str {
        if self.endpoint.is_callback() { self.account.as_str() } else { self.endpoint.as_str() }
    }

    /// Claims the next try.
    pub fn claim(&self, now: Timestamp) -> Claim {
        if self.status != Status::Pending {
            return Claim::Ended;
        }
        if now < self.next_at {
            return Claim::NotYet(self.next_at.since(now));
        }
        if self.claimed {
            return Claim::Lost;
        }
        let number = self.number.saturating_add(1);
        Claim::Try(Box::new(Self { number, claimed: true, next_at: now + CLAIM, ..self.next(now) }))
    }

    /// When it arrived for the first time, as far as its tries are kept.
    pub fn arrived_at(&self) -> Option<Timestamp> {
        let arrived = self.tries.iter().find(|tried| tried.outcome == Outcome::Delivered.name())?;
        Some(arrived.at + Duration::from_millis(arrived.ms))
    }

    /// Whether its owner asked for it as a test, so that it is sent to a failing endpoint, too.
    pub fn is_test(&self) -> bool {
        self.kind.as_str() == EventType::TEST
    }

    /// Records a try. `chance` is uniform in `0..=u32::MAX`.
    #[must_use]
    pub fn finish(&self, outcome: Outcome, made: Try, chance: u32, now: Timestamp) -> Self {
        let mut next = Self { claimed: false, ..self.next(now) };
        next.tries.push(made);
        let surplus = next.tries.len().saturating_sub(TRIES_KEPT);
        next.tries.drain(..surplus);
        match outcome {
            Outcome::Delivered => next.status = Status::Delivered,
            Outcome::Never | Outcome::Gone => next.status = Status::Failed,
            Outcome::Later { .. } | Outcome::Held | Outcome::Lost => match GAPS.get(usize::from(self.number))
            {
                None => next.status = Status::Failed,
                Some(gap) => {
                    let asked = match outcome {
                        Outcome::Later { wait } => wait.unwrap_or_default().min(RETRY_AFTER_MAX),
                        _ => Duration::ZERO,
                    };
                    let early = gap.mul_f64(0.1 * f64::from(chance) / f64::from(u32::MAX));
                    next.next_at = now + gap.saturating_sub(early).max(asked);
                }
            },
        }
        next
    }

    /// With what its vendor reports; `None` if what is known is as severe.
    pub fn received(&self, fate: Fate, now: Timestamp) -> Option<Self> {
        let is_new = self.receipt.is_none_or(|known| known.fate < fate);
        is_new.then(|| Self { receipt: Some(Receipt { fate, at: now }), ..self.next(now) })
    }

    /// Whether it is the same claim of a try as this one: only a receipt came between.
    pub fn is_claim_of(&self, claimed: &Self) -> bool {
        let of = |one: &Self| (one.claimed, one.number, one.next_at);
        self.status == Status::Pending && self.claimed && of(self) == of(claimed)
    }

    /// Without a try: the endpoint takes no events now.
    #[must_use]
    pub fn skipped(&self, now: Timestamp) -> Self {
        Self { status: Status::Skipped, claimed: false, ..self.next(now) }
    }

    /// Another round of tries, as its owner requests it. What was reported is of what was sent before.
    #[must_use]
    pub fn again(&self, now: Timestamp) -> Self {
        let next = self.next(now);
        Self { status: Status::Pending, number: 0, claimed: false, next_at: now, receipt: None, ..next }
    }

    /// With one try spent, without a connection.
    #[must_use]
    pub fn spent(&self) -> Self {
        Self { number: self.number.saturating_add(1), ..self.clone() }
    }

    /// Its last try is made again now: the endpoint is back. It costs no try, up to twenty: an
    /// endpoint may take all events but this one. `None` if nothing waits.
    pub fn hastened(&self, now: Timestamp) -> Option<Self> {
        let waits = self.status == Status::Pending && !self.claimed && self.next_at > now;
        let is_free = self.tries.len() < TRIES_KEPT;
        let number = self.number.saturating_sub(u8::from(is_free));
        waits.then(|| Self { number, next_at: now, ..self.next(now) })
    }

    fn next(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
