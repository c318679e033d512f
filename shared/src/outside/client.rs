//! What every HTTP client of ours begins with.

use reqwest::ClientBuilder;

/// Without a proxy of the environment, and by HTTP/1.1: calls that shared a connection by HTTP/2 would lose their
/// answers together, and a lost answer is an unknown outcome.
pub(crate) fn builder() -> ClientBuilder {
    reqwest::Client::builder().no_proxy().http1_only()
}
