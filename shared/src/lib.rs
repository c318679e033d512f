//! What the functions share beside the crates `domain` (the rules) and `signatures` (what verifies and
//! signs): five rooms with a one-way import rule.
//!
//! ```text
//! store       → domain                the only room that names an AWS type
//! provider    → domain, signatures    the outside world that makes video
//! operate     → domain, store         use cases of operators
//! edge        → domain, operate       events in, answers out; of store its errors and keys
//! boot        → everything            process start, and only that
//! ```
//!
//! `store` and `provider` never meet except in a function.

pub mod boot;
pub mod edge;
pub mod operate;
pub mod provider;
pub mod store;
