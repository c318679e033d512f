//! What every call to a server that is not ours needs.

pub(crate) mod guard;
pub(crate) mod platforms;
pub(crate) mod retry_after;
