//! The common error format of Google's APIs.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use crate::provider::call::Answer;
use crate::provider::outcome::{Outcome, RETRY_AFTER_MAX};
use crate::provider::reading::{self, class_of_status, items, text, word};
use domain::verdict::{Billed, ErrorClass, Fault};

/// What a create call came to, whose answer names the remote job at `id`.
pub(super) fn read_create(answer: &Answer, id: &str) -> Outcome {
    reading::accepted(answer, id, fault).after(retry_after(answer))
}

/// The first of the details of an error that has this member.
fn detail(error: &Value, member: &str) -> Option<String> {
    items(&error["details"]).iter().find_map(|detail| text(&detail[member])).map(Cow::into_owned)
}

/// The first rule that fits an answer that is not a success: by its HTTP status, then by
/// Google's words for it.
pub(super) fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let error = &body["error"];
    let (status, message) = (word(&error["status"]), reading::says(error).unwrap_or_default());
    let reason = detail(error, "reason").unwrap_or_default();
    let unpaid = reason == "BILLING_DISABLED"
        || (status == "FAILED_PRECONDITION" && message.to_ascii_lowercase().contains("billing"));
    let class = match answer.status {
        400 if reason == "API_KEY_INVALID" => ErrorClass::Auth,
        400 | 403 if unpaid => ErrorClass::InsufficientFunds,
        400 if refuses_content(message) => ErrorClass::ContentPolicy,
        504 => ErrorClass::Timeout,
        status => class_of_status(status),
    };
    let code = if reason.is_empty() { &*status } else { &reason };
    Fault::new(class, Some(code), Billed::No).saying(Some(message))
}

/// Whether a message is about a content filter. There is no code for it.
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
    let delay = detail(&answer.object()?["error"], "retryDelay")?;
    let seconds = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|span| span.min(RETRY_AFTER_MAX))
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
