//! What a failed call of a processor means.

use std::time::Duration;

use thiserror::Error;

/// The class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The buyer's way to pay was declined: another one may be taken.
    Declined,
    /// A call with the same idempotency key is running, or was made already.
    KeyInUse,
    /// Too many calls.
    Throttled,
    /// Our credentials are refused.
    Unauthorized,
    /// The object does not exist.
    NotFound,
    /// The processor refuses what was sent: a repeat is refused, too.
    Refused,
    /// No answer, or none that can be read: what was sent may have been carried out.
    Unknown,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {code}", class.name())]
pub struct Trouble {
    pub class: Class,
    /// The processor's word for it, or ours.
    pub code: String,
    /// The wait that the processor asks for.
    pub retry_after: Option<Duration>,
}

impl Class {
    pub const ALL: [Self; 7] = [
        Self::Declined,
        Self::KeyInUse,
        Self::Throttled,
        Self::Unauthorized,
        Self::NotFound,
        Self::Refused,
        Self::Unknown,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::KeyInUse => "key_in_use",
            Self::Throttled => "throttled",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::KeyInUse | Self::Throttled | Self::Unauthorized | Self::Unknown)
    }

    /// What a person is shown.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Declined => "The payment was declined. Another way to pay may be accepted.",
            Self::KeyInUse => "The same request is being carried out. It is safe to retry.",
            Self::Throttled => "The payment processor takes no more requests now. It is safe to retry.",
            Self::Unauthorized => "Payments are not available now. The operator must act.",
            Self::NotFound => "The payment processor does not know this purchase.",
            Self::Refused => "The payment processor refuses this purchase. A repeat is refused, too.",
            Self::Unknown => {
                "The payment processor gave no answer. A retry with the same Idempotency-Key is safe."
            }
        }
    }
}

impl Trouble {
    /// Keeps of a foreign code what may be printed: at most 64 letters, digits, `_`, `-` and `.`.
    pub fn new(class: Class, code: &str) -> Self {
        let is_allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let code: String = code.chars().filter(is_allowed).take(64).collect();
        let code = if code.is_empty() { class.name().to_owned() } else { code.to_ascii_lowercase() };
        Self { class, code, retry_after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_a_processor_is_cleaned_and_never_empty() {
        let code = |text: &str| Trouble::new(Class::Refused, text).code;
        assert_eq!(code("Card_Declined"), "card_declined");
        assert_eq!(code("a b\n<i>"), "abi");
        assert_eq!((code(""), code("\u{1f600}")), ("refused".to_owned(), "refused".to_owned()));
        assert_eq!(code(&"x".repeat(100)).len(), 64);
    }

    #[test]
    fn each_class_says_whether_a_repeat_may_help() {
        let retryable: Vec<_> =
            Class::ALL.into_iter().filter(|class| class.is_retryable()).map(Class::name).collect();
        assert_eq!(retryable, ["key_in_use", "throttled", "unauthorized", "unknown"]);
    }
}
