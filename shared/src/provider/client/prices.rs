//! The price lists of providers.

use super::transport::Timer;
use super::{Credentials, ProviderClient};
use crate::provider::adapters::adapter;
use crate::provider::call::Answer;
use crate::provider::credential::CredentialId;
use domain::catalog::Route;
use domain::price_list::Listed;
use domain::time::Timestamp;

impl ProviderClient {
    /// The listed prices of these routes. Empty if the provider has no price list; without those whose
    /// answer cannot be read.
    pub async fn prices(
        &self,
        credential: impl Into<CredentialId>,
        routes: &[&Route],
        now: Timestamp,
    ) -> Vec<Listed> {
        let credential = &credential.into();
        if let Some(listed) = self.listed(credential, routes, now).await {
            return listed;
        }
        // An endpoint that the provider does not know spoils the list of all.
        let mut listed = Vec::new();
        for route in routes {
            listed.extend(self.listed(credential, &[route], now).await.unwrap_or_default());
        }
        listed
    }

    /// `None` if the provider says that something is not found.
    async fn listed(
        &self,
        credential: &CredentialId,
        routes: &[&Route],
        now: Timestamp,
    ) -> Option<Vec<Listed>> {
        let adapter = adapter(credential.provider);
        let mut listed = Vec::new();
        for call in adapter.prices(routes) {
            let timer = Timer::start(credential.provider, "prices");
            let sent = self.send(credential, call, Credentials::Key(now), self.timeouts.ping).await;
            let (list, summary) = match &sent {
                Ok(answer) => match adapter.read_prices(answer) {
                    Some(page) => (page.prices, ("listed", "")),
                    None => (Vec::new(), ("unreadable", answer.cause())),
                },
                Err(lost) => (Vec::new(), ("unreadable", lost.cause())),
            };
            timer.log(&sent, summary);
            if sent.as_ref().is_ok_and(Answer::says_not_found) {
                return None;
            }
            listed.extend(list);
        }
        Some(listed)
    }
}
