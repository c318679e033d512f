//! The integration tests: the whole stack, over its wires.
#![allow(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a test ends where something is missing, and runs its one future once"
)]

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::large_futures, reason = "a test holds a whole world")]

mod api;
mod budget;
mod cancel;
mod crash;
mod documents;
mod flows;
mod store;
mod tidy;
