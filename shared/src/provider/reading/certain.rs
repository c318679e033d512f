//! What is certain: whether a create answer is a refusal, and what a failure costs.
//!
//! # Refusals
//!
//! Only a refusal may be tried again elsewhere, so only what cannot have made a remote job is one.
//! A status of 4xx blames the call, and an object in JSON shows that it is no page of a gateway. One of 5xx says nothing of the kind: a server may fail after
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
//! | `BytePlus` | free: only videos that were made are billed | free: only what waits can be stopped | docs.byteplus.com, `ModelArk`, "Pricing" and "Cancel or delete a video generation task" |
//! | `DashScope` | free: "Failed model calls or processing errors incur no charge" | free: only what waits can be stopped | Model Studio, "Text-to-video" and "Manage asynchronous tasks" |
//! | xAI | as `usage` says; what moderation blocks is billed | impossible | docs.x.ai, "Videos"; its pricing page |
//!
//! [`stop_is_free`]: crate::provider::Capabilities::stop_is_free

use crate::provider::call::Answer;
use crate::provider::outcome::Outcome;
use domain::verdict::{Billed, ErrorClass, Fault};

/// What a create answer that is no success came to.
pub(in crate::provider) fn outcome(answer: &Answer, fault: impl FnOnce(&Answer) -> Fault) -> Outcome {
    match refuses(answer.status, answer.object().is_some()) {
        true => Outcome::Refused { fault: refusal(answer.status, fault(answer)), retry_after: None },
        false => unknown(answer),
    }
}

/// What is not found when a job is to be made is what was to make it: its model. Nothing was billed.
fn refusal(status: u16, fault: Fault) -> Fault {
    match (status, fault.class) {
        (404, ErrorClass::InvalidRequest) => {
            Fault { class: ErrorClass::RouteGone, billed: Billed::No, ..fault }
        }
        _ => fault,
    }
}

/// An answer that may be to a call which went through.
pub(in crate::provider) fn unknown(answer: &Answer) -> Outcome {
    let (cause, answered) = match answer.status {
        408 | 504 => ("their_timeout", false),
        status => (answer.cause(), status >= 500),
    };
    Outcome::Unknown { cause, remote: None, answered }
}

/// Whether a status says for certain that nothing was started and nothing will be. A page of
/// something in between says so of three statuses; an object in JSON, whatever it holds, of all that
/// blame the call. 408, 425 and 499 do not: something on the way gave up on the call, or will send
/// it again.
const fn refuses(status: u16, is_json: bool) -> bool {
    match status {
        401 | 403 | 429 => true,
        400..=405 | 409 | 410 | 413..=415 | 422 | 451 => is_json,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    const REFUSE: [u16; 14] = [400, 401, 402, 403, 404, 405, 409, 410, 413, 414, 415, 422, 429, 451];

    fn read(status: u16, body: &'static str) -> Outcome {
        let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) };
        outcome(&answer, |_| Fault::new(ErrorClass::Unknown, None, Billed::No))
    }

    fn refused(body: &'static str) -> Vec<u16> {
        (300..600).filter(|status| read(*status, body).summary().0 == "refused").collect()
    }

    #[test]
    fn a_status_that_blames_the_call_refuses_with_any_object() {
        for body in ["{}", r#"{"code":"x","data":null}"#, "\u{feff}{\"error\":{}}", r#"{"anything":[1]}"#] {
            assert_eq!(refused(body), REFUSE, "{body}");
        }
    }

    #[test]
    fn of_a_page_from_something_in_between_only_three_statuses_refuse() {
        for body in ["", "<html>", "null", "[]", "\"text\"", "{\"error\":"] {
            assert_eq!(refused(body), [401, 403, 429], "{body}");
        }
    }

    #[test]
    fn an_error_of_the_server_is_an_answer_and_a_timeout_is_silence() {
        let answered = |status| matches!(read(status, "{}"), Outcome::Unknown { answered: true, .. });
        assert_eq!(
            [307, 408, 425, 500, 502, 503, 504].map(answered),
            [false, false, false, true, true, true, false]
        );
    }
}
