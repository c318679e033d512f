//! Providers: adapters, HTTP client, downloads, webhook verification.
//!
//! An adapter translates one provider's API and does no I/O; [`ProviderClient`] sends the calls of all
//! adapters. To add a provider: a file in `adapters/`, a variant of
//! [`Provider`](domain::provider::Provider), an arm of [`adapter`](adapter()), fixtures, and routes in
//! the catalogue.

mod adapter;
mod adapters;
mod call;
mod callback_token;
mod client;
mod credential;
pub mod fetch;
mod order;
mod outcome;
mod reading;
#[cfg(test)]
mod tests;

pub use adapter::{AccessToken, Adapter, Capabilities, LookUp, Scheme, Settings, Setup};
pub use adapters::adapter;
pub use call::{Answer, Body, Call};
pub use callback_token::{CallbackSecrets, EmptySecret, Token};
pub use client::{Delivery, ProviderClient, ProviderConfig, Timeouts};
pub use credential::CredentialId;
pub use order::{CreateOrder, LOST_WITHIN, Lost, reference};
pub use outcome::{Canceling, Found, Notice, Outcome, Page, Polled, Seen, Unreadable};
pub use signatures::{Verified, VerifyError};
