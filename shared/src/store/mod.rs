//! The table, the queues and the bucket: the only module that names an AWS type.
//!
//! All items are written here. Each write has its own condition and `#[expect]`, so that one
//! search lists every write of the system.

pub mod accounts;
pub mod admission;
pub mod alerts;
pub mod audit;
pub mod budgets;
pub mod dead_letters;
pub mod due;
pub mod endpoints;
pub mod events;
mod item;
pub mod jobs;
pub mod keys;
pub mod keystore;
pub mod ledger;
pub mod media;
pub mod moves;
pub mod outbox;
pub mod own_catalog;
pub mod pins;
pub mod polls;
pub mod prices;
pub mod purchases;
pub mod queue;
pub mod read;
pub mod remotes;
pub mod reports;
pub mod sessions;
pub mod sockets;
pub mod uploads;
pub mod usage;
pub mod verdicts;
pub mod watch;

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::CancellationReason;

use domain::policy::backoff::full_jitter;

pub use aws_sdk_dynamodb::Client as DynamoDb;
pub use aws_sdk_s3::Client as S3;
pub use aws_sdk_sqs::Client as Sqs;

/// The one table: its client and name.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) client: DynamoDb,
    pub(crate) name: String,
}

impl Table {
    pub fn new(client: DynamoDb, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }
}

/// Tries of a write that loses races.
const RACES_MAX: u32 = 10;
const BACK_OFF_BASE: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_millis(320);

/// Waits before a write that lost a race is tried again: full jitter with exponential back-off.
#[expect(clippy::disallowed_methods, reason = "milliseconds, at most ten times, while a caller waits")]
async fn back_off(tries: u32) {
    // Without entropy, the middle of the pause: concurrent writers differ in when they began.
    let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
    let pause = full_jitter(tries, BACK_OFF_BASE, BACK_OFF_MAX, chance);
    tokio::time::sleep(pause).await;
}

/// Whether concurrent writers or throttling canceled a transaction: a repeat may succeed.
fn is_transient(reasons: &[CancellationReason]) -> bool {
    const TRANSIENT: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    reasons.iter().filter_map(CancellationReason::code).any(|code| TRANSIENT.contains(&code))
}

/// A storage operation that failed, or whose outcome is unknown.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}")]
pub struct Error {
    doing: String,
    kind: Kind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The service failed, or its answer was lost.
    Failed,
    /// Too many concurrent writers; a repeat may succeed.
    Contended,
    /// The item does not exist.
    Missing,
    /// A stored item breaks the rules: a defect.
    Corrupt,
    /// A stored item has no form that this release reads: a defect, or the item of a newer release.
    Unreadable,
}

impl Error {
    fn sdk<E, R>(doing: impl Into<String>, source: SdkError<E, R>) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let contended = matches!(
            source.code(),
            Some(
                "TransactionConflictException"
                    | "TransactionInProgressException"
                    | "ThrottlingException"
                    | "ProvisionedThroughputExceededException"
                    | "RequestLimitExceeded"
            )
        );
        let kind = if contended { Kind::Contended } else { Kind::Failed };
        Self { doing: doing.into(), kind, source: Some(Box::new(source)) }
    }

    fn failed(doing: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { doing: doing.into(), kind: Kind::Failed, source: Some(source.into()) }
    }

    fn contended(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), kind: Kind::Contended, source: None }
    }

    fn missing(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), kind: Kind::Missing, source: None }
    }

    fn corrupt(doing: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { doing: doing.into(), kind: Kind::Corrupt, source: Some(source.into()) }
    }

    fn unreadable(doing: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { doing: doing.into(), kind: Kind::Unreadable, source: Some(source.into()) }
    }

    /// The error and every cause, in one line.
    pub fn with_causes(&self) -> String {
        let causes = std::iter::successors(StdError::source(self), |error| (*error).source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    /// The item does not exist: a repeat fails too.
    pub fn is_missing(&self) -> bool {
        self.kind == Kind::Missing
    }

    /// A stored item is unreadable, or an item or an event breaks the rules: a defect.
    pub fn is_corrupt(&self) -> bool {
        matches!(self.kind, Kind::Corrupt | Kind::Unreadable)
    }

    /// Whether a repeat fails too. A newer release that is being deployed may read an item that this
    /// one does not.
    pub fn is_final(&self) -> bool {
        matches!(self.kind, Kind::Missing | Kind::Corrupt)
    }
}
