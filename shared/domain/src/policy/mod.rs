//! Policies as pure functions of (state, outcome, now): when to wait, whom to trust, how much.

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod gate;
pub mod health;
pub mod limit;
pub mod losses;
