//! What a provider lists of our routes, and what it offers beside.

use domain::price_list::Listed;

/// A provider's lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    pub prices: Vec<Listed>,
    /// Endpoints that it does not know.
    pub gone: Vec<String>,
    /// Endpoints that it offers: as many as were read.
    pub offered: Vec<String>,
}

/// One page of the list of what a provider offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferPage {
    pub endpoints: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
}
