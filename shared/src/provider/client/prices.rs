//! The price lists of providers.

use super::transport::Timer;
use super::{Credentials, ProviderClient};
use crate::provider::adapters::adapter;
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
        let adapter = adapter(credential.provider);
        let mut listed = Vec::new();
        for call in adapter.prices(routes) {
            let timer = Timer::start(credential.provider, "prices");
            let sent = self.send(credential, call, Credentials::Key(now), self.timeouts.ping).await;
            let (list, summary) = match &sent {
                Ok(answer) => match adapter.read_prices(answer) {
                    Some(list) => (list, ("listed", "")),
                    None => (Vec::new(), ("unreadable", answer.cause())),
                },
                Err(lost) => (Vec::new(), ("unreadable", lost.cause())),
            };
            timer.log(&sent, summary);
            listed.extend(list);
        }
        listed
    }
}
