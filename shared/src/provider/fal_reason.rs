//! How fal's errors are sorted.

use http::HeaderMap;
use serde_json::Value;

use super::Answer;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

/// Why fal did not do what was asked, from whatever place it says so.
pub(super) struct Reason {
    /// The HTTP status; 0 where none is known.
    pub(super) status: u16,
    types: Vec<String>,
    pub(super) text: String,
    /// It is an error in fal's shape, not a page of something in between.
    pub(super) is_theirs: bool,
    /// We limited the time, so nothing is down.
    is_our_limit: bool,
}

impl Reason {
    pub(super) fn of(answer: &Answer) -> Self {
        let body: Value = answer.json().unwrap_or_default();
        let header = |name| text_header(&answer.headers, name);
        let mut types = detail_types(&body);
        let infrastructure = body["error_type"].as_str().or_else(|| header("x-fal-error-type"));
        types.extend(infrastructure.map(str::to_owned));
        let detail = &body["detail"];
        let text = detail.as_str().or_else(|| body["error"]["message"].as_str()).unwrap_or_default();
        Self {
            status: answer.status,
            text: text.to_owned(),
            is_theirs: detail.is_string() || detail.is_array() || body["error_type"].is_string(),
            is_our_limit: header("x-fal-request-timeout-type") == Some("user"),
            types,
        }
    }

    /// A failure told in the body of something that went well itself.
    pub(super) fn told(text: &str, types: Vec<String>) -> Self {
        let code = text.split_once("status code: ").and_then(|(_, code)| code.get(..3)?.parse().ok());
        Self { status: code.unwrap_or(0), types, text: text.to_owned(), is_theirs: true, is_our_limit: false }
    }

    pub(super) fn verdict(&self) -> Verdict {
        if self.has(&["client_cancelled", "client_disconnected"]) {
            return Verdict::Canceled { cost: None };
        }
        Verdict::Broke { fault: self.fault(), cost: None }
    }

    /// The verdict, unless it is a failure that says nothing.
    pub(super) fn known_verdict(&self) -> Option<Verdict> {
        let verdict = self.verdict();
        let is_unknown =
            matches!(&verdict, Verdict::Broke { fault, .. } if fault.class == ErrorClass::Unknown);
        (!is_unknown).then_some(verdict)
    }

    pub(super) fn fault(&self) -> Fault {
        let (class, billed) = self.class();
        let policy = self.types.iter().find(|name| *name == POLICY);
        Fault::new(class, policy.or(self.types.first()).map(String::as_str), billed)
    }

    /// The first rule that fits.
    fn class(&self) -> (ErrorClass, Billed) {
        match self.status {
            401 => (ErrorClass::Auth, Billed::No),
            403 if self.is_out_of_money() => (ErrorClass::InsufficientFunds, Billed::No),
            403 => (ErrorClass::Auth, Billed::No),
            _ if self.has(&[POLICY]) => (ErrorClass::ContentPolicy, Billed::Unknown),
            400 | 404 | 413 | 422 => (ErrorClass::InvalidRequest, Billed::Unknown),
            429 => (ErrorClass::RateLimited, Billed::No),
            _ if self.has(&["request_timeout", "startup_timeout", "generation_timeout"]) => {
                let class =
                    if self.is_our_limit { ErrorClass::Timeout } else { ErrorClass::ProviderUnavailable };
                (class, Billed::No)
            }
            500..=599 => (ErrorClass::ProviderUnavailable, Billed::No),
            _ if self.has(&["runner_*", "downstream_*", "internal_*"]) => {
                (ErrorClass::ProviderUnavailable, Billed::No)
            }
            _ if self.has(&["concurrent_requests_limit"]) => (ErrorClass::RateLimited, Billed::No),
            _ if self.has(INPUT_TYPES) => (ErrorClass::InvalidRequest, Billed::Unknown),
            _ => (ErrorClass::Unknown, Billed::Unknown),
        }
    }

    fn is_out_of_money(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        ["user is locked", "exhausted balance", "top_up"].iter().any(|words| text.contains(words))
    }

    /// Whether one of the types is one of these; `*` at the end stands for anything.
    fn has(&self, names: &[&str]) -> bool {
        self.types.iter().any(|given| {
            names.iter().any(|name| match name.strip_suffix('*') {
                Some(start) => given.starts_with(start),
                None => given == name,
            })
        })
    }
}

/// The type of a refusal for content.
const POLICY: &str = "content_policy_violation";

/// Types that blame the input; for where no status says so.
const INPUT_TYPES: &[&str] = &[
    "bad_request",
    "no_media_generated",
    "image_*",
    "file_*",
    "face_detection_error",
    "feature_not_supported",
    "unsupported_*",
    "one_of",
    "greater_than*",
    "less_than*",
    "missing",
    "value_error*",
];

/// The types of a validation error or of a model's own.
pub(super) fn detail_types(body: &Value) -> Vec<String> {
    let items = body["detail"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["type"].as_str()).map(str::to_owned).collect()
}

fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
