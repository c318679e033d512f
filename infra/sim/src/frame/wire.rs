//! The provider-specific part of a simulator; the frame does everything else.

use std::fmt::Debug;

use anyhow::Context;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use http::Method;
use http::request::Parts;
use serde_json::{Map, Value};

use super::call::CallKind;
use super::jobs::RemoteJob;
use super::play::Refusal;
use super::simulator::Simulator;

/// One provider's wire format. Stateless: the state is in the [`Simulator`].
pub(crate) trait Wire: Debug + Send + Sync {
    /// The kind of a call. Not used for calls to [`Wire::media`].
    fn kind(&self, call: &Inbound) -> CallKind;

    /// Answers any call except those to [`Wire::media`], with all side effects.
    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a>;

    /// The refusal of a create; [`Refusal::WrongKey`] for every other call too.
    fn refusal(&self, refusal: Refusal) -> Response;

    /// The key in the call, valid or not.
    fn key<'a>(&self, call: &'a Inbound) -> Option<&'a str> {
        call.authorization("Bearer ")
    }

    /// Whether a key is valid, if no keys are configured.
    fn accepts(&self, _simulator: &Simulator, key: &str) -> bool {
        !key.is_empty() && key != "invalid"
    }

    /// The environment variables of its clients, if not any text is a valid key.
    fn credentials(&self, _simulator: &Simulator) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The remote job whose media is at this path, for `GET`.
    fn media<'a>(&self, path: &'a str) -> Option<&'a str> {
        media_id(path)
    }

    /// Whether media downloads require the key.
    fn media_need_key(&self) -> bool {
        false
    }

    /// Whether the provider bills a job in its state at a time. Canceled jobs are billed unless the
    /// documentation says otherwise.
    fn bills(&self, job: &RemoteJob, at: Timestamp) -> bool {
        job.bills(at, true)
    }

    /// The webhook payload for the job's state at a time, signed now; `None` sends nothing.
    fn payload(
        &self,
        _simulator: &Simulator,
        _job: &RemoteJob,
        _at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        Ok(None)
    }

    /// A new webhook secret; created once per database.
    fn draw_secret(&self) -> anyhow::Result<Vec<u8>> {
        let mut fresh = vec![0; 32];
        getrandom::fill(&mut fresh).context("no randomness")?;
        Ok(fresh)
    }

    /// Whether this is a directive of this provider, stored in [`super::play::Play::own`].
    fn has_directive(&self, _key: &str, _value: &str) -> bool {
        false
    }
}

/// The job id in the path of a [`super::media::url`].
fn media_id(path: &str) -> Option<&str> {
    let (id, ending) = path.strip_prefix("/media/")?.rsplit_once('.')?;
    ["mp4", "png"].contains(&ending).then_some(id)
}

/// The reaction to a call, when it is ready.
pub(crate) type Answering<'a> = BoxFuture<'a, anyhow::Result<Answer>>;

/// A webhook payload.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) body: String,
    /// The signature headers.
    pub(crate) signature: Vec<(&'static str, String)>,
}

impl Payload {
    /// Without a signature.
    pub(crate) fn unsigned(body: &Value) -> Self {
        Self { body: body.to_string(), signature: Vec::new() }
    }

    /// Signed now (Standard Webhooks).
    pub(crate) fn signed(simulator: &Simulator, id: &str, body: &Value) -> Self {
        let body = body.to_string();
        let signature = simulator.webhook_secret().headers(id, simulator.clock.now(), &body);
        Self { body, signature }
    }
}

/// The reaction to a call.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Response),
    /// Close the connection without an answer.
    Hangup,
}

impl<T: IntoResponse> From<T> for Answer {
    fn from(response: T) -> Self {
        Self::Reply(response.into_response())
    }
}

/// A call with its whole body.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

impl Inbound {
    pub(crate) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    pub(crate) fn is(&self, method: &Method) -> bool {
        self.parts.method == *method
    }

    /// The value of a header, if it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The `Authorization` header without its scheme.
    pub(crate) fn authorization(&self, scheme: &str) -> Option<&str> {
        self.header("authorization")?.strip_prefix(scheme)
    }

    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The body as a JSON object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, NoObject> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(NoObject::OtherJson),
            Err(_) => Err(NoObject::NoJson),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoObject {
    OtherJson,
    NoJson,
}
