//! The outside world that makes video: adapters, the one HTTP path, verification.
//!
//! An adapter knows what one provider's API means and never sends anything; [`client`]
//! sends for all of them and knows no provider. To add one: a file here, a variant of
//! [`Provider`], an arm of [`adapter`], its fixtures and its routes in the catalogue.

pub mod client;
pub mod download;
mod fal;
mod fal_reason;
#[cfg(test)]
mod fixtures;
pub mod jwks;
pub mod outcome;
mod runway;
pub mod secret;
pub mod verify;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};

use crate::domain::catalog::Route;
use crate::domain::id::RemoteJob;
use crate::domain::provider::Provider;
use crate::domain::request::JobRequest;
use crate::domain::verdict::Fault;

pub use client::{ProviderClient, ProviderConfig, Timeouts};
pub use jwks::Jwks;
pub use outcome::{Canceling, Notice, Outcome, Polled, Unreadable};
pub use secret::Secret;
pub use verify::{CallbackSecrets, Scheme, Token, Verified, VerifyError};

/// What one provider's API means. Pure: builds calls and reads answers; never sends.
pub trait Adapter: Sync {
    fn capabilities(&self) -> Capabilities;

    /// The header that carries the key.
    fn authorize(&self, key: &Secret) -> (HeaderName, String);

    /// The call that starts a remote job. The request [fits](JobRequest::fits) the route.
    fn create(&self, order: &CreateOrder<'_>) -> Call;
    fn read_create(&self, answer: &Answer) -> Outcome;

    /// The call that asks after a remote job; `route` is the attempt's [`Route::name`].
    fn poll(&self, remote: &RemoteJob, route: &str) -> Call;
    fn read_poll(&self, remote: &RemoteJob, route: &str, answer: &Answer) -> Polled;
    /// Reads the answer to the call of [`Polled::Fetch`].
    fn read_result(&self, remote: &RemoteJob, answer: &Answer) -> Polled;

    /// The call that asks a remote job to stop; `None` if the provider knows no such thing.
    fn cancel(&self, remote: &RemoteJob, route: &str) -> Option<Call>;
    fn read_cancel(&self, answer: &Answer) -> Canceling;

    /// What a webhook says; the body was proved to come from the provider.
    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable>;
    /// The call, without credentials, that gives the keys which webhooks are signed with.
    fn jwks(&self) -> Option<Call>;

    /// A free call that needs the key.
    fn ping(&self) -> Call;
    fn read_ping(&self, answer: &Answer) -> Result<(), Fault>;
}

/// The one place that knows which adapter is whose.
pub fn adapter(provider: Provider) -> &'static dyn Adapter {
    match provider {
        Provider::Fal => &fal::Fal,
        Provider::Runway => &runway::Runway,
    }
}

/// What a provider can do beyond taking orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// How its webhooks are proved; `None` if it sends none.
    pub webhooks: Option<Scheme>,
    pub polls: bool,
    pub cancels: bool,
    /// Canceling a job that has ended destroys its result.
    pub cancel_destroys: bool,
    /// A create may be repeated safely under the same key.
    pub idempotency_key: bool,
    /// A remote job can be found by our reference to it.
    pub look_up: bool,
}

/// An attempt, as an adapter needs it.
#[derive(Debug, Clone, Copy)]
pub struct CreateOrder<'a> {
    pub request: &'a JobRequest,
    pub route: &'a Route,
    /// Where the provider shall report the end; `None` if nobody would hear it.
    pub callback: Option<&'a Url>,
    /// Our name for the attempt, as a label: `<job>.<attempt>`.
    pub reference: &'a str,
}

impl CreateOrder<'_> {
    /// The provider's name for what shall do this: for orders with an image, or without.
    fn endpoint(&self) -> &str {
        let endpoint = match self.request.image_url {
            Some(_) => &self.route.image_endpoint,
            None => &self.route.endpoint,
        };
        endpoint.as_deref().expect("a request fits only routes that have an endpoint for it")
    }
}

/// A call that is ready but for the key. It can only go to a host that is compiled in, so
/// the key can never go elsewhere, whatever an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub host: &'static str,
    pub method: Method,
    pub path_and_query: String,
    pub headers: HeaderMap,
    pub body: Option<Value>,
}

impl Call {
    fn new(method: Method, host: &'static str, path_and_query: impl Into<String>) -> Self {
        Self { host, method, path_and_query: path_and_query.into(), headers: HeaderMap::new(), body: None }
    }
}

/// A whole answer. Its body is at most [`client::BODY_MAX`] bytes.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    const fn is_ok(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body, if it is JSON of this shape.
    fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Whether it speaks of a thing that is not there, in JSON: a proxy's page does not count.
    fn says_not_found(&self) -> bool {
        self.status == 404 && self.json::<serde_json::Map<String, Value>>().is_some()
    }

    /// Why an answer with this status tells nothing about the job that was asked after.
    const fn cause(&self) -> &'static str {
        match self.status {
            200..=299 => "unknown_answer",
            300..=399 => "redirect",
            401 | 403 => "unauthorized",
            404 => "not_found",
            429 => "rate_limited",
            500.. => "server_error",
            _ => "unexpected_status",
        }
    }
}

/// A remote job whose id is safe as one segment of a path; `None` for anything else.
fn remote_job(id: &str, handle: Option<&str>) -> Option<RemoteJob> {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    plain.then(|| RemoteJob::new(id, handle)).flatten()
}

/// Longest URL of a result that is kept, in bytes.
const ASSET_URL_MAX: usize = 8_192;

/// The URL of a result: https, or http on this machine, where only simulators are.
/// What it resolves to is the business of whoever fetches it.
fn asset_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= ASSET_URL_MAX)?;
    let loopback = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    };
    let safe = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    safe.then(|| text.to_owned())
}
