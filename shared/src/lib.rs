//! What the functions share beside the crates `domain` (the rules) and `signatures` (what verifies and
//! signs): four rooms with a one-way import rule.
//!
//! ```text
//! store       → domain                the only room that names an AWS type
//! provider    → domain, signatures    the outside world that makes video
//! edge        → domain, errors        events in, answers out
//! boot        → everything            process start, and only that
//! ```
//!
//! `store` and `provider` never meet except in a function.

pub mod boot;
pub mod edge;
pub mod provider;
pub mod store;
