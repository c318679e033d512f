//! What a provider lists of our routes, for operators.

use super::ProviderClient;
use super::bill::refused;
use crate::provider::adapters::adapter;
use crate::provider::bill::NoList;
use crate::provider::call::Answer;
use crate::provider::credential::CredentialId;
use crate::provider::listing::{Listing, OfferPage};
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
        let mut listing = Listing::default();
        let calls = adapter.prices(routes);
        // An endpoint that the provider does not know spoils the list of all.
        let mut is_whole = !calls.is_empty();
        for call in calls {
            let answer = self.patient(credential, "listing", call, now).await?;
            if answer.says_not_found() {
                is_whole = false;
                break;
            }
            listing.prices.extend(adapter.read_prices(&answer).ok_or_else(|| unread(&answer))?);
        }
        if !is_whole {
            listing.prices.clear();
            for endpoint in routes.iter().flat_map(|route| route.endpoints()) {
                let call = adapter.endpoint(endpoint).ok_or(NoList::Unlisted)?;
                let answer = self.patient(credential, "listing", call, now).await?;
                match answer.object() {
                    Some(_) if answer.says_not_found() => listing.gone.push(endpoint.to_owned()),
                    Some(_) if answer.is_ok() => {
                        listing.prices.extend(adapter.read_prices(&answer).unwrap_or_default());
                    }
                    _ => return Err(unread(&answer)),
                }
            }
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
}

fn unread(answer: &Answer) -> NoList {
    if answer.is_ok() { NoList::Unreadable } else { refused(answer) }
}
