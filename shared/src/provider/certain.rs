//! What is certain: whether a create answer is a refusal, and what a failure costs.
//!
//! # Refusals
//!
//! Only a refusal may be tried again elsewhere, so only what cannot have made a remote job is one.
//! A status of 4xx blames the call. One of 5xx says nothing of the kind: a server may fail after
//! it has made the job, and a gateway gives up on calls that go through. No provider documents a
//! 5xx of its create call as "not started", with or without `Retry-After`, so none is a refusal.
//! fal's own clients repeat a create after 502, 503 and 504 that lack `x-fal-request-id`
//! (`fal-client` 1.0.3), and Replicate's after 429 alone: the first is a policy, not a promise.
//!
//! Kling and `MiniMax` tell errors by a code in the body, which stands before the status: see their
//! adapters for the codes that are refusals.
//!
//! # Bills
//!
//! What each provider documents, as of November 2026. A failure of a remote job is `Billed::No`
//! only where this table says so, and [`stop_is_free`] likewise; "silent" is `Billed::Unknown`.
//! Refused calls are `Billed::No`, as there is nothing to be billed, unless content was judged.
//!
//! | Provider | Failed | Stopped | Source |
//! |---|---|---|---|
//! | fal | 5xx free; 422 may be billed | silent | docs.fal.ai, FAQ: "Server errors (HTTP 500+) are never charged" |
//! | Runway | as `cost.credits` says | free: `cost.credits` 0 | OpenAPI document 2024-11-06, `GET /v1/tasks/{id}` |
//! | Replicate | silent; machine time is billed | `aborted` free, `canceled` billed for its run | replicate.com/docs, "Prediction lifecycle" |
//! | Stability | no remote jobs; filtered still billed, 403 free | impossible | REST API v2beta, `finish_reason` |
//! | Luma, Dream Machine | silent | impossible | docs.agents.lumalabs.ai, "Error handling" |
//! | Gemini | silent; calls answered 400 or 500 free | silent | ai.google.dev, "Billing" |
//! | Vertex | filtered video free, else silent | impossible | Vertex documentation, "Responsible AI" |
//! | Kling, both | as the amounts of the task say | impossible | developer documentation, task object |
//! | `MiniMax` | silent | free: only what waits can be stopped | platform.minimax.io, "Cancel or Delete Task" |
//! | `OpenAI`'s shape | silent | impossible | none |
//!
//! [`stop_is_free`]: super::Capabilities::stop_is_free

use super::Answer;
use super::outcome::Outcome;
use crate::domain::verdict::Fault;

/// What a create answer that is no success came to. `is_theirs` says whether its body is an error
/// of the provider's own and no page of something in between.
pub(super) fn outcome(answer: &Answer, is_theirs: bool, fault: impl FnOnce(&Answer) -> Fault) -> Outcome {
    match refuses(answer.status, is_theirs) {
        true => Outcome::Refused { fault: fault(answer), retry_after: None },
        false => unknown(answer),
    }
}

/// An answer that may be to a call which went through.
pub(super) fn unknown(answer: &Answer) -> Outcome {
    let (cause, answered) = match answer.status {
        408 | 504 => ("their_timeout", false),
        status => (answer.cause(), status >= 500),
    };
    Outcome::Unknown { cause, remote: None, answered }
}

/// Whether a status says for certain that nothing was started and nothing will be.
const fn refuses(status: u16, is_theirs: bool) -> bool {
    match status {
        401 | 403 | 429 => true,
        // Something on the way gave up on the call, or will send it again.
        408 | 425 | 499 => false,
        400..=498 => is_theirs,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::domain::verdict::{Billed, ErrorClass};

    fn read(status: u16, is_theirs: bool) -> Outcome {
        let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::new() };
        outcome(&answer, is_theirs, |_| Fault::new(ErrorClass::Unknown, None, Billed::No))
    }

    #[test]
    fn only_a_4xx_of_their_own_is_a_refusal() {
        for status in [400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 418, 422, 429, 451] {
            assert_eq!(read(status, true).summary().0, "refused", "{status}");
        }
        for status in [300, 307, 408, 425, 499, 500, 501, 502, 503, 504, 520, 529, 599] {
            assert_eq!(read(status, true).summary().0, "unknown", "{status}");
        }
    }

    #[test]
    fn of_a_page_from_something_in_between_only_three_statuses_refuse() {
        let refused = (300..600).filter(|status| read(*status, false).summary().0 == "refused");
        assert_eq!(refused.collect::<Vec<_>>(), [401, 403, 429]);
    }

    #[test]
    fn an_error_of_the_server_is_an_answer_and_a_timeout_is_silence() {
        let answered = |status| matches!(read(status, true), Outcome::Unknown { answered: true, .. });
        assert_eq!(
            [307, 408, 425, 500, 502, 503, 504].map(answered),
            [false, false, false, true, true, true, false]
        );
    }
}
