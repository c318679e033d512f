//! Process start, and only that: configuration, clients, telemetry, clock.

pub mod clock;
pub mod config;
pub mod env;
pub mod metrics;
mod own_catalog;
pub mod payments;
pub mod process;
pub mod random;
mod secrets;
pub mod senders;
pub mod telemetry;

pub use clock::Clock;
pub use env::{Env, EnvError};
pub use process::Process;
pub use random::Random;

/// Why a process does not start.
#[derive(thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Env(#[from] EnvError),
    #[error("secret {id} cannot be used")]
    Secret {
        id: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the catalogue at {address} cannot be read")]
    Catalog {
        address: String,
        #[source]
        source: crate::store::Error,
    },
    #[error("CATALOG must be s3://BUCKET/KEY")]
    CatalogAddress,
    #[error(transparent)]
    Traces(#[from] crate::trace::BadExporter),
    #[error("the HTTP client does not start")]
    Http(#[source] reqwest::Error),
    #[error("AWS_CA_BUNDLE must name a PEM file of certificates")]
    CaBundle(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("WEBHOOK_TOKEN_SECRET is not usable")]
    CallbackSecrets(#[source] crate::provider::EmptySecret),
}

impl std::fmt::Debug for StartError {
    /// What went wrong and why, in one line: a `main` that ends with an error prints this.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
