//! What a provider lists of our routes, for operators.

use super::ProviderClient;
use super::bill::{of_endpoints, refused};
use crate::provider::adapters::adapter;
use crate::provider::bill::NoList;
use crate::provider::call::Answer;
use crate::provider::credential::CredentialId;
use crate::provider::listing::{Listing, OfferPage, PricePage};
use domain::catalog::Route;
use domain::time::Timestamp;

/// Pages of what a provider offers. The rest is not read: what is new comes first, or the list is shorter.
const OFFERS_MAX: usize = 50;

impl ProviderClient {
    /// Prices of these routes, endpoints that the provider no longer knows, and what it offers. For operators: it
    /// waits while the provider is busy.
    ///
    /// # Errors
    ///
    /// If any answer is missing: nothing counts as unknown to the provider but what its 404 names.
    pub async fn listing(
        &self,
        credential: impl Into<CredentialId>,
        routes: &[&Route],
        now: Timestamp,
    ) -> Result<Listing, NoList> {
        let credential = &credential.into();
        let adapter = adapter(credential.provider);
        let endpoints: Vec<&str> = routes.iter().flat_map(|route| route.endpoints()).collect();
        let all = self.all_prices(credential, routes, now).await?;
        let one = async |endpoint: &str| {
            let call = adapter.endpoint(endpoint).ok_or(NoList::Unlisted)?;
            let answer = self.patient(credential, "listing", call, now).await?;
            match answer.object() {
                Some(_) if answer.says_not_found() => Ok(None),
                Some(_) if answer.is_ok() => Ok(Some(adapter.read_prices(&answer).unwrap_or_default())),
                _ => Err(unread(&answer)),
            }
        };
        let (pages, gone) = of_endpoints(&endpoints, all, one).await?;
        let mut listing = Listing { gone, ..Listing::default() };
        for PricePage { prices, unclear } in pages {
            listing.prices.extend(prices);
            listing.unclear.extend(unclear);
        }
        let mut cursor: Option<String> = None;
        for _ in 0..OFFERS_MAX {
            let Some(call) = adapter.offers(cursor.as_deref()) else { break };
            let answer = self.patient(credential, "listing", call, now).await?;
            let page = adapter.read_offers(&answer).ok_or_else(|| unread(&answer))?;
            let OfferPage { endpoints, next } = page;
            listing.offered.extend(endpoints);
            if next.is_none() || next == cursor {
                break;
            }
            cursor = next;
        }
        Ok(listing)
    }

    /// `None` if the provider has no list of prices, or does not know one of the endpoints.
    async fn all_prices(
        &self,
        credential: &CredentialId,
        routes: &[&Route],
        now: Timestamp,
    ) -> Result<Option<Vec<PricePage>>, NoList> {
        let adapter = adapter(credential.provider);
        let mut pages = Vec::new();
        for call in adapter.prices(routes) {
            let answer = self.patient(credential, "listing", call, now).await?;
            if answer.says_not_found() {
                return Ok(None);
            }
            pages.push(adapter.read_prices(&answer).ok_or_else(|| unread(&answer))?);
        }
        Ok(Some(pages).filter(|pages| !pages.is_empty()))
    }
}

fn unread(answer: &Answer) -> NoList {
    if answer.is_ok() { NoList::Unreadable } else { refused(answer) }
}
