//! Providers: adapters, HTTP client, downloads, webhook verification.
//!
//! An adapter translates one provider's API and does no I/O; [`client`] sends the calls of all
//! adapters. To add a provider: a file here, a variant of [`Provider`], an arm of [`adapter`],
//! fixtures, and routes in the catalogue.

mod access_token;
mod authenticated;
pub mod callback_token;
mod certain;
pub mod client;
pub mod download;
mod dream_machine;
mod fal;
mod fal_reason;
#[cfg(test)]
mod fixtures;
mod gemini;
mod google;
mod image;
mod input;
pub mod jwks;
mod kling;
mod kling_legacy;
mod luma;
mod minimax;
mod openai;
mod order;
pub mod outcome;
pub mod pace;
mod reading;
mod replicate;
#[cfg(test)]
mod routes;
mod runway;
mod service_account;
mod stability;
mod unlisted;
mod vertex;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use serde_json::Value;
use url::Url;

use domain::catalog::Route;
use domain::id::RemoteJob;
use domain::price_list::Listed;
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};
use signatures::Secret;
use signatures::schemes::fal as fal_scheme;

pub use access_token::AccessToken;
pub use callback_token::{CallbackSecrets, Token};
pub use client::{ProviderClient, ProviderConfig, Timeouts};
pub use image::{FETCH_MAX as IMAGE_WITHIN, Image};
pub use jwks::Delivery;
pub use order::{CreateOrder, LOST_WITHIN, Lost, reference};
pub use outcome::{Canceling, Found, Notice, Outcome, Page, Polled, Seen, Unreadable};
pub use signatures::{Verified, VerifyError};

/// Translates one provider's API. Pure: builds calls and reads answers; no I/O.
pub trait Adapter: Sync {
    fn capabilities(&self) -> Capabilities;
    fn setup(&self) -> Setup;

    /// The header with the key at this time; `None` if the key is malformed.
    fn authorize(&self, key: &Secret, now: Timestamp) -> Option<(HeaderName, String)>;

    /// Fills in unset settings that the key contains.
    fn complete(&self, _settings: &mut Settings, _key: &Secret) {}

    /// The call, without credentials, that exchanges the configured key for an access token, the `key`
    /// of [`Adapter::authorize`]; `None` if the configured key is malformed. Used only with
    /// [`Capabilities::exchanges_key`].
    fn exchange(&self, _key: &Secret, _now: Timestamp) -> Option<Call> {
        None
    }
    fn read_exchange(&self, _answer: &Answer) -> Result<AccessToken, Fault> {
        Err(Fault::new(ErrorClass::Auth, Some("no_such_call"), Billed::No))
    }

    /// The call that starts a remote job. The request must [fit](domain::request::JobRequest::fits) the route. `None` if
    /// this adapter cannot express it; a test excludes that for every route of the catalogue.
    fn create(&self, order: &CreateOrder<'_>, settings: &Settings) -> Option<Call>;
    fn read_create(&self, answer: &Answer) -> Outcome;

    /// The call that polls a remote job; `route` is the attempt's [`Route::name`].
    fn poll(&self, remote: &RemoteJob, route: &str) -> Call;
    fn read_poll(&self, remote: &RemoteJob, route: &str, answer: &Answer) -> Polled;
    /// Reads the answer to the call of [`Polled::Fetch`].
    fn read_result(&self, _remote: &RemoteJob, _answer: &Answer) -> Polled {
        Polled::Unreadable("no_such_call")
    }

    /// The call that cancels a remote job; `None` if the provider has none.
    fn cancel(&self, _remote: &RemoteJob, _route: &str) -> Option<Call> {
        None
    }
    fn read_cancel(&self, answer: &Answer) -> Canceling {
        Canceling::Unreadable(answer.cause())
    }

    /// The call that looks up the remote job of an unconfirmed create.
    fn look_up(&self, _lost: &Lost<'_>) -> Option<Call> {
        None
    }
    fn read_look_up(&self, _lost: &Lost<'_>, answer: &Answer) -> Page {
        Found::Unreadable(answer.cause()).into()
    }

    /// The call that downloads a result that requires the key. `None` for all other URLs: they are
    /// fetched without credentials.
    fn download(&self, _asset: &Url) -> Option<Call> {
        None
    }
    /// The file in a JSON answer to [`Adapter::download`].
    fn read_download(&self, _answer: &Answer) -> Option<Bytes> {
        None
    }

    /// Reads a verified webhook.
    fn read_webhook(&self, _body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        Err(Unreadable("this provider sends no webhooks"))
    }
    /// The required answer to a challenge delivery.
    fn challenge(&self, _body: &Verified<Bytes>) -> Option<Value> {
        None
    }
    /// The call, without credentials, that returns the public keys of webhook signatures.
    fn jwks(&self) -> Option<Call> {
        None
    }

    /// A free authenticated call.
    fn ping(&self, settings: &Settings) -> Call;
    fn read_ping(&self, answer: &Answer) -> Result<(), Fault>;

    /// The free call that returns the prices of these routes.
    fn prices(&self, _routes: &[&Route]) -> Option<Call> {
        None
    }
    /// The known lines of the price list; `None` if the answer is not a price list.
    fn read_prices(&self, _answer: &Answer) -> Option<Vec<Listed>> {
        None
    }
}

/// The adapter of a provider.
pub fn adapter(provider: Provider) -> &'static dyn Adapter {
    match provider {
        Provider::Fal => &fal::Fal,
        Provider::Runway => &runway::Runway,
        Provider::Stability => &stability::Stability,
        Provider::Replicate => &replicate::Replicate,
        Provider::Luma => &luma::Luma,
        Provider::DreamMachine => &dream_machine::DreamMachine,
        Provider::Gemini => &gemini::Gemini,
        Provider::Vertex => &vertex::Vertex,
        Provider::Kling => &kling::Kling,
        Provider::KlingLegacy => &kling_legacy::KlingLegacy,
        Provider::Minimax => &minimax::Minimax,
        Provider::Openai => &openai::Openai,
        Provider::Other(_) => &unlisted::Unlisted,
    }
}

/// Optional capabilities of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// How its webhooks are verified; `None` if it sends none.
    pub webhooks: Option<Scheme>,
    /// Its create answer contains the media.
    pub delivers: bool,
    /// Canceling a finished job destroys its result.
    pub cancel_destroys: bool,
    /// A canceled job is not billed, according to the provider's documentation: see the table of bills
    /// in `certain.rs`.
    pub stop_is_free: bool,
    /// How reliable a look-up of an unconfirmed create is.
    pub look_up: LookUp,
    /// It takes images as bytes: Genmux downloads them before the call.
    pub inline_images: bool,
    /// Calls use an access token instead of the configured key.
    pub exchanges_key: bool,
}

/// The longest name of a provider account that is kept.
const USER_CHARS_MAX: usize = 200;

/// How a provider authenticates its webhooks, in addition to the token in the callback URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// No signature.
    TokenOnly,
    /// Ed25519 over id, user, time and body digest, by any key of a public key set.
    Fal,
    /// HMAC-SHA256 over id, time and body, if the secret is configured.
    StandardWebhooks,
    /// A token of the sender's, by the key of a public key set that it names. It
    /// is not known to cover the body: only an unsigned notification.
    SignedToken,
}

impl Scheme {
    /// Whether it uses `<NAME>_WEBHOOK_SECRET`.
    pub const fn has_secret(self) -> bool {
        match self {
            Self::TokenOnly | Self::Fal | Self::SignedToken => false,
            Self::StandardWebhooks => true,
        }
    }

    const fn has_public_keys(self) -> bool {
        matches!(self, Self::Fal | Self::SignedToken)
    }

    const fn covers_body(self) -> bool {
        matches!(self, Self::Fal | Self::StandardWebhooks)
    }

    /// The provider account in these headers. Valid only after the signature was verified.
    fn user(self, headers: &HeaderMap) -> Option<String> {
        let id = headers.get(fal_scheme::USER).filter(|_| self == Self::Fal)?.to_str().ok()?;
        Some(id.chars().take(USER_CHARS_MAX).collect())
    }
}

/// Whether a remote job can be found without its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LookUp {
    #[default]
    Never,
    /// By input and time, or in a truncated list: a job that is not found may exist.
    Likely,
    /// By Genmux's reference: a job that is not found after a while does not exist.
    Certain,
}

/// The environment variables of a provider, in addition to `<NAME>_BASE_URL` and, if it signs with a
/// secret, `<NAME>_WEBHOOK_SECRET`.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The parts of its key, joined by `:`.
    pub key: &'static [&'static str],
    /// Further variables with their defaults; without a default they must be set.
    pub settings: &'static [(&'static str, Option<&'static str>)],
    /// It has no default origin: `<NAME>_BASE_URL` must be set.
    pub homeless: bool,
}

impl Setup {
    /// A provider with a key and no further settings.
    pub const fn key(key: &'static [&'static str]) -> Self {
        Self { key, settings: &[], homeless: false }
    }
}

/// The values of [`Setup::settings`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// The value; empty if not declared.
    pub fn get(&self, variable: &str) -> &str {
        self.0.get(variable).map_or("", String::as_str)
    }

    /// Sets a value that is missing or empty.
    fn complete(&mut self, variable: &'static str, value: &str) {
        let held = self.0.entry(variable).or_default();
        if held.is_empty() {
            value.clone_into(held);
        }
    }
}

impl FromIterator<(&'static str, String)> for Settings {
    fn from_iter<I: IntoIterator<Item = (&'static str, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A call without its key. Its host is compiled in, or built from compiled-in parts and settings, never
/// from an answer: the key cannot be sent elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub host: Cow<'static, str>,
    pub method: Method,
    pub path_and_query: String,
    pub headers: HeaderMap,
    pub body: Option<Body>,
    /// The maximum size of the answer, in bytes.
    pub answer_max: usize,
}

/// The body of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Json(Value),
    /// `multipart/form-data` with text fields.
    Form(Vec<(&'static str, String)>),
    /// `application/x-www-form-urlencoded`.
    Query(Vec<(&'static str, String)>),
}

impl Call {
    fn new(method: Method, host: impl Into<Cow<'static, str>>, path_and_query: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            method,
            path_and_query: path_and_query.into(),
            headers: HeaderMap::new(),
            body: None,
            answer_max: client::BODY_MAX,
        }
    }

    fn json(mut self, body: Value) -> Self {
        self.body = Some(Body::Json(body));
        self
    }
}

/// A complete answer. Its body is at most [`Call::answer_max`] bytes.
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

    /// The body, if it is a JSON object.
    fn object(&self) -> Option<Value> {
        let body = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        serde_json::from_slice(body).ok().filter(Value::is_object)
    }

    /// Whether it is a success of the provider: with a JSON object or without a body. An HTML page is not.
    fn is_taken(&self) -> bool {
        self.is_ok() && (self.body.is_empty() || self.object().is_some())
    }

    /// Whether it is a 404 with a JSON object; a proxy's page is not.
    fn says_not_found(&self) -> bool {
        self.status == 404 && self.object().is_some()
    }

    /// Why an answer with this status has no job status.
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
