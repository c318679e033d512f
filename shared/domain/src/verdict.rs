//! What a provider says in the end, and how its errors are sorted.

mod words;

use serde::{Deserialize, Serialize};

use super::credit::MicroUsd;
use super::word::stored_by_word;

/// Why a provider did not deliver, in our words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Parameters, a retired model, an unusable file: would fail anywhere.
    InvalidRequest,
    /// Input or output refused for its content: never offered to another provider.
    ContentPolicy,
    /// Our key is missing, wrong or not allowed.
    Auth,
    /// Our balance with the provider is used up.
    InsufficientFunds,
    /// Too fast or too many at once.
    RateLimited,
    /// Their outage, overload or internal error, or they cannot be reached.
    ProviderUnavailable,
    /// A deadline passed, theirs or ours.
    Timeout,
    /// The result was made but can no longer be fetched.
    Expired,
    /// The provider stopped it without being asked.
    Stopped,
    /// The provider says that it has succeeded, and gives no file.
    NoOutput,
    /// The provider does not have the model (any more): other routes may.
    RouteGone,
    /// None of the above.
    Unknown,
    /// A word of a newer release.
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

    /// Whether another attempt may succeed where this one did not.
    ///
    /// A broken request and a policy refusal fail anywhere; a timeout, an expired result
    /// and an unexplained failure may have been billed, and are not paid for twice.
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
    pub const fn passes(self) -> bool {
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
    /// A word of a newer release.
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

/// Why an attempt gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub class: ErrorClass,
    /// The provider's own word for it, at most [`Fault::CODE_MAX`] characters of visible ASCII.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default)]
    pub billed: Billed,
    /// What the provider says of it for people: cleaned, at most [`Fault::WORDS_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

impl Fault {
    pub const CODE_MAX: usize = 60;
    pub const WORDS_MAX: usize = 300;

    pub fn new(class: ErrorClass, code: Option<&str>, billed: Billed) -> Self {
        let tame = |code: &str| -> String {
            code.chars().filter(char::is_ascii_graphic).take(Self::CODE_MAX).collect()
        };
        Self { class, code: code.map(tame).filter(|code| !code.is_empty()), billed, words: None }
    }

    /// With what the provider says of it for people.
    #[must_use]
    pub fn saying(self, text: Option<&str>) -> Self {
        Self { words: text.and_then(words::clean), ..self }
    }

    /// Without what its words repeat of the prompt.
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
    /// It is done and billed; the asset can be fetched from `asset_url` for a while. Where an answer
    /// has several URLs, they are all in it, separated by blanks, which no URL has.
    Finished { asset_url: String, cost: Option<MicroUsd> },
    /// It failed.
    Broke { fault: Fault, cost: Option<MicroUsd> },
    /// It was canceled, at our request or not.
    Canceled { cost: Option<MicroUsd> },
    /// The provider no longer knows it, or no longer has its result.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_word_is_kept_tame_and_short() {
        let kept = |code: &str| Fault::new(ErrorClass::Unknown, Some(code), Billed::Unknown).code;
        assert_eq!(kept("NO_CAPACITY\r\n now").as_deref(), Some("NO_CAPACITYnow"));
        assert_eq!(kept(&"x".repeat(1_000)), Some("x".repeat(60)));
        for nothing in ["", " \n", "\u{1F6A2}"] {
            assert_eq!(kept(nothing), None);
        }
    }
}
