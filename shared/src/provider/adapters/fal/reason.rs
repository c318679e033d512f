//! Classification of fal's errors.

use http::HeaderMap;
use serde_json::Value;

use crate::provider::call::Answer;
use crate::provider::reading;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};

/// Why a call or a run failed, from any field.
pub(super) struct Reason {
    /// The HTTP status; 0 if unknown.
    pub(super) status: u16,
    types: Vec<String>,
    /// The human-readable text.
    pub(super) text: String,
    /// We limited the time, so nothing is down.
    is_our_limit: bool,
}

impl Reason {
    pub(super) fn of(answer: &Answer) -> Self {
        let body = answer.object().unwrap_or_default();
        let header = |name| text_header(&answer.headers, name);
        let mut types = detail_types(&body);
        let infrastructure = body["error_type"].as_str().or_else(|| header("x-fal-error-type"));
        types.extend(infrastructure.map(str::to_owned));
        let text = reading::says(&body["detail"]).or_else(|| reading::says(&body)).unwrap_or_default();
        Self {
            status: answer.status,
            text: text.to_owned(),
            is_our_limit: header("x-fal-request-timeout-type") == Some("user"),
            types,
        }
    }

    /// A failure in the body of a successful answer.
    pub(super) fn of_body(text: &str, types: Vec<String>) -> Self {
        let code = text.split_once("status code: ").and_then(|(_, code)| code.get(..3)?.parse().ok());
        Self { status: code.unwrap_or(0), types, text: text.to_owned(), is_our_limit: false }
    }

    /// Whether it blames anything: an object that does not is no word of theirs.
    pub(super) fn says_something(&self) -> bool {
        !self.text.is_empty() || !self.types.is_empty()
    }

    pub(super) fn verdict(&self) -> Verdict {
        if self.has(&["client_cancelled", "client_disconnected"]) {
            return Verdict::Canceled { cost: None };
        }
        let billed = if self.is_the_servers() { Billed::No } else { Billed::Unknown };
        Verdict::Broke { fault: self.fault(billed), cost: None }
    }

    /// The verdict, unless it is a failure that says nothing.
    pub(super) fn known_verdict(&self) -> Option<Verdict> {
        let verdict = self.verdict();
        let is_unknown =
            matches!(&verdict, Verdict::Broke { fault, .. } if fault.class == ErrorClass::Unknown);
        (!is_unknown).then_some(verdict)
    }

    /// Why a call was refused. What blames the input may have cost time on a machine.
    pub(super) fn refusal(&self) -> Fault {
        let billed = match self.class() {
            ErrorClass::ContentPolicy | ErrorClass::InvalidRequest | ErrorClass::Unknown => Billed::Unknown,
            _ => Billed::No,
        };
        self.fault(billed)
    }

    fn fault(&self, billed: Billed) -> Fault {
        let policy = self.types.iter().find(|name| *name == POLICY);
        let code = policy.or(self.types.first()).map(String::as_str);
        Fault::new(self.class(), code, billed).saying(Some(&self.text))
    }

    /// Whether a run failed by an error of the server, which is never billed.
    fn is_the_servers(&self) -> bool {
        let by_type = self.status == 0 && (self.has(TIMEOUT_TYPES) || self.has(SERVER_TYPES));
        matches!(self.status, 500..=599) || by_type
    }

    /// The first matching rule.
    fn class(&self) -> ErrorClass {
        match self.status {
            401 => ErrorClass::Auth,
            403 if self.is_out_of_money() => ErrorClass::InsufficientFunds,
            403 => ErrorClass::Auth,
            _ if self.has(&[POLICY]) => ErrorClass::ContentPolicy,
            400 | 404 | 413 | 422 => ErrorClass::InvalidRequest,
            429 => ErrorClass::RateLimited,
            _ if self.has(TIMEOUT_TYPES) && self.is_our_limit => ErrorClass::Timeout,
            500..=599 => ErrorClass::ProviderUnavailable,
            _ if self.has(TIMEOUT_TYPES) || self.has(SERVER_TYPES) => ErrorClass::ProviderUnavailable,
            _ if self.has(&["concurrent_requests_limit"]) => ErrorClass::RateLimited,
            _ if self.has(INPUT_TYPES) => ErrorClass::InvalidRequest,
            _ => ErrorClass::Unknown,
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

/// Types of errors that come with a status of 5xx, for where no status is known.
const TIMEOUT_TYPES: &[&str] = &["request_timeout", "startup_timeout", "generation_timeout"];
const SERVER_TYPES: &[&str] = &["runner_*", "downstream_*", "internal_*"];

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
