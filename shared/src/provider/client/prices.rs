//! The price lists of providers.

use super::transport::Timer;
use super::{Credentials, ProviderClient};
use crate::provider::adapters::adapter;
use domain::catalog::Route;
use domain::price_list::Listed;
use domain::provider::Provider;
use domain::time::Timestamp;

impl ProviderClient {
    /// The listed prices of these routes. Empty if the provider has no price list or its answer cannot
    /// be read.
    pub async fn prices(&self, provider: Provider, routes: &[&Route], now: Timestamp) -> Vec<Listed> {
        let adapter = adapter(provider);
        let Some(call) = adapter.prices(routes) else { return Vec::new() };
        let timer = Timer::start(provider, "prices");
        let sent = self.send(provider, call, Credentials::Key(now), self.timeouts.ping).await;
        let (list, summary) = match &sent {
            Ok(answer) => match adapter.read_prices(answer) {
                Some(list) => (list, ("listed", "")),
                None => (Vec::new(), ("unreadable", answer.cause())),
            },
            Err(lost) => (Vec::new(), ("unreadable", lost.cause())),
        };
        timer.log(&sent, summary);
        list
    }
}
