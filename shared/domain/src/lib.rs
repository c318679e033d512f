//! The rules. Pure: no async, no I/O, no clock, no randomness.
//!
//! [`request`] is what a caller orders, [`catalog`] what can be ordered, [`price`] what it
//! costs, [`price_list`] what a provider says that it costs us, [`route`] who is to make it, and
//! [`public_url`] what a URL from outside may be. [`job`] is the thing that must not be lost, and
//! [`decide`] the only place that says how it moves. [`policy`] says when to wait, how much to send
//! and which provider to trust.

pub mod attempt;
pub mod catalog;
pub mod credit;
pub mod decide;
pub mod id;
pub mod job;
pub mod media;
pub mod policy;
pub mod price;
pub mod price_list;
pub mod provider;
pub mod public_url;
pub mod request;
pub mod route;
pub mod time;
pub mod verdict;
mod word;
