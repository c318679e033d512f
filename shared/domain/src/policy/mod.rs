//! Policies as pure functions of (state, outcome, now).

pub mod admission;
pub mod alarm;
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod health;
pub mod limit;
pub mod live;
pub mod losses;
pub mod rules;
pub mod watch;
