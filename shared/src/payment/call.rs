//! One request to a processor, and its answer.

use std::time::Duration;

use domain::payment::trouble::{Class, Trouble};
use http::Method;
use serde_json::Value;
use url::form_urlencoded;

/// A request, without its credentials.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Below the processor's origin, with its query.
    pub(super) path: String,
    pub(super) body: Content,
    /// A repeat under the same key has no further effect.
    pub(super) idempotency_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Nothing,
    Form(Vec<(String, String)>),
    Json(Value),
}

impl Call {
    /// A read.
    pub(super) fn get(path: &str, query: &[(&str, &str)]) -> Self {
        let mut path = path.to_owned();
        if !query.is_empty() {
            path.push('?');
            path.push_str(&form(query.iter().copied()));
        }
        Self { method: Method::GET, path, body: Content::Nothing, idempotency_key: None }
    }

    pub(super) fn post(path: &str, body: Content, key: &str) -> Self {
        let key = Some(key.to_owned());
        Self { method: Method::POST, path: path.to_owned(), body, idempotency_key: key }
    }
}

/// Fields of a form or a query.
pub(super) fn form<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The caller's page with the purchase in its query.
pub(super) fn back_url(url: &str, id: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut url) => {
            url.query_pairs_mut().append_pair("topup", id);
            url.into()
        }
        Err(_) => url.to_owned(),
    }
}

/// An answer with its body. Of a failure that is null where it is no JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Value,
}

impl Answer {
    pub(super) const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// A text in the body.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        text(&self.body, pointer)
    }

    /// The failure of this status, where the processor's own word adds nothing.
    pub(super) fn trouble(&self, code: &str) -> Trouble {
        let class = match self.status {
            401 | 403 => Class::Unauthorized,
            404 => Class::NotFound,
            // It may have been carried out.
            408 => Class::Unknown,
            409 => Class::KeyInUse,
            429 => Class::Throttled,
            400..=499 => Class::Refused,
            _ => Class::Unknown,
        };
        Trouble { retry_after: self.retry_after, ..Trouble::new(class, code) }
    }
}

/// A text in a value that is not empty.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// An https URL in a value, which may be the target of a link.
pub(super) fn https_url(value: &Value, pointer: &str) -> Option<String> {
    const BYTES_MAX: usize = 2_048;
    let url = url::Url::parse(text(value, pointer)?).ok().filter(|url| url.scheme() == "https");
    url.map(String::from).filter(|url| url.len() <= BYTES_MAX)
}

/// The entries of the list that a call is for: an answer without it says nothing.
pub(super) fn entries<'a>(value: &'a Value, pointer: &str) -> Result<&'a [Value], Trouble> {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(unreadable)
}

/// The list at a place of a value, which need not have it; empty for anything else.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    entries(value, pointer).unwrap_or_default()
}

/// An answer that is a success and does not say what it must.
pub(super) fn unreadable() -> Trouble {
    Trouble::new(Class::Unknown, "unreadable_answer")
}
