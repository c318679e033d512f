//! What a provider lists of our routes, and what it offers beside.

use std::collections::BTreeSet;

use domain::price_list::Listed;

/// A provider's lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    pub prices: Vec<Listed>,
    /// Prices that are not understood: of which endpoint, and why.
    pub unclear: Vec<(String, String)>,
    /// Endpoints that it does not know.
    pub gone: BTreeSet<String>,
    /// Endpoints that it offers: as many as were read.
    pub offered: Vec<String>,
}

/// One answer of a price list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PricePage {
    pub prices: Vec<Listed>,
    /// The other lines: of which endpoint, and why.
    pub unclear: Vec<(String, String)>,
}

/// One page of the list of what a provider offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferPage {
    pub endpoints: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
}
