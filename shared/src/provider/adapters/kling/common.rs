//! What both of Kling's APIs share: their envelope, errors and bills.

use serde_json::Value;

use crate::provider::call::Answer;
use crate::provider::outcome::{Notice, Outcome, Polled, Unreadable};
use crate::provider::reading::{self, certain, class_of_status, text};
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};

/// The host outside mainland China. The host of older tutorials does not have these paths.
pub(super) const API: &str = "api-singapore.klingai.com";
/// The usage of the account in a past hour: the call is free, and its content is not used.
pub(super) const PING: &str = "/account/costs?start_time=1767225600000&end_time=1767229200000";

/// The code of an answer of Kling itself; a proxy's answer has none. Both APIs wrap all answers; success
/// is code 0, not an HTTP status.
fn code(answer: &Answer) -> Option<u64> {
    let code = text(&answer.object()?["code"])?.parse().ok()?;
    (code == 0 || (1_000..6_000).contains(&code)).then_some(code)
}

/// The data of a successful answer.
pub(super) fn data(answer: &Answer) -> Option<Value> {
    let is_success = answer.is_ok() && code(answer) == Some(0);
    answer.object().filter(|_| is_success).map(|mut body| body["data"].take())
}

/// The code takes precedence over the status. 1xxx are client errors; 5xxx are server errors, which may
/// occur after the remote job was created.
pub(super) fn read_create(answer: &Answer, id: &str) -> Outcome {
    match code(answer) {
        Some(0) if answer.is_ok() => reading::accepted(answer, &format!("/data/{id}"), fault),
        // What does not exist is what was to make the job.
        Some(1203) => {
            let fault = Fault { class: ErrorClass::RouteGone, ..fault(answer) };
            Outcome::Refused { fault, retry_after: None }
        }
        Some(1_000..2_000) => Outcome::Refused { fault: fault(answer), retry_after: None },
        // Kling internal timeout; outcome unknown.
        Some(5002) => Outcome::unknown("their_timeout"),
        Some(1..) => Outcome::Unknown { cause: "server_error", remote: None, answered: true },
        _ if answer.is_ok() => reading::accepted(answer, &format!("/data/{id}"), fault),
        _ => certain::outcome(answer, fault),
    }
}

/// What a poll says whose answer holds no remote job.
pub(super) fn no_task(answer: &Answer) -> Polled {
    match code(answer) {
        Some(1203) => Polled::Ended(Verdict::Gone),
        _ => Polled::Unreadable(answer.cause()),
    }
}

/// What a webhook says about a remote job that is in this state.
pub(super) fn notice(id: &Value, state: Polled) -> Result<Notice, Unreadable> {
    match state {
        Polled::Unreadable(_) if reading::remote(id).is_some() => {
            Err(Unreadable("a state that tells nothing"))
        }
        state => reading::notice(id, reading::verdict(state)),
    }
}

pub(super) fn read_ping(answer: &Answer) -> Result<(), Fault> {
    match code(answer) {
        Some(0) | None => reading::health(answer, |_| code(answer) == Some(0), fault),
        Some(_) => Err(fault(answer)),
    }
}

/// The first rule that fits an answer that is not a success.
fn fault(answer: &Answer) -> Fault {
    let code = code(answer);
    let class = match (code, answer.status) {
        (Some(1101 | 1102), _) => ErrorClass::InsufficientFunds,
        // 1304: the client address is not on the account's allow-list.
        (Some(1000..=1004 | 1100 | 1103 | 1304), _) => ErrorClass::Auth,
        (Some(1200..=1203), _) => ErrorClass::InvalidRequest,
        (Some(1300 | 1301), _) => ErrorClass::ContentPolicy,
        (Some(1302 | 1303), _) => ErrorClass::RateLimited,
        (Some(5000 | 5001), _) => ErrorClass::ProviderUnavailable,
        (Some(5002), _) => ErrorClass::Timeout,
        (_, status) => class_of_status(status),
    };
    let body = answer.object().unwrap_or_default();
    Fault::new(class, code.map(|code| code.to_string()).as_deref(), Billed::No).saying(reading::says(&body))
}

/// The error class of a failed remote job. Kling returns only a sentence.
pub(super) fn class_of_failure(sentence: &str) -> ErrorClass {
    let sentence = sentence.to_ascii_lowercase();
    let says = |word: &&str| sentence.contains(*word);
    match ["risk control", "safety", "policy", "policies", "sensitive"].iter().any(says) {
        true => ErrorClass::ContentPolicy,
        false => ErrorClass::Unknown,
    }
}

/// Whether something was billed, by every amount in the answer; unknown without one.
pub(super) fn billed(amounts: &[Option<f64>]) -> Billed {
    match amounts {
        [] => Billed::Unknown,
        _ if amounts.iter().flatten().any(|amount| *amount > 0.0) => Billed::Yes,
        _ if amounts.iter().all(|amount| *amount == Some(0.0)) => Billed::No,
        _ => Billed::Unknown,
    }
}
