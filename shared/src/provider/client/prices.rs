//! What a provider says that its endpoints cost.

use super::{Credentials, ProviderClient, Timer};
use crate::provider::adapter;
use domain::catalog::Route;
use domain::price_list::Listed;
use domain::provider::Provider;
use domain::time::Timestamp;

impl ProviderClient {
    /// What a provider says that these routes cost, as far as it is understood. Nothing where it
    /// cannot be asked, and where its answer cannot be read.
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
