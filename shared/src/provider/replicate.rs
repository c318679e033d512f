//! Replicate: one call for every model, each with an input of its own; signed webhooks,
//! polling, canceling, and a deadline that the provider keeps.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::input::model_input;
use super::outcome::{Canceling, Found, Notice, Outcome, Page, Polled, RETRY_AFTER_MAX, Unreadable};
use super::secret::Secret;
use super::verify::{Scheme, Verified};
use super::{
    Adapter, Answer, Call, Capabilities, CreateOrder, LookUp, Lost, Settings, Setup, asset_urls, certain,
    remote_job, timestamp,
};
use crate::domain::credit::MicroUsd;
use crate::domain::id::RemoteJob;
use crate::domain::job::RUNNING_MAX;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

const API: &str = "api.replicate.com";
/// A hundred remote jobs, with inputs and logs.
const LIST_MAX: usize = 8 << 20;

pub(super) struct Replicate;

impl Adapter for Replicate {
    fn capabilities(&self) -> Capabilities {
        let webhooks = Some(Scheme::StandardWebhooks);
        Capabilities { webhooks, look_up: LookUp::Likely, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["REPLICATE_API_TOKEN"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        Some((AUTHORIZATION, format!("Bearer {}", key.expose())))
    }

    /// They give up when we do.
    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let mut body = json!({"version": order.endpoint(), "input": model_input(order)});
        if let Some(callback) = order.callback {
            body["webhook"] = json!(callback);
            body["webhook_events_filter"] = json!(["completed"]);
        }
        let mut call = Call::new(Method::POST, API, "/v1/predictions").json(body);
        call.headers.insert("cancel-after", HeaderValue::from(RUNNING_MAX.as_secs()));
        Some(call)
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        if answer.is_ok() {
            let created: Option<Prediction> = answer.json();
            return Outcome::accepted(created.and_then(|created| remote_job(&created.id, None)));
        }
        certain::outcome(answer, answer.json::<Problem>().is_some(), fault).after(told_wait(answer))
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, API, format!("/v1/predictions/{}", remote.id))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        match answer.json::<Prediction>().filter(|_| answer.is_ok()) {
            Some(prediction) if prediction.id != remote.id => Polled::Unreadable("other_job"),
            Some(prediction) => prediction.polled(),
            None => Polled::Unreadable(answer.cause()),
        }
    }

    fn cancel(&self, remote: &RemoteJob, _: &str) -> Option<Call> {
        Some(Call::new(Method::POST, API, format!("/v1/predictions/{}/cancel", remote.id)))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        let is_over = || {
            let told: Option<Prediction> = answer.json();
            told.is_some_and(|told| matches!(told.status.as_str(), "succeeded" | "failed" | "aborted"))
        };
        match answer.status {
            200..=299 if is_over() => Canceling::TooLate,
            _ if answer.is_taken() => Canceling::Asked,
            404 if answer.says_not_found() => Canceling::Gone,
            _ => Canceling::Unreadable(answer.cause()),
        }
    }

    fn look_up(&self, lost: &Lost<'_>) -> Option<Call> {
        Some(list(lost, None))
    }

    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let Some(listed) = answer.json::<List>().filter(|_| answer.is_ok()) else {
            return Found::Unreadable(answer.cause()).into();
        };
        let (model, input) = (lost.order.endpoint(), model_input(&lost.order));
        let alike = |item: &&Listed| item.model == model && item.input == input;
        let items = listed.results.iter().filter(alike).map(|item| (&*item.id, &*item.created_at));
        let found = lost.find(items);
        match listed.next.map(|next| cursor(&next)) {
            None => found.into(),
            Some(Some(cursor)) => Page { found, next: Some(list(lost, Some(&cursor))) },
            Some(None) => Found::Unreadable("list_too_long").into(),
        }
    }

    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let told: Option<Prediction> = serde_json::from_slice(body.get()).ok();
        let told = told.ok_or(Unreadable("not a prediction"))?;
        let remote = remote_job(&told.id, None).ok_or(Unreadable("no usable id"))?;
        let verdict = match told.polled() {
            Polled::Ended(verdict) => Some(verdict),
            Polled::Pending | Polled::Fetch(_) | Polled::Unreadable(_) => None,
        };
        Ok(Notice { remote: Some(remote), verdict })
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, "/v1/account")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        match answer.json::<Account>() {
            Some(_) if answer.is_ok() => Ok(()),
            _ if answer.is_ok() => {
                Err(Fault::new(ErrorClass::ProviderUnavailable, Some("unknown_answer"), Billed::No))
            }
            _ => Err(fault(answer)),
        }
    }
}

/// The call that lists what was made when the lost one was.
fn list(lost: &Lost<'_>, cursor: Option<&str>) -> Call {
    let (from, to) = lost.window();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("created_after", &from.to_string())
        .append_pair("created_before", &to.to_string())
        .extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    let call = Call::new(Method::GET, API, format!("/v1/predictions?{}", query.finish()));
    Call { answer_max: LIST_MAX, ..call }
}

/// The place in the list that the address of its next page names: calls go to ours.
fn cursor(next: &str) -> Option<String> {
    let next = Url::parse(next).ok()?;
    next.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

#[derive(Deserialize)]
struct Prediction {
    id: String,
    status: String,
    #[serde(default)]
    output: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    data_removed: bool,
    completed_at: Option<String>,
    deadline: Option<String>,
}

impl Prediction {
    fn polled(&self) -> Polled {
        match self.status.as_str() {
            "starting" | "processing" => Polled::Pending,
            // An hour after its end they delete what they have of it.
            "succeeded" if self.data_removed => Polled::Ended(Verdict::Gone),
            "succeeded" => match asset_urls(texts(&self.output)) {
                Some(asset_url) => Polled::Ended(Verdict::Finished { asset_url, cost: None }),
                None => Polled::Unreadable("no_output"),
            },
            "failed" => Polled::Ended(Verdict::Broke { fault: self.fault(), cost: None }),
            // Stopped before it ran: only a deadline does that.
            word @ "aborted" => Polled::Ended(timed_out(word, Some(MicroUsd(0)))),
            word @ "canceled" if self.at_deadline() => Polled::Ended(timed_out(word, None)),
            "canceled" => Polled::Ended(Verdict::Canceled { cost: None }),
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    /// The text is the model's own, and what of it is billed is not known.
    fn fault(&self) -> Fault {
        let text = self.error.as_str().unwrap_or_default();
        let lower = text.to_ascii_lowercase();
        let policy = ["nsfw", "sensitive", "flagged", "moderation", "e005"];
        let class = match policy.iter().any(|word| lower.contains(word)) {
            true => ErrorClass::ContentPolicy,
            false => ErrorClass::Unknown,
        };
        Fault::new(class, error_code(text), Billed::Unknown)
    }

    fn at_deadline(&self) -> bool {
        let time = |text: &Option<String>| text.as_deref().and_then(timestamp);
        let (Some(end), Some(deadline)) = (time(&self.completed_at), time(&self.deadline)) else {
            return false;
        };
        end >= deadline
    }
}

fn timed_out(word: &str, cost: Option<MicroUsd>) -> Verdict {
    let billed = if cost == Some(MicroUsd(0)) { Billed::No } else { Billed::Unknown };
    Verdict::Broke { fault: Fault::new(ErrorClass::Timeout, Some(word), billed), cost }
}

/// The code at the end of an error text: `E005` of `... (E005)`.
fn error_code(text: &str) -> Option<&str> {
    let code = text.trim_end().strip_suffix(')')?.rsplit_once('(')?.1;
    let digits = code.strip_prefix('E')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(code)
}

/// The texts in an output, which may be a text, a list or an object of any depth.
fn texts(output: &Value) -> Vec<&str> {
    match output {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// How long a text asks us to wait, where no header does: `... resets in ~30s.`
fn told_wait(answer: &Answer) -> Option<Duration> {
    let problem: Problem = answer.json().filter(|_| answer.status == 429)?;
    let text = problem.detail.as_str().filter(|_| !answer.headers.contains_key(RETRY_AFTER))?;
    let (_, wait) = text.split_once("resets in ~")?;
    let seconds = wait.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The first rule that fits an answer that is not a success.
fn fault(answer: &Answer) -> Fault {
    let class = match answer.status {
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::InsufficientFunds,
        400 | 404 | 413 | 422 => ErrorClass::InvalidRequest,
        429 => ErrorClass::RateLimited,
        500..=599 => ErrorClass::ProviderUnavailable,
        _ => ErrorClass::Unknown,
    };
    Fault::new(class, None, Billed::No)
}

#[derive(Deserialize)]
struct Problem {
    detail: Value,
}

#[derive(Deserialize)]
struct List {
    next: Option<String>,
    results: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    model: String,
    #[serde(default)]
    input: Value,
    created_at: String,
}

#[derive(Deserialize)]
struct Account {
    #[serde(rename = "username")]
    _username: String,
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::domain::provider::Provider;
    use crate::provider::fixtures;

    #[test]
    fn the_wait_that_a_text_asks_for_is_kept() {
        let throttled = |text: &str, headers: HeaderMap| {
            let body = json!({"detail": text}).to_string().into();
            match Replicate.read_create(&Answer { status: 429, headers, body }) {
                Outcome::Refused { retry_after, .. } => retry_after,
                other => panic!("{other:?}"),
            }
        };
        let text = "Request was throttled. Your rate limit resets in ~30s.";
        assert_eq!(throttled(text, HeaderMap::new()), Some(Duration::from_secs(30)));
        let headers = [(RETRY_AFTER, HeaderValue::from(7))].into_iter().collect();
        assert_eq!(throttled(text, headers), None, "the header is read by the client");
        assert_eq!(throttled("Request was throttled.", HeaderMap::new()), None);
        assert_eq!(throttled("resets in ~99999999s", HeaderMap::new()), Some(RETRY_AFTER_MAX));
    }

    #[test]
    fn every_fixture_reads_as_it_says() {
        let came_out = fixtures::run(Provider::Replicate);
        for class in ["auth", "insufficient_funds", "invalid_request", "rate_limited", "server_error"] {
            came_out.some("create", class);
        }
        for verdict in
            ["finished", "broke", "gone", "pending", "canceled", "timeout", "content_policy", "unknown"]
        {
            came_out.some("poll", verdict);
        }
        for verdict in ["finished", "broke", "canceled", "null"] {
            came_out.some("webhook", verdict);
        }
    }
}
