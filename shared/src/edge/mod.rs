//! Lambda events and responses: problem documents, authentication, batches.

pub mod auth;
pub mod batch;
pub mod dialect;
pub mod event_view;
pub mod http;
pub mod idempotency;
pub mod page;
mod refusal;

use domain::attempt::Attempt;
use domain::id::{AccountId, JobId};
use domain::job::Job;
use tracing::Span;
use tracing::field::Empty;

/// The span of one invocation: every line within it carries the platform's id of the request, which is
/// what a caller quotes, and the account and job as soon as they are known. It is there at every
/// level of the filter. `function` is the deployed function's name; metrics are counted by it.
pub fn invocation(request_id: &str, function: &str) -> Span {
    tracing::error_span!("invocation", request_id, function, account = Empty, job = Empty)
}

/// Adds the caller's account to the lines that follow in this span.
pub fn note_account(account: &AccountId) {
    Span::current().record("account", account.as_str());
}

/// Adds the job that a request is about.
pub fn note_job(job: &JobId) {
    Span::current().record("job", job.as_str());
}

/// Adds what is known of a message's job once it is read: its account, and the provider of the
/// attempt that the message is about.
pub fn note_attempt(job: &Job, attempt: Option<&Attempt>) {
    note_account(job.account());
    if let Some(attempt) = attempt {
        Span::current().record("provider", attempt.provider.name());
    }
}
