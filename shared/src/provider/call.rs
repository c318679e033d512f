//! One call of a provider's API, and its answer.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

/// The default maximum size of an answer, in bytes.
pub(super) const BODY_MAX: usize = 8 << 20;

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
    /// The answer brings the media: it takes as long as they take to make.
    pub delivers: bool,
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
    pub(super) fn new(
        method: Method,
        host: impl Into<Cow<'static, str>>,
        path_and_query: impl Into<String>,
    ) -> Self {
        Self {
            host: host.into(),
            method,
            path_and_query: path_and_query.into(),
            headers: HeaderMap::new(),
            body: None,
            answer_max: BODY_MAX,
            delivers: false,
        }
    }

    pub(super) fn json(mut self, body: Value) -> Self {
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
    pub(super) const fn is_ok(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body, if it is a JSON object.
    pub(super) fn object(&self) -> Option<Value> {
        let body = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        serde_json::from_slice(body).ok().filter(Value::is_object)
    }

    /// Whether it is a success of the provider: with a JSON object or without a body. An HTML page is not.
    pub(super) fn is_taken(&self) -> bool {
        self.is_ok() && (self.body.is_empty() || self.object().is_some())
    }

    /// Whether it is a 404 with a JSON object; a proxy's page is not.
    pub(super) fn says_not_found(&self) -> bool {
        self.status == 404 && self.object().is_some()
    }

    /// Why an answer with this status has no job status.
    pub(super) const fn cause(&self) -> &'static str {
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
