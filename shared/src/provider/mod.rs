//! Providers: adapters, HTTP client, downloads, webhook verification.
//!
//! An adapter translates one provider's API and does no I/O; [`ProviderClient`] sends the calls of all
//! adapters. To add a provider: a file in `adapters/`, a variant of
//! [`Provider`](domain::provider::Provider), an arm of [`adapter`](adapter()), fixtures, and routes in
//! the catalogue.

mod adapter;
mod adapters;
mod bill;
mod call;
mod callback_token;
mod client;
mod credential;
pub mod fetch;
mod listing;
mod order;
mod outcome;
mod reading;
#[cfg(test)]
mod tests;

pub use adapter::{AccessToken, Adapter, Capabilities, LookUp, Scheme, Settings, Setup};
pub use adapters::adapter;
pub use bill::{Bill, BillOf, BillPage, NoList};
pub use call::{Answer, Body, Call};
pub use callback_token::{CallbackSecrets, EmptySecret, Token};
pub use client::{Delivery, ProviderClient, ProviderConfig, Timeouts};
pub use credential::CredentialId;
pub use listing::{Listing, OfferPage, PricePage};
pub use order::{CreateOrder, LOST_WITHIN, Lost, reference};
pub use outcome::{Canceling, Found, Notice, Outcome, Page, Polled, Seen, Unreadable};
pub use signatures::{Verified, VerifyError};

use domain::catalog::Catalog;

/// What calls cannot be built for, of every route of a catalogue; empty for the built-in one.
pub fn unspoken(catalog: &Catalog) -> Vec<String> {
    let routes = catalog.models().flat_map(|model| model.routes.iter().map(move |route| (model, route)));
    let wrong = routes.filter_map(|(model, route)| {
        let why = adapter(route.provider).check_route(route).err()?;
        Some(format!("model `{}`, route `{}`: {why}", model.name, route.name()))
    });
    wrong.collect()
}
