//! The outside world that makes video: adapters, the one HTTP path, verification.
//!
//! An adapter knows what one provider's API means and never sends anything; [`client`]
//! sends for all of them and knows no provider. To add one: a file here, a variant of
//! [`Provider`], an arm of [`adapter`], its fixtures and its routes in the catalogue.

mod access;
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
mod keyed;
mod kling;
mod kling_legacy;
mod luma;
mod minimax;
mod openai;
pub mod outcome;
pub mod pace;
mod reading;
mod replicate;
#[cfg(test)]
mod routes;
mod runway;
pub mod secret;
mod service_account;
mod stability;
mod unlisted;
pub mod verify;
mod vertex;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use serde_json::Value;
use url::Url;

use domain::catalog::Route;
use domain::id::{JobId, RemoteJob};
use domain::price_list::Listed;
use domain::provider::Provider;
use domain::request::JobRequest;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};

pub use access::Access;
pub use client::{ProviderClient, ProviderConfig, Timeouts};
pub use image::{FETCH_MAX as IMAGE_WITHIN, Image};
pub use jwks::Jwks;
pub use outcome::{Canceling, Found, Notice, Outcome, Page, Polled, Seen, Unreadable};
pub use secret::Secret;
pub use verify::{CallbackSecrets, Delivery, Scheme, Token, Verified, VerifyError};

/// What one provider's API means. Pure: builds calls and reads answers; never sends.
pub trait Adapter: Sync {
    fn capabilities(&self) -> Capabilities;
    fn setup(&self) -> Setup;

    /// The header that carries the key, as of now; `None` if the key is malformed.
    fn authorize(&self, key: &Secret, now: Timestamp) -> Option<(HeaderName, String)>;

    /// Fills in the settings that are not set and that the key tells.
    fn complete(&self, _settings: &mut Settings, _key: &Secret) {}

    /// The call, without credentials, that exchanges the configured key for the one that
    /// [`Adapter::authorize`] is then given; `None` if that key is malformed. Made where
    /// [`Capabilities::exchanges_key`] says so.
    fn exchange(&self, _key: &Secret, _now: Timestamp) -> Option<Call> {
        None
    }
    fn read_exchange(&self, _answer: &Answer) -> Result<Access, Fault> {
        Err(Fault::new(ErrorClass::Auth, Some("no_such_call"), Billed::No))
    }

    /// The call that starts a remote job. The request [fits](JobRequest::fits) the route;
    /// `None` if this adapter has no way to say it all the same, which a test excludes for
    /// every route of the catalogue.
    fn create(&self, order: &CreateOrder<'_>, settings: &Settings) -> Option<Call>;
    fn read_create(&self, answer: &Answer) -> Outcome;

    /// The call that asks after a remote job; `route` is the attempt's [`Route::name`].
    fn poll(&self, remote: &RemoteJob, route: &str) -> Call;
    fn read_poll(&self, remote: &RemoteJob, route: &str, answer: &Answer) -> Polled;
    /// Reads the answer to the call of [`Polled::Fetch`].
    fn read_result(&self, _remote: &RemoteJob, _answer: &Answer) -> Polled {
        Polled::Unreadable("no_such_call")
    }

    /// The call that asks a remote job to stop; `None` if the provider knows no such thing.
    fn cancel(&self, _remote: &RemoteJob, _route: &str) -> Option<Call> {
        None
    }
    fn read_cancel(&self, answer: &Answer) -> Canceling {
        Canceling::Unreadable(answer.cause())
    }

    /// The call that looks for a remote job whose create answer was lost.
    fn look_up(&self, _lost: &Lost<'_>) -> Option<Call> {
        None
    }
    fn read_look_up(&self, _lost: &Lost<'_>, answer: &Answer) -> Page {
        Found::Unreadable(answer.cause()).into()
    }

    /// The call that fetches a file of ours which the provider gives only to its key. `None`
    /// for all other URLs: they are fetched without credentials, like anybody's.
    fn download(&self, _asset: &Url) -> Option<Call> {
        None
    }
    /// The file in an answer to that call which is JSON, and so not the file itself.
    fn read_download(&self, _answer: &Answer) -> Option<Bytes> {
        None
    }

    /// What a webhook says; the body was proved to come from the provider.
    fn read_webhook(&self, _body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        Err(Unreadable("this provider sends no webhooks"))
    }
    /// What must be answered to a delivery that only asks whether we are there.
    fn challenge(&self, _body: &Verified<Bytes>) -> Option<Value> {
        None
    }
    /// The call, without credentials, that gives the keys which webhooks are signed with.
    fn jwks(&self) -> Option<Call> {
        None
    }

    /// A free call that needs the key.
    fn ping(&self, settings: &Settings) -> Call;
    fn read_ping(&self, answer: &Answer) -> Result<(), Fault>;

    /// The free call that asks what these routes cost.
    fn prices(&self, _routes: &[&Route]) -> Option<Call> {
        None
    }
    /// The lines of the price list that are understood; `None` if the answer is no price list.
    fn read_prices(&self, _answer: &Answer) -> Option<Vec<Listed>> {
        None
    }
}

/// The one place that knows which adapter is whose.
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

/// What a provider can do beyond taking orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// How its webhooks are proved; `None` if it sends none.
    pub webhooks: Option<Scheme>,
    /// Its create answer is the media itself.
    pub delivers: bool,
    /// Canceling a job that has ended destroys its result.
    pub cancel_destroys: bool,
    /// A job that is stopped before its end is not billed, says the provider's document: see the
    /// table of bills in `certain.rs`.
    pub stop_is_free: bool,
    /// How far a look-up for a lost create answer can be trusted.
    pub look_up: LookUp,
    /// It takes images as bytes: they are fetched before it is called.
    pub inline_images: bool,
    /// Calls are not made with the configured key but with what it is exchanged for.
    pub exchanges_key: bool,
}

/// Whether a remote job can be found without its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LookUp {
    #[default]
    Never,
    /// By likeness, or in a list that may be cut: what is not found may still exist.
    Likely,
    /// By our own reference: what is not found after a while was never made.
    Certain,
}

/// Which variables a provider is configured by, beside `<NAME>_BASE_URL` and, where it signs
/// with a secret, `<NAME>_WEBHOOK_SECRET`.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// What makes up its key, joined by `:`.
    pub key: &'static [&'static str],
    /// What else it must know, and what holds where it is not set; `None`: it must be set.
    pub settings: &'static [(&'static str, Option<&'static str>)],
    /// It has no origin of its own: `<NAME>_BASE_URL` must be set.
    pub homeless: bool,
}

impl Setup {
    /// A provider that needs its key alone.
    pub const fn key(key: &'static [&'static str]) -> Self {
        Self { key, settings: &[], homeless: false }
    }
}

/// The values of [`Setup::settings`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// An empty text for what was not declared.
    pub fn get(&self, variable: &str) -> &str {
        self.0.get(variable).map_or("", String::as_str)
    }

    /// Sets what is not set, or is empty.
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

/// An attempt, as an adapter needs it.
#[derive(Debug, Clone, Copy)]
pub struct CreateOrder<'a> {
    pub request: &'a JobRequest,
    pub route: &'a Route,
    /// Where the provider shall report the end; `None` if nobody would hear it.
    pub callback: Option<&'a Url>,
    /// Our name for the attempt, as a label: `<job>.<attempt>`.
    pub reference: &'a str,
    /// What `image_url` and `last_frame_url` of the request name, where the provider is to have
    /// the bytes. [`ProviderClient::create`] fetches them.
    pub image: Option<&'a Image>,
    pub last_frame: Option<&'a Image>,
}

impl<'a> CreateOrder<'a> {
    /// An order whose end nobody hears of, and whose images, where their bytes are needed, are
    /// still to be fetched.
    pub const fn new(request: &'a JobRequest, route: &'a Route, reference: &'a str) -> Self {
        Self { request, route, callback: None, reference, image: None, last_frame: None }
    }

    /// The provider's name for what shall do this: for orders with an image and a last frame,
    /// with an image, or without.
    fn endpoint(&self) -> &str {
        let Route { endpoint, image_endpoint, last_frame_endpoint, .. } = self.route;
        let endpoint = match (&self.request.image_url, &self.request.last_frame_url) {
            (Some(_), Some(_)) if last_frame_endpoint.is_some() => last_frame_endpoint,
            (Some(_), _) => image_endpoint,
            (None, _) => endpoint,
        };
        endpoint.as_deref().expect("a request fits only routes that have an endpoint for it")
    }
}

/// What an attempt is called in the orders of providers that take a name of ours for it.
pub fn reference(job: &JobId, attempt: u8) -> String {
    format!("{job}.{attempt}")
}

/// An attempt whose create answer was lost.
#[derive(Debug, Clone, Copy)]
pub struct Lost<'a> {
    /// As it was sent, but for the callback: [`Lost::is_callback`] knows that.
    pub order: CreateOrder<'a>,
    /// When it was claimed; the create call followed within [`LOST_WITHIN`].
    pub started_at: Timestamp,
}

impl Lost<'_> {
    /// Whether a URL is the callback that this attempt was sent with: its token begins with
    /// the attempt's name.
    pub fn is_callback(&self, url: &str) -> bool {
        let name = self.order.reference.strip_prefix(JobId::PREFIX).unwrap_or(self.order.reference);
        let token = url.rsplit('/').next().unwrap_or_default();
        token.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// How long after its claim an attempt's create call can still have been under way.
pub const LOST_WITHIN: Duration = Duration::from_secs(60);

/// How far a provider's clock may be from ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(30);

impl Lost<'_> {
    /// When its remote job was made, if it was: from when to when, allowing for their clock.
    fn window(&self) -> (Timestamp, Timestamp) {
        (self.started_at.minus(CLOCKS_DIFFER), self.started_at + LOST_WITHIN + CLOCKS_DIFFER)
    }

    /// Of remote jobs with the same input, by id and time: those made at the time.
    fn find<'i>(&self, alike: impl Iterator<Item = (&'i Value, &'i Value)>) -> Found {
        let (from, to) = self.window();
        let mut found = Vec::new();
        for (id, time) in alike {
            let (Some(remote), Some(time)) = (reading::remote(id), reading::timestamp(time)) else {
                return Found::Unreadable("unusable_item");
            };
            if time >= from && time <= to {
                found.push(remote);
            }
        }
        if found.is_empty() { Found::Nothing } else { Found::Alike(found) }
    }
}

/// A call that is ready but for the key. Its host is compiled in, or made of what is compiled
/// in and the deployer's settings: the key can never go elsewhere, whatever an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub host: Cow<'static, str>,
    pub method: Method,
    pub path_and_query: String,
    pub headers: HeaderMap,
    pub body: Option<Body>,
    /// The longest answer that is read, in bytes.
    pub answer_max: usize,
}

/// What a call carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Json(Value),
    /// `multipart/form-data` of texts.
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

/// A whole answer. Its body is at most as long as its call allows.
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

    /// The body, if it is an object in JSON.
    fn object(&self) -> Option<Value> {
        let body = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        serde_json::from_slice(body).ok().filter(Value::is_object)
    }

    /// Whether it is a success of theirs: with an object or without a body. A page is not.
    fn is_taken(&self) -> bool {
        self.is_ok() && (self.body.is_empty() || self.object().is_some())
    }

    /// Whether it speaks of a thing that is not there, in JSON: a proxy's page does not count.
    fn says_not_found(&self) -> bool {
        self.status == 404 && self.object().is_some()
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
