//! How the client reaches providers.

use std::time::Duration;

use url::Url;

use crate::provider::adapter::Settings;
use crate::provider::credential::CredentialId;
use signatures::{Secret, StandardWebhooks};

/// How to reach one provider with one key.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    pub credential: CredentialId,
    pub key: Secret,
    pub settings: Settings,
    /// The secret of its webhook signatures, if configured.
    pub webhook_secret: Option<StandardWebhooks>,
    /// Replaces scheme and host of *every* call to this provider. It may end with `/v1`, as in SDKs;
    /// paths then drop theirs.
    pub base_url: Option<Url>,
}

/// The total timeout of each call. Callers must allow for more: a poll of an ended job and a cancel may
/// each make two calls, and a look-up takes as long as two.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    pub create: Duration,
    /// A create whose answer brings the media. No image and no access token may be fetched for it
    /// before: what calls it has no time for both.
    pub deliver: Duration,
    /// Poll, result, cancel.
    pub ask: Duration,
    /// Ping, webhook keys and access tokens.
    pub ping: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            create: Duration::from_secs(30),
            deliver: Duration::from_secs(40),
            ask: Duration::from_secs(10),
            ping: Duration::from_secs(5),
        }
    }
}

impl ProviderConfig {
    /// A provider at its default origin.
    pub fn new(credential: impl Into<CredentialId>, key: Secret) -> Self {
        let credential = credential.into();
        Self { credential, key, settings: Settings::default(), webhook_secret: None, base_url: None }
    }

    pub(in crate::provider) fn url(&self, host: &str, path_and_query: &str) -> String {
        match &self.base_url {
            Some(base) => {
                let base = base.as_str().trim_end_matches('/');
                let path = path_and_query.strip_prefix("/v1").filter(|_| base.ends_with("/v1"));
                format!("{base}{}", path.unwrap_or(path_and_query))
            }
            None => format!("https://{host}{path_and_query}"),
        }
    }
}
