//! What verification comes to.

use super::TOLERANCE_S;

/// A value whose sender was authenticated. Only this crate makes one.
///
/// ```compile_fail
/// let forged = signatures::Verified(bytes::Bytes::new());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(pub(crate) T);

impl<T> Verified<T> {
    pub fn get(&self) -> &T {
        &self.0
    }

    /// A value that is as authentic as this one. The caller answers for that.
    pub fn map<U>(self, value: impl FnOnce(T) -> U) -> Verified<U> {
        Verified(value(self.0))
    }
}

/// Why verification failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("the callback token is invalid")]
    BadToken,
    #[error("header {0} is missing")]
    MissingHeader(&'static str),
    #[error("header {0} is malformed or sent twice")]
    Malformed(&'static str),
    #[error("the URL is malformed, or a signed part of it is missing or repeated")]
    BadUrl,
    #[error("a signed part of the body is missing or malformed")]
    BadBody,
    #[error("the timestamp is more than {TOLERANCE_S} seconds from now")]
    Stale,
    #[error("the signature matches no key of the provider")]
    BadSignature,
    #[error("the provider's keys are unavailable")]
    NoKeys,
    #[error("this provider sends no webhooks, or is not configured")]
    NoWebhooks,
}

impl VerifyError {
    /// The delivery is malformed or stale (400), not forged (401).
    pub const fn is_stale_or_malformed(self) -> bool {
        matches!(
            self,
            Self::MissingHeader(_) | Self::Malformed(_) | Self::BadUrl | Self::BadBody | Self::Stale
        )
    }

    /// It may be authentic; a retry may succeed (503).
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::NoKeys)
    }
}
