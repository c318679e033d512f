//! What is asked of a platform when its webhook comes: a certificate, and the confirmation of a subscription.
//!
//! Where it is asked is checked before, by who reads the webhook: a host of the platform's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::public_url::Reach;
use domain::time::Timestamp;
use http::HeaderMap;
use reqwest::redirect::Policy;
use signatures::{BadKey, PayPal, Signing, Verified, VerifyError, verify_signed};
use url::Url;

use super::client;
use super::guard::Guard;

/// For a whole call: the platform waits for our answer, SNS for 15 seconds.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const ANSWER_MAX: usize = 64 * 1024;
/// How long a certificate is kept, and how many.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);
const CERTIFICATES_MAX: usize = 16;

/// The verifier of PayPal's webhook with this id. `authorities` are whom its certificate may be from, in PEM, if
/// not those whom the system trusts.
pub fn paypal(id: &str, authorities: Option<&str>) -> Result<Signing, BadKey> {
    Ok(Signing::PayPal(match authorities {
        Some(pem) => PayPal::new(id, &[pem])?,
        None => PayPal::by_authorities(id, rustls_native_certs::load_native_certs().certs)?,
    }))
}

/// A client of platforms, with their certificates.
#[derive(Debug, Clone)]
pub struct Platforms {
    /// Made when it is needed first: most deployments have no such platform, and a client reads all roots of TLS.
    http: Arc<OnceLock<Option<reqwest::Client>>>,
    /// Another origin for all hosts: the simulators are one server.
    base_url: Option<Url>,
    certificates: Arc<Mutex<BTreeMap<Url, (String, Timestamp)>>>,
}

impl Platforms {
    pub fn new(base_url: Option<Url>) -> Self {
        Self { http: Arc::default(), base_url, certificates: Arc::default() }
    }

    fn http(&self) -> Option<&reqwest::Client> {
        let is_real = self.base_url.is_none();
        let make = || {
            client::builder()
                .redirect(Policy::none())
                .referer(false)
                .user_agent("Genmux")
                .https_only(is_real)
                .timeout(CALL_MAX)
                .dns_resolver(Arc::new(Guard::new(Reach::of(!is_real))))
                .build()
        };
        self.http.get_or_init(|| make().ok()).as_ref()
    }

    /// The certificate at a URL, at most a day old; `None` if it cannot be fetched now.
    async fn certificate(&self, url: &Url, now: Timestamp) -> Option<String> {
        let known = self.kept().get(url).cloned();
        if let Some((pem, at)) = known
            && now.since(at) <= KEPT_MAX
        {
            return Some(pem);
        }
        let pem = self.get(url).await?;
        let mut kept = self.kept();
        if kept.len() >= CERTIFICATES_MAX {
            kept.clear();
        }
        kept.insert(url.clone(), (pem.clone(), now));
        Some(pem)
    }

    /// Proves that a sender made this, by its certificate if it has one. `url` is the address that it called,
    /// query and all.
    pub(crate) async fn verify(
        &self,
        signing: &Signing,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Verified<Bytes>, VerifyError> {
        let Some(at) = signing.certificate_url(headers, &body)? else {
            return verify_signed(signing, url, headers, body, now.as_secs());
        };
        let mut signing = signing.clone();
        if let Some(pem) = self.certificate(&at, now).await {
            signing.add_certificate(at, &pem);
        }
        verify_signed(&signing, url, headers, body, now.as_secs())
    }

    /// Confirms a subscription; whether that was taken.
    pub async fn confirm(&self, url: &Url) -> bool {
        self.get(url).await.is_some()
    }

    /// The text at a URL, if the answer is 200.
    async fn get(&self, url: &Url) -> Option<String> {
        let mut at = url.clone();
        if let Some(base) = &self.base_url {
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            at = base.join(&format!("{}{query}", url.path())).ok()?;
        }
        let mut response = self.http()?.get(at).send().await.ok().filter(|answer| answer.status() == 200)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_MAX {
                return None;
            }
        }
        String::from_utf8(body).ok()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Url, (String, Timestamp)>> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
