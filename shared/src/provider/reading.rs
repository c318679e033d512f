//! Common parsing of provider answers: lenient in form, strict in meaning.
//!
//! Id and status are required; every other field is optional. `null` and unreadable optional fields
//! count as absent, so that an odd field never invalidates id and status.

pub(super) mod certain;

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderName;
use http::header::AUTHORIZATION;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::call::Answer;
use super::outcome::{Canceling, Notice, Outcome, Polled, Unreadable};
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::public_url::{PublicUrl, Reach};
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::{Secret, Verified};

/// A trimmed text, or a number as its digits. `None` for an empty text and for everything else.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.trim())).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// As [`text`]; empty if there is none.
pub(super) fn word(value: &Value) -> Cow<'_, str> {
    text(value).unwrap_or_default()
}

/// As [`word`], in snake case: for statuses of different servers.
pub(super) fn folded(value: &Value) -> String {
    word(value).to_ascii_lowercase().replace(['-', ' '], "_")
}

/// The items of a list; none of anything else.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A number or a numeric text that can be the price of one job, in dollars or credits.
pub(super) fn amount(value: &Value) -> Option<f64> {
    let amount: f64 = text(value)?.parse().ok()?;
    (0.0..=1_000_000.0).contains(&amount).then_some(amount)
}

/// Dollars as whole micro-dollars.
pub(super) fn micro_usd(dollars: f64) -> MicroUsd {
    MicroUsd((dollars * 1_000_000.0).round() as u64)
}

/// A remote job by its id, of any characters; `None` for an id that cannot be a path segment.
pub(super) fn remote_job(id: &str, handle: Option<&str>) -> Option<RemoteJob> {
    let is_step = !matches!(id, "." | "..");
    is_step.then(|| RemoteJob::new(id, handle)).flatten()
}

/// As [`remote_job`], from a part of an answer.
pub(super) fn remote(value: &Value) -> Option<RemoteJob> {
    remote_job(&text(value)?, None)
}

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An id as one step of a path, or as a value in a query.
pub(super) fn step(id: &str) -> Cow<'_, str> {
    utf8_percent_encode(id, RESERVED).into()
}

/// A time in RFC 3339.
pub(super) fn timestamp(value: &Value) -> Option<Timestamp> {
    let time: jiff::Timestamp = text(value)?.parse().ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

/// The maximum length of a stored result URL, in bytes.
const ASSET_URL_MAX: usize = 8_192;

/// The maximum number of stored results of one answer.
const ASSETS_MAX: usize = 8;

/// The URLs of an answer's results, for a verdict. Only the files show which one is the ordered media.
pub(super) fn asset_urls<'a>(values: impl IntoIterator<Item = &'a Value>) -> Option<String> {
    let urls: Vec<_> = values.into_iter().filter_map(asset_url).take(ASSETS_MAX).collect();
    Some(urls.join(" ")).filter(|urls| !urls.is_empty())
}

/// The normalized URL of a result: of a public host, or of this machine (simulators). Blanks are
/// encoded. The downloader checks the resolved address.
pub(super) fn asset_url(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim().replace(' ', "%20");
    PublicUrl::of_length(&text, ASSET_URL_MAX, Reach::Loopback).ok().map(PublicUrl::into_string)
}

/// The header that carries a key as a bearer token.
pub(super) fn bearer(key: &Secret) -> Option<(HeaderName, String)> {
    Some((AUTHORIZATION, format!("Bearer {}", key.expose())))
}

/// The outcome of a create whose answer has the remote job's id at `id`, with the body; else the outcome
/// without one. A success with an error and no id is a refusal.
pub(super) fn created(
    answer: &Answer,
    id: &str,
    fault: impl Fn(&Answer) -> Fault,
) -> Result<(RemoteJob, Value), Outcome> {
    if !answer.is_ok() {
        return Err(certain::outcome(answer, fault));
    }
    let body = answer.object().ok_or(Outcome::unknown("unknown_answer"))?;
    match body.pointer(id).filter(|id| text(id).is_some()) {
        Some(id) => match remote(id) {
            Some(remote) => Ok((remote, body)),
            None => Err(Outcome::unknown("unusable_id")),
        },
        None if holds_error(&body) => {
            let refusal = Answer { status: 400, ..answer.clone() };
            Err(Outcome::Refused { fault: fault(&refusal), retry_after: None })
        }
        None => Err(Outcome::unknown("no_id")),
    }
}

/// As [`created`], if only the id matters.
pub(super) fn accepted(answer: &Answer, id: &str, fault: impl Fn(&Answer) -> Fault) -> Outcome {
    match created(answer, id, fault) {
        Ok((remote, _)) => Outcome::Accepted { remote, cost: None },
        Err(outcome) => outcome,
    }
}

/// Whether an object has an error.
pub(super) fn holds_error(body: &Value) -> bool {
    ["error", "errors", "detail"].iter().any(|name| match &body[*name] {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(is_so) => *is_so,
        Value::Null | Value::Number(_) => false,
    })
}

/// The object in a successful poll answer; else the result without one.
pub(super) fn answered(answer: &Answer) -> Result<Value, Polled> {
    if answer.says_not_found() {
        return Err(Polled::Ended(Verdict::Gone));
    }
    answer.object().filter(|_| answer.is_ok()).ok_or(Polled::Unreadable(answer.cause()))
}

/// As [`answered`], if the object has the polled remote job's id at `id`.
pub(super) fn about(answer: &Answer, remote: &RemoteJob, id: &str) -> Result<Value, Polled> {
    let body = answered(answer)?;
    match body.pointer(id).and_then(text) {
        Some(id) if id == remote.id => Ok(body),
        Some(_) => Err(Polled::Unreadable("other_job")),
        None => Err(Polled::Unreadable("no_id")),
    }
}

/// A success, if there is a file. `text` is the answer's human-readable text.
pub(super) fn finished(asset_url: Option<String>, cost: Option<MicroUsd>, text: Option<&str>) -> Polled {
    match asset_url {
        Some(asset_url) => Polled::Ended(Verdict::Finished { asset_url, cost }),
        None => empty(text),
    }
}

/// A success without a file.
pub(super) fn empty(text: Option<&str>) -> Polled {
    let refused = text.is_some_and(speaks_of_content);
    let class = if refused { ErrorClass::ContentPolicy } else { ErrorClass::NoOutput };
    Polled::Empty(Fault::new(class, Some("no_output"), Billed::Unknown).saying(text))
}

pub(super) fn broke(fault: Fault, cost: Option<MicroUsd>) -> Polled {
    Polled::Ended(Verdict::Broke { fault, cost })
}

/// Whether a human-readable text is about a content filter: a success without a file has no code for
/// it.
pub(super) fn speaks_of_content(text: &str) -> bool {
    const WORDS: [&str; 7] =
        ["nsfw", "moderat", "content policy", "safety", "sensitive content", "flagged", "prohibited content"];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

/// The object in a webhook that has one of these members.
pub(super) fn event(body: &Verified<Bytes>, members: &[&str]) -> Result<Value, Unreadable> {
    let event: Value = serde_json::from_slice(body.get()).unwrap_or_default();
    let is_known = members.iter().any(|name| text(&event[*name]).is_some());
    is_known.then_some(event).ok_or(Unreadable("not an event of theirs"))
}

/// The result of a cancel request by its status alone.
pub(super) fn canceling(answer: &Answer) -> Canceling {
    match answer.status {
        _ if answer.is_taken() => Canceling::Asked,
        404 if answer.says_not_found() => Canceling::Gone,
        _ => Canceling::Unreadable(answer.cause()),
    }
}

/// A webhook about the remote job of this id.
pub(super) fn notice(id: &Value, verdict: Option<Verdict>) -> Result<Notice, Unreadable> {
    let remote = remote(id).ok_or(Unreadable("no usable id"))?;
    Ok(Notice { remote: Some(remote), verdict })
}

/// The final state in a webhook, if any. A success without a file is polled.
pub(super) fn verdict(polled: Polled) -> Option<Verdict> {
    match polled {
        Polled::Ended(verdict) => Some(verdict),
        _ => None,
    }
}

/// The error class of an HTTP status, if the answer has no details.
pub(super) const fn class_of_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::InsufficientFunds,
        429 => ErrorClass::RateLimited,
        400..=499 => ErrorClass::InvalidRequest,
        500..=599 => ErrorClass::ProviderUnavailable,
        _ => ErrorClass::Unknown,
    }
}

/// Common fields of human-readable error texts, in order of preference.
const SAYS: [&str; 11] = [
    "message",
    "msg",
    "error",
    "errors",
    "detail",
    "failure",
    "failure_reason",
    "reason",
    "status_msg",
    "error_message",
    "title",
];

/// The human-readable error text of an answer.
pub(super) fn says(body: &Value) -> Option<&str> {
    match body {
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()),
        Value::Array(items) => items.iter().find_map(says),
        Value::Object(members) => SAYS.iter().find_map(|name| says(members.get(*name)?)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The result of a ping: healthy if it succeeded with the expected field.
pub(super) fn health(
    answer: &Answer,
    is_well: impl FnOnce(&Value) -> bool,
    fault: impl FnOnce(&Answer) -> Fault,
) -> Result<(), Fault> {
    if !answer.is_ok() {
        return Err(fault(answer));
    }
    let strange = || Fault::new(ErrorClass::ProviderUnavailable, Some("unknown_answer"), Billed::No);
    answer.object().is_some_and(|body| is_well(&body)).then_some(()).ok_or_else(strange)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::from(body.to_string()) }
    }

    fn fault(answer: &Answer) -> Fault {
        Fault::new(class_of_status(answer.status), None, Billed::No)
    }

    #[test]
    fn a_word_is_a_text_or_a_number() {
        assert_eq!(text(&json!(" a \n")).as_deref(), Some("a"));
        assert_eq!(text(&json!(1_234_567_890_123_456_789_u64)).as_deref(), Some("1234567890123456789"));
        for nothing in [json!(null), json!(""), json!("  "), json!([1]), json!({"a": 1}), json!(true)] {
            assert_eq!(text(&nothing), None, "{nothing}");
        }
        assert_eq!(folded(&json!(" In-Progress")), "in_progress");
    }

    #[test]
    fn an_id_is_any_visible_text_and_is_written_as_one_step_of_a_path() {
        for (id, written) in [
            ("764cabcf-b745", "764cabcf-b745"),
            ("video_bGl0ZWxsbTo+/w==", "video_bGl0ZWxsbTo%2B%2Fw%3D%3D"),
            ("a/../b?c#d%2f", "a%2F..%2Fb%3Fc%23d%252f"),
            ("tâche", "t%C3%A2che"),
        ] {
            assert_eq!(step(&remote(&json!(id)).unwrap().id), written);
        }
        assert_eq!(remote(&json!(106_916_112_212_032_u64)).unwrap().id, "106916112212032");
        for unusable in ["", ".", "..", "a b", "a\u{7}", "a\n\nb", &"x".repeat(201)] {
            assert_eq!(remote(&json!(unusable)), None, "{unusable:?}");
        }
    }

    #[test]
    fn a_create_is_accepted_by_its_id_and_refused_by_an_error_without_one() {
        let outcome = |status, body: Value| accepted(&answer(status, &body), "/id", fault);
        let is_accepted = |outcome| matches!(outcome, Outcome::Accepted { .. });
        assert!(is_accepted(outcome(200, json!({"id": "a", "error": null}))));
        assert!(is_accepted(outcome(201, json!({"id": 7, "error": "a warning"}))));
        for refusal in [
            json!({"error": "bad prompt"}),
            json!({"id": null, "error": {"message": "bad prompt"}}),
            json!({"errors": [{"message": "bad prompt"}]}),
        ] {
            assert_eq!(outcome(200, refusal).summary(), ("refused", "invalid_request"));
        }
        for (odd, cause) in [
            (json!({"error": null}), "no_id"),
            (json!({"error": "", "errors": [], "detail": {}}), "no_id"),
            (json!({"id": "a b", "error": "x"}), "unusable_id"),
            (json!([]), "unknown_answer"),
        ] {
            assert_eq!(outcome(200, odd).summary(), ("unknown", cause));
        }
    }

    #[test]
    fn what_is_said_for_people_is_found_wherever_it_stands() {
        for body in [
            json!({"error": "Image is broken"}),
            json!({"error": {"code": 3, "message": "Image is broken"}}),
            json!({"message": "Image is broken", "code": "x"}),
            json!({"detail": [{"loc": ["body"], "msg": "Image is broken"}]}),
            json!({"errors": ["Image is broken"]}),
            json!({"error": null, "failure_reason": " Image is broken "}),
        ] {
            assert_eq!(says(&body), Some("Image is broken"), "{body}");
        }
        assert_eq!(says(&json!({"error": null, "code": 1, "detail": []})), None);
    }
}
