//! What every call to a server that is not ours needs.

pub(crate) mod client;
#[cfg(test)]
pub(crate) mod google_key;
pub(crate) mod guard;
pub(crate) mod otlp;
pub(crate) mod platforms;
pub(crate) mod retry_after;
pub(crate) mod service_account;
mod tls;
