//! What the functions share beside the crates `domain` (the rules) and `signatures` (what verifies and
//! signs): nine rooms with a one-way import rule.
//!
//! ```text
//! store       → domain                the only room that names an AWS type
//! outside     → domain, signatures    what every call to a server that is not ours needs
//! trace       → domain, outside       what becomes a span, and who is sent it
//! provider    → domain, signatures, outside, trace    the outside world that makes video
//! channel     → domain, signatures, outside, trace    the outside world that wants to know
//! inbound     → domain, signatures, outside    the outside world that reports
//! payment     → domain, signatures, outside    the outside world that pays
//! operate     → domain, store         use cases of callers and operators
//! edge        → domain, operate, trace    events in, answers out; of store its errors and keys
//! boot        → everything            process start, and only that
//! ```
//!
//! `store` meets `provider`, `channel` and `payment` only in a function.

pub mod boot;
pub mod channel;
pub mod edge;
pub mod inbound;
pub mod operate;
mod outside;
pub mod payment;
pub mod provider;
pub mod store;
pub mod trace;
