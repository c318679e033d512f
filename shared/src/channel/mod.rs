//! Where events go: one file for each kind of endpoint, and the one client that calls them all.

mod client;
mod discord;
mod slack;
mod text;
mod webhook;

pub use client::{CALL_MAX, Channels, Envelope, Sent};
pub use webhook::key;

#[cfg(test)]
mod tests;
