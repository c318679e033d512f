//! Lambda events and responses: problem documents, authentication, batches.

pub mod auth;
pub mod batch;
pub mod http;
pub mod recent;
pub mod view;

/// The span of one invocation: every line within it carries Lambda's request id, at every log level.
pub fn invocation(request_id: &str) -> tracing::Span {
    tracing::error_span!("invocation", request_id)
}
