//! What every HTTP client of ours begins with.

use reqwest::ClientBuilder;

use super::tls;

/// Without a proxy of the environment, and by HTTP/1.1: calls that shared a connection by HTTP/2 would lose their
/// answers together, and a lost answer is an unknown outcome.
pub(crate) fn builder() -> ClientBuilder {
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls::config(b"http/1.1")).http1_only()
}

/// The same by HTTP/2, for a vendor that speaks nothing else.
pub(crate) fn http2() -> ClientBuilder {
    let builder = reqwest::Client::builder().no_proxy();
    builder.tls_backend_preconfigured(tls::config(b"h2")).http2_prior_knowledge()
}
