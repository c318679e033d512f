//! Lambda events and responses: problem documents, authentication, batches.

pub mod auth;
pub mod batch;
pub mod dialect;
pub mod event_view;
pub mod http;
pub mod idempotency;
pub mod page;
mod refusal;

use ::http::{HeaderMap, HeaderName};
use domain::attempt::Attempt;
use domain::id::{AccountId, JobId};
use domain::job::Job;
use tracing::Span;
use tracing::field::Empty;

use crate::trace;

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The span of one invocation: every line within it carries the platform's id of the request, which is
/// what a caller quotes, and the account and job as soon as they are known. It is there at every
/// level of the filter. `function` is the deployed function's name; metrics are counted by it.
pub fn invocation(request_id: &str, function: &str) -> Span {
    trace::note_function(function);
    tracing::error_span!("invocation", request_id, function, account = Empty, job = Empty)
}

/// Adds the caller's account to the lines that follow in this span.
pub fn note_account(account: &AccountId) {
    Span::current().record("account", account.as_str());
}

/// Adds the job that a request or a message is about; its trace is the job's.
pub fn note_job(job: &JobId) {
    note_id(job);
    trace::note_job(job);
}

/// The same for the log alone: a request that is refused is in no job's trace.
pub fn note_id(job: &JobId) {
    Span::current().record("job", job.as_str());
}

/// The request has created this job: it is the root of the job's trace, linked to the trace of its caller.
pub fn note_created(job: &JobId, headers: &HeaderMap) {
    note_id(job);
    let caller = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()?.parse().ok());
    trace::note_created(job, caller);
}

/// Adds what is known of a message's job once it is read: its account, and the provider of the
/// attempt that the message is about.
pub fn note_attempt(job: &Job, attempt: Option<&Attempt>) {
    note_account(job.account());
    if let Some(attempt) = attempt {
        Span::current().record("provider", attempt.provider.name());
    }
}
