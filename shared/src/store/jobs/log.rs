//! The lines that the log has of a transition.

use std::time::Duration;

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
        waited_ms = millis(after.updated_at().since(before.updated_at())),
        "job.advanced"
    );
    if after.state().is_terminal() && !before.state().is_terminal() {
        tracing::info!(
            job = %after.id(),
            status = after.state().name(),
            provider = after.current().map(|attempt| attempt.provider.name()),
            attempts = after.attempts().len(),
            age_ms = millis(after.updated_at().since(after.created_at())),
            bytes = after.media().map(|media| media.bytes),
            cost_micro_usd = after.cost().0,
            refund_micros = transition.entry().map(|entry| entry.amount().micros()),
            "job.ended"
        );
    }
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

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
