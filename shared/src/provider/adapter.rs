//! What an adapter is: the translation of one provider's API.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use url::Url;

use super::bill::{BillOf, BillPage};
use super::call::{Answer, Call};
use super::listing::{OfferPage, PricePage};
use super::order::{CreateOrder, Lost};
use super::outcome::{Canceling, Found, Notice, Outcome, Page, Polled, Unreadable};
use domain::catalog::{DurationFormat, Fields, Route};
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};
use signatures::{FAL_USER, Secret, Verified};

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

    /// Whether calls of this route can be built: its endpoint and what it says of its input.
    ///
    /// # Errors
    ///
    /// Why not.
    fn check_route(&self, route: &Route) -> Result<(), &'static str> {
        has_usual_input(route)
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

    /// The free calls that return the prices of these routes.
    fn prices(&self, _routes: &[&Route]) -> Vec<Call> {
        Vec::new()
    }
    /// The lines of the price list; `None` if the answer is not a price list.
    fn read_prices(&self, _answer: &Answer) -> Option<PricePage> {
        None
    }

    /// The free call whose answer is a 404 if the provider does not know this endpoint; of a provider with a price
    /// list, the call of its price.
    fn endpoint(&self, _endpoint: &str) -> Option<Call> {
        None
    }
    /// The free call that lists what the provider offers, from a cursor on.
    fn offers(&self, _cursor: Option<&str>) -> Option<Call> {
        None
    }
    /// A page of that list; `None` if the answer is none.
    fn read_offers(&self, _answer: &Answer) -> Option<OfferPage> {
        None
    }
    /// How many segments of an endpoint name a family of models.
    fn family(&self) -> usize {
        1
    }

    /// The free call for one part of the list of what the account was billed for, or had made, from a cursor on.
    /// `None` if there is no such list, and for a part after the last.
    fn bill(&self, _of: &BillOf<'_>, _part: usize, _cursor: Option<&str>) -> Option<Call> {
        None
    }
    /// A page of that list; `None` if the answer is none.
    fn read_bill(&self, _of: &BillOf<'_>, _cursor: Option<&str>, _answer: &Answer) -> Option<BillPage> {
        None
    }
    /// Whether that list has the remote jobs of this route.
    fn lists_route(&self, _route: &str) -> bool {
        true
    }
    /// How long that list has a remote job; `None` if it says no limit.
    fn listed_for(&self) -> Option<Duration> {
        None
    }
}

/// That a route says nothing of its input: all models of the provider have one form.
pub(super) fn has_usual_input(route: &Route) -> Result<(), &'static str> {
    let is_usual = route.fields == Fields::default() && route.duration_format == DurationFormat::default();
    if is_usual { Ok(()) } else { Err("its input has one form: leave out `fields` and `duration_format`") }
}

/// An access token and its lifetime.
#[derive(Debug, Clone)]
pub struct AccessToken {
    pub key: Secret,
    pub lasts: Duration,
}

/// Optional capabilities of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// How its webhooks are verified; `None` if it sends none.
    pub webhooks: Option<Scheme>,
    /// Its create answers contain the media, or those to orders of images do.
    pub delivers: bool,
    /// Canceling a finished job destroys its result.
    pub cancel_destroys: bool,
    /// A canceled job is not billed, according to the provider's documentation: see the table of bills
    /// in `reading/certain.rs`.
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

    pub(super) const fn has_public_keys(self) -> bool {
        matches!(self, Self::Fal | Self::SignedToken)
    }

    pub(super) const fn covers_body(self) -> bool {
        matches!(self, Self::Fal | Self::StandardWebhooks)
    }

    /// The provider account in these headers. Valid only after the signature was verified.
    pub(super) fn user(self, headers: &HeaderMap) -> Option<String> {
        let id = headers.get(FAL_USER).filter(|_| self == Self::Fal)?.to_str().ok()?;
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
    /// The key that may read its bills, in the place of one of a single part. No function gets it.
    pub bill_key: Option<&'static str>,
    /// Further variables with their defaults; without a default they must be set.
    pub settings: &'static [(&'static str, Option<&'static str>)],
    /// It has no default origin: `<NAME>_BASE_URL` must be set.
    pub homeless: bool,
}

impl Setup {
    /// A provider with a key and no further settings.
    pub const fn key(key: &'static [&'static str]) -> Self {
        Self { key, bill_key: None, settings: &[], homeless: false }
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
    pub(super) fn complete(&mut self, variable: &'static str, value: &str) {
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
