//! The harness: the whole stack in process under a clock that is turned by hand, with a
//! wire that can fail, and an audit after every flow.

mod budgets;
pub mod cost;
pub mod crowd;
pub mod log;
pub mod platform;
pub mod receiver;
pub mod rights;
pub mod runtime;
pub mod simulation;
pub mod socket;
pub mod story;
pub mod vectors;
pub mod wire;
pub mod world;

pub use log::Log;
pub use platform::Platform;
pub use receiver::Receiver;
pub use story::Story;
pub use wire::{Moment, Refusal, Storm, Wire};
pub use world::{Answer, World};

/// How many of something a test plays: so many, or what this variable of the environment says.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many")]
pub fn how_many(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}
