//! What a provider has to say for itself; the frame does everything else.

use std::fmt::Debug;

use anyhow::Context;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use http::Method;
use http::request::Parts;
use serde_json::{Map, Value};

use super::directive::Refusal;
use super::jobs::RemoteJob;
use super::{CallKind, Simulator, media};

/// One provider's wire format. It keeps nothing: what is to be kept is in the [`Simulator`].
pub(super) trait Wire: Debug + Send + Sync {
    /// What the call asks for. Not asked for calls to [`Wire::media`].
    fn kind(&self, call: &Inbound) -> CallKind;

    /// Answers any call but those to [`Wire::media`], with all its effects.
    fn answer<'a>(
        &'a self,
        simulator: &'a Simulator,
        call: &'a Inbound,
    ) -> BoxFuture<'a, anyhow::Result<Answer>>;

    /// How a create is refused; [`Refusal::WrongKey`] on every other call too.
    fn refusal(&self, refusal: Refusal) -> Response;

    /// The key that the call carries, good or not.
    fn key<'a>(&self, call: &'a Inbound) -> Option<&'a str> {
        call.authorization("Bearer ")
    }

    /// Whether a key is good, where no others are configured.
    fn accepts(&self, _simulator: &Simulator, key: &str) -> bool {
        !key.is_empty() && key != "invalid"
    }

    /// What its callers are configured by, where not any text is a key.
    fn credentials(&self, _simulator: &Simulator) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The remote job whose media are at this path; they are downloaded by `GET`.
    fn media<'a>(&self, path: &'a str) -> Option<&'a str> {
        media::id(path)
    }

    /// Whether media are given to those only who have the key.
    fn media_need_key(&self) -> bool {
        false
    }

    /// Whether the provider bills for a job, as it is at a time. It bills for what was stopped
    /// where its document does not say that it does not.
    fn bills(&self, job: &RemoteJob, at: Timestamp) -> bool {
        job.bills(at, true)
    }

    /// What the webhook says of the job's state at a time, signed now; nothing is sent without.
    fn payload(
        &self,
        _simulator: &Simulator,
        _job: &RemoteJob,
        _at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        Ok(None)
    }

    /// A new key to sign webhooks with, drawn once in the life of a file.
    fn draw_secret(&self) -> anyhow::Result<Vec<u8>> {
        let mut fresh = vec![0; 32];
        getrandom::fill(&mut fresh).context("no randomness")?;
        Ok(fresh)
    }

    /// Whether this is a directive of the provider's own, to be found in [`super::directive::Play::own`].
    fn has_directive(&self, _key: &str, _value: &str) -> bool {
        false
    }
}

/// A webhook's content.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) body: String,
    /// The signature and what belongs to it.
    pub(super) signature: Vec<(&'static str, String)>,
}

impl Payload {
    /// What nobody signs.
    pub(super) fn unsigned(body: &Value) -> Self {
        Self { body: body.to_string(), signature: Vec::new() }
    }

    /// Signed now, as Standard Webhooks have it.
    pub(super) fn signed(simulator: &Simulator, id: &str, body: &Value) -> Self {
        let body = body.to_string();
        let signature = simulator.webhook_secret().headers(id, simulator.clock.now(), &body);
        Self { body, signature }
    }
}

/// What a provider does with a call.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(Response),
    /// Close the connection without a byte.
    Hangup,
}

impl<T: IntoResponse> From<T> for Answer {
    fn from(response: T) -> Self {
        Self::Reply(response.into_response())
    }
}

/// A call with its whole body.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Inbound {
    pub(super) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    pub(super) fn is(&self, method: &Method) -> bool {
        self.parts.method == *method
    }

    /// The value of a header, if it is there and text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// What follows the scheme in the `Authorization` header.
    pub(super) fn authorization(&self, scheme: &str) -> Option<&str> {
        self.header("authorization")?.strip_prefix(scheme)
    }

    /// The first value of a query parameter.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The body as a JSON object; else whether it is JSON at all.
    pub(super) fn object(&self) -> Result<Map<String, Value>, NoObject> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(NoObject::OtherJson),
            Err(_) => Err(NoObject::NoJson),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoObject {
    OtherJson,
    NoJson,
}
