//! Payment processors: one file each, on one client. What a processor is sent and what its answers mean are pure
//! functions; the client makes the calls.
//!
//! A webhook is proved by [`Webhooks`] and says only what to ask about; [`Processors`] asks.

mod abacate;
mod call;
mod client;
mod paypal;
mod stripe;
#[cfg(test)]
mod tests;
mod webhooks;

use domain::id::TopupId;
use domain::payment::Mode;
use domain::payment::decide::Fact;
use domain::payment::trouble::Trouble;

pub use crate::outside::platforms::paypal as paypal_signing;
pub use client::{Credentials, OPEN_MAX, Processors};
pub use webhooks::{Unread, Webhooks};

/// What a processor says of a payment when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The purchase that it was made for, if the answer names it.
    pub topup: Option<TopupId>,
    /// Whether money moves, if the answer says so.
    pub mode: Option<Mode>,
    /// In the order in which they can be applied.
    pub facts: Vec<Fact>,
    /// Why these are not all of them: a call about refunds or disputes failed.
    pub trouble: Option<Trouble>,
}

impl Said {
    /// The payment, once the money is there.
    fn payment(&self) -> Option<String> {
        self.facts.iter().find_map(|fact| match fact {
            Fact::Paid { payment, .. } => Some(payment.clone()),
            _ => None,
        })
    }

    /// With what else is known. What is known already stands whatever became of that.
    fn and(mut self, more: Result<Vec<Fact>, Trouble>) -> Self {
        match more {
            Ok(facts) => self.facts.extend(facts),
            Err(trouble) => self.trouble = Some(trouble),
        }
        self
    }
}
