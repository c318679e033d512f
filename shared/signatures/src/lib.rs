//! Verifies and signs: webhook signatures, JSON Web Tokens, tags of our own.
//!
//! It knows nothing of jobs and providers, does no I/O and reads no clock: times are arguments, in Unix
//! seconds. A scheme takes all secrets or keys that are active, so that one can replace another.

mod headers;
mod jwks;
pub mod jwt;
mod mac;
pub mod own;
mod schemes;
mod secret;
pub mod tag;
mod verified;

pub use jwks::Jwks;
pub use mac::Hash;
pub use schemes::fal::USER as FAL_USER;
pub use schemes::{
    AbacatePay, Encoding, HmacHeader, HmacRules, PayPal, SendGrid, SignedToken, Signing, Sns,
    StandardWebhooks, Stripe, Twilio, verify_signed,
};
pub use secret::Secret;
pub use verified::{Verified, VerifyError};

/// How far a signed timestamp may be from now, either way, in seconds.
const TOLERANCE_S: u64 = 300;
/// Signatures of one delivery that are tried; the rest are ignored.
const ENTRIES_MAX: usize = 64;

/// No key was given, or one that is empty or malformed, or rules that sign too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("keys and secrets must be present, not empty and well-formed")]
pub struct BadKey;
