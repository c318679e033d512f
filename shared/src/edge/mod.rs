//! Events in, answers out: problems, authentication, batches.

pub mod auth;
pub mod batch;
pub mod http;
pub mod recent;
pub mod view;

/// The span of one invocation: every line within it carries the platform's id of the request, which is
/// what a caller quotes. It is there at every level of the filter.
pub fn invocation(request_id: &str) -> tracing::Span {
    tracing::error_span!("invocation", request_id)
}
