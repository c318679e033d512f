//! Policies as pure functions of (state, outcome, now): when to wait, whom to trust.

pub mod backoff;
pub mod health;
