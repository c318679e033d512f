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
}
