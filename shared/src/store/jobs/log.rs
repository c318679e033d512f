//! The lines that the log has of a transition.

use domain::decide::{Event, Transition};
use domain::job::State;

pub(super) fn log(transition: &Transition, event: &Event) {
    let (before, after) = (transition.before(), transition.after());
    tracing::info!(
        job = %after.id(),
        version = after.version(),
        from = before.state().name(),
        to = after.state().name(),
        event = event.name(),
        attempt = after.current_number(),
        refunded = transition.entry().is_some(),
        "job.advanced"
    );
    if after.state() == State::Failed && before.state() != State::Failed {
        let fault = after.fault();
        tracing::warn!(
            job = %after.id(),
            account = after.account().as_str(),
            provider = after.current().map(|attempt| attempt.provider.name()),
            class = fault.map(|fault| fault.class.name()),
            code = fault.and_then(|fault| fault.code.as_deref()),
            said = fault.and_then(|fault| fault.words.as_deref()),
            "job.failed"
        );
    }
}
