//! What the functions share: six rooms with a one-way import rule.
//!
//! ```text
//! domain      → nothing               the rules: request, price, job, route, ids
//! resilience  → domain                policies: backoff, limits, health
//! store       → domain, resilience    the only room that names an AWS type
//! provider    → domain, resilience    the outside world that makes video
//! edge        → domain, errors        events in, answers out
//! boot        → everything            process start, and only that
//! ```
//!
//! `store` and `provider` never meet except in a function.

pub mod boot;
pub mod domain;
pub mod edge;
pub mod provider;
pub mod resilience;
pub mod store;
