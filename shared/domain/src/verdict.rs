//! The end of a remote job, and the classes of provider errors.

mod words;

use serde::{Deserialize, Serialize};

use super::credit::MicroUsd;
use super::word::stored_by_word;

/// Why a provider did not deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Invalid parameters, a retired model, an unusable file: fails at every provider.
    InvalidRequest,
    /// Input or output rejected by a content policy: never sent to another provider.
    ContentPolicy,
    /// Our key is missing, invalid or not permitted.
    Auth,
    /// Our balance at the provider is empty.
    InsufficientFunds,
    /// Rate limit or concurrency limit of the provider.
    RateLimited,
    /// Outage, overload, internal error or unreachable.
    ProviderUnavailable,
    /// A deadline passed, the provider's or ours.
    Timeout,
    /// The result was made but can no longer be downloaded.
    Expired,
    /// The provider stopped it without a cancel request.
    Stopped,
    /// The provider reports success without a file.
    NoOutput,
    /// The provider does not have the model: other routes may.
    RouteGone,
    /// None of the above.
    Unknown,
    /// A value of a newer release.
    Other(&'static str),
}

stored_by_word!(ErrorClass);

impl ErrorClass {
    pub const ALL: [Self; 12] = [
        Self::InvalidRequest,
        Self::ContentPolicy,
        Self::Auth,
        Self::InsufficientFunds,
        Self::RateLimited,
        Self::ProviderUnavailable,
        Self::Timeout,
        Self::Expired,
        Self::Stopped,
        Self::NoOutput,
        Self::RouteGone,
        Self::Unknown,
    ];

    /// Whether another provider may succeed.
    ///
    /// An invalid request and a policy rejection fail everywhere. A timeout, an expired result and
    /// an unknown failure may have been billed, and are not paid for twice.
    pub const fn fails_over(self) -> bool {
        match self {
            Self::Auth
            | Self::InsufficientFunds
            | Self::RateLimited
            | Self::ProviderUnavailable
            | Self::RouteGone => true,
            Self::InvalidRequest
            | Self::ContentPolicy
            | Self::Timeout
            | Self::Expired
            | Self::Stopped
            | Self::NoOutput
            | Self::Unknown
            | Self::Other(_) => false,
        }
    }

    /// Whether the same route may be tried again after a pause.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::RateLimited | Self::ProviderUnavailable)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::ContentPolicy => "content_policy",
            Self::Auth => "auth",
            Self::InsufficientFunds => "insufficient_funds",
            Self::RateLimited => "rate_limited",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::Timeout => "timeout",
            Self::Expired => "expired",
            Self::Stopped => "stopped",
            Self::NoOutput => "no_output",
            Self::RouteGone => "route_gone",
            Self::Unknown => "unknown",
            Self::Other(word) => word,
        }
    }
}

/// Whether the provider bills us for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Billed {
    Yes,
    No,
    #[default]
    Unknown,
    /// A value of a newer release.
    Other(&'static str),
}

stored_by_word!(Billed);

impl Billed {
    const ALL: [Self; 3] = [Self::Yes, Self::No, Self::Unknown];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
            Self::Other(word) => word,
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub class: ErrorClass,
    /// The provider's error code, at most [`Fault::CODE_MAX`] characters of visible ASCII.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default)]
    pub billed: Billed,
    /// The provider's error message: cleaned, at most [`Fault::WORDS_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

impl Fault {
    pub const CODE_MAX: usize = 60;
    pub const WORDS_MAX: usize = 300;

    pub fn new(class: ErrorClass, code: Option<&str>, billed: Billed) -> Self {
        let clean = |code: &str| -> String {
            code.chars().filter(char::is_ascii_graphic).take(Self::CODE_MAX).collect()
        };
        Self { class, code: code.map(clean).filter(|code| !code.is_empty()), billed, words: None }
    }

    /// With the provider's error message, cleaned.
    #[must_use]
    pub fn saying(self, text: Option<&str>) -> Self {
        Self { words: text.and_then(words::clean), ..self }
    }

    /// Without the parts of the message that repeat the prompt.
    #[must_use]
    pub fn without(self, prompt: &str) -> Self {
        let words = self.words.and_then(|text| words::without(&text, prompt));
        Self { words, ..self }
    }
}

/// How a remote job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It finished and is billed; the file can be downloaded from `asset_url` for a while. Several
    /// URLs are separated by spaces.
    Finished { asset_url: String, cost: Option<MicroUsd> },
    /// It failed.
    Broke { fault: Fault, cost: Option<MicroUsd> },
    /// It was canceled, by us or by the provider.
    Canceled { cost: Option<MicroUsd> },
    /// The provider reports the remote job or its result as not found.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_error_code_is_cleaned_and_bounded() {
        let kept = |code: &str| Fault::new(ErrorClass::Unknown, Some(code), Billed::Unknown).code;
        assert_eq!(kept("NO_CAPACITY\r\n now").as_deref(), Some("NO_CAPACITYnow"));
        assert_eq!(kept(&"x".repeat(1_000)), Some("x".repeat(60)));
        for nothing in ["", " \n", "\u{1F6A2}"] {
            assert_eq!(kept(nothing), None);
        }
    }
}
