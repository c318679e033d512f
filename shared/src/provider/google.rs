//! What Google's APIs have in common: the shape of their errors.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::outcome::{Outcome, RETRY_AFTER_MAX};
use super::{Answer, certain};
use crate::domain::verdict::{Billed, ErrorClass, Fault};

#[derive(Deserialize)]
struct Problem {
    error: Told,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    message: String,
    status: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    reason: Option<String>,
    retry_delay: Option<String>,
}

/// What a create call came to that was not a success.
pub(super) fn refused(answer: &Answer) -> Outcome {
    certain::outcome(answer, answer.json::<Problem>().is_some(), fault).after(retry_after(answer))
}

/// The first rule that fits an answer that is not a success: by its HTTP status, then by
/// Google's words for it.
pub(super) fn fault(answer: &Answer) -> Fault {
    let told = answer.json::<Problem>().map(|problem| problem.error).unwrap_or_default();
    let reason = told.details.iter().find_map(|detail| detail.reason.as_deref()).unwrap_or_default();
    let unpaid = reason == "BILLING_DISABLED"
        || (told.status == "FAILED_PRECONDITION" && told.message.to_ascii_lowercase().contains("billing"));
    let class = match answer.status {
        // Of the status word of a rate limit.
        402 => ErrorClass::InsufficientFunds,
        400 if reason == "API_KEY_INVALID" => ErrorClass::Auth,
        400 | 403 if unpaid => ErrorClass::InsufficientFunds,
        401 | 403 => ErrorClass::Auth,
        429 => ErrorClass::RateLimited,
        400 if refuses_content(&told.message) => ErrorClass::ContentPolicy,
        400 | 404 | 413 => ErrorClass::InvalidRequest,
        504 => ErrorClass::Timeout,
        500..=599 => ErrorClass::ProviderUnavailable,
        _ => ErrorClass::Unknown,
    };
    let code = if reason.is_empty() { &told.status } else { reason };
    Fault::new(class, Some(code), Billed::No)
}

/// Whether a message speaks of what may not be shown. No code tells: only these words do.
pub(super) fn refuses_content(message: &str) -> bool {
    const WORDS: [&str; 6] = [
        "usage guidelines",
        "responsible ai",
        "content policy",
        "safety filter",
        "safety policies",
        "prohibited content",
    ];
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|words| message.contains(words))
}

/// The wait of a `RetryInfo`, written as `"37s"`.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let told = answer.json::<Problem>()?.error;
    let delay = told.details.into_iter().find_map(|detail| detail.retry_delay)?;
    let seconds = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|span| span.min(RETRY_AFTER_MAX))
}

/// A ping's answer: well if it is a success of this shape.
pub(super) fn health(answer: &Answer, is_well: bool) -> Result<(), Fault> {
    if !answer.is_ok() {
        return Err(fault(answer));
    }
    let strange = || Fault::new(ErrorClass::ProviderUnavailable, Some("unknown_answer"), Billed::No);
    if is_well { Ok(()) } else { Err(strange()) }
}

/// Whether an object of this answer has a member of this name.
pub(super) fn has(answer: &Answer, member: &str) -> bool {
    answer.json::<Value>().is_some_and(|body| body.get(member).is_some())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_wait_is_taken_from_the_body_and_capped() {
        let wait = |delay: Value| {
            let details =
                json!([{"reason": "RATE_LIMIT_EXCEEDED"}, {"@type": "…RetryInfo", "retryDelay": delay}]);
            let body = json!({"error": {"code": 429, "details": details}}).to_string().into();
            retry_after(&Answer { status: 429, headers: HeaderMap::new(), body })
        };
        assert_eq!(wait(json!("37s")), Some(Duration::from_secs(37)));
        assert_eq!(wait(json!("0.5s")), Some(Duration::from_millis(500)));
        assert_eq!(wait(json!("999999999s")), Some(RETRY_AFTER_MAX));
        for odd in [json!("37"), json!("-1s"), json!("soon"), json!("NaNs"), json!(null)] {
            assert_eq!(wait(odd.clone()), None, "{odd}");
        }
    }
}
