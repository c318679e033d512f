//! The calls that a simulator received, and what it answered.

use domain::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    Create,
    Poll,
    /// The call for the output of an ended job, if the poll does not contain it.
    Result,
    Cancel,
    /// A search for remote jobs without their id.
    LookUp,
    /// The authenticated call of a health check.
    Ping,
    /// The provider's price list.
    Prices,
    /// The public keys of webhook signatures.
    Keys,
    /// An access token for another credential.
    Token,
    Media,
    /// A path or method that the provider does not have.
    Other,
}

/// One received call, also if it was refused or its connection was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub kind: CallKind,
    pub method: String,
    pub path: String,
    /// Whether it had a key or an `Authorization` header. A media call must have one only if the
    /// provider requires it.
    pub authorized: bool,
    pub at: Timestamp,
    /// The HTTP status of the answer; `None` without an answer so far.
    pub status: Option<u16>,
    /// What the answer to a create says: some providers refuse with status 200.
    pub says: Option<Says>,
}

/// What the answer to a create says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It names the remote job.
    Accepted,
    /// There is no remote job.
    Refused,
    /// Neither, whatever its status: its content is spoilt.
    Nothing,
}

/// A cut connection: it closes without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call was read and takes no effect.
    DropBefore,
    /// The call takes effect.
    DropAfter,
}
