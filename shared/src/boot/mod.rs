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

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Env(#[from] EnvError),
    #[error("the HTTP client does not start")]
    Http(#[source] reqwest::Error),
    #[error("WEBHOOK_TOKEN_SECRET is not usable")]
    CallbackSecrets(#[source] crate::provider::verify::EmptySecret),
}
