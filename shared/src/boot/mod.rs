//! Process start, and only that: configuration, clients, telemetry, clock.

pub mod clock;
pub mod config;
pub mod env;
pub mod process;
pub mod random;
pub mod telemetry;

pub use clock::Clock;
pub use env::{Env, EnvError};
pub use process::Process;
pub use random::Random;
