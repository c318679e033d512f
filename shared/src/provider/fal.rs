//! fal's queue: every endpoint has its own input; signed webhooks, polling, canceling.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::fal_reason::{Reason, detail_types};
use super::input::model_input;
use super::outcome::{Canceling, Found, Notice, Outcome, Page, Polled, Unreadable};
use super::secret::Secret;
use super::verify::{Scheme, Verified};
use super::{
    Adapter, Answer, Call, Capabilities, CreateOrder, LookUp, Lost, Settings, Setup, asset_url, certain,
    remote_job,
};
use crate::domain::id::RemoteJob;
use crate::domain::provider::Provider;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

const QUEUE: &str = "queue.fal.run";
const REST: &str = "rest.fal.ai";
const PLATFORM: &str = "api.fal.ai";
/// A hundred inputs and outputs, which are small where media are URLs.
const HISTORY_MAX: usize = 8 << 20;

pub(super) struct Fal;

impl Adapter for Fal {
    fn capabilities(&self) -> Capabilities {
        Capabilities { webhooks: Some(Scheme::Fal), look_up: LookUp::Likely, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["FAL_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        Some((AUTHORIZATION, format!("Key {}", key.expose())))
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let mut path = format!("/{}", order.endpoint());
        if let Some(callback) = order.callback {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("fal_webhook", callback.as_str())
                .finish();
            path = format!("{path}?{query}");
        }
        let mut call = Call::new(Method::POST, QUEUE, path);
        if let Ok(tag) = HeaderValue::try_from(format!("genmux={}", order.reference)) {
            call.headers.insert("x-fal-tags", tag);
        }
        Some(call.json(model_input(order)))
    }

    /// Where it is not known whether the job was made, a header may name it all the same.
    fn read_create(&self, answer: &Answer) -> Outcome {
        let outcome = if answer.is_ok() {
            let created: Option<Created> = answer.json();
            Outcome::accepted(created.and_then(|created| {
                let handle = created.response_url.and_then(|url| request_path(&url, &created.request_id));
                remote_job(&created.request_id, handle.as_deref())
            }))
        } else {
            let reason = Reason::of(answer);
            certain::outcome(answer, reason.is_theirs, |_| reason.refusal())
        };
        let id = answer.headers.get("x-fal-request-id").and_then(|id| id.to_str().ok());
        outcome.naming(id.and_then(|id| remote_job(id, None)))
    }

    fn poll(&self, remote: &RemoteJob, route: &str) -> Call {
        Call::new(Method::GET, QUEUE, format!("{}/status", path_of(remote, route)))
    }

    fn read_poll(&self, remote: &RemoteJob, route: &str, answer: &Answer) -> Polled {
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        let Some(status) = answer.json::<Status>().filter(|_| answer.is_ok()) else {
            return Polled::Unreadable(answer.cause());
        };
        if status.request_id.as_ref().is_some_and(|id| *id != remote.id) {
            return Polled::Unreadable("other_job");
        }
        match status.status.as_str() {
            // A job may go back from the second to the first: fal runs it again by itself.
            "IN_QUEUE" | "IN_PROGRESS" => Polled::Pending,
            // Over, not necessarily well. There is no other word for the end.
            "COMPLETED" => match status.failure() {
                Some(reason) => Polled::Ended(reason.verdict()),
                None => Polled::Fetch(Call::new(Method::GET, QUEUE, path_of(remote, route))),
            },
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn read_result(&self, _: &RemoteJob, answer: &Answer) -> Polled {
        if answer.is_ok() {
            return match answer.json::<Output>().and_then(Output::verdict) {
                Some(verdict) => Polled::Ended(verdict),
                None => Polled::Unreadable("no_video"),
            };
        }
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        let reason = Reason::of(answer);
        if answer.status == 400 && reason.text == "Request is still in progress" {
            return Polled::Pending;
        }
        // A server error may be the model's own or a hiccup on the way to a result that is paid
        // for, and no word in it tells which. The status and the webhook name a failure.
        let is_end = match answer.status {
            401 | 403 | 429 | 500.. => false,
            _ => reason.is_theirs,
        };
        match reason.known_verdict() {
            Some(verdict) if is_end => Polled::Ended(verdict),
            _ => Polled::Unreadable(answer.cause()),
        }
    }

    fn cancel(&self, remote: &RemoteJob, route: &str) -> Option<Call> {
        Some(Call::new(Method::PUT, QUEUE, format!("{}/cancel", path_of(remote, route))))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        let is_over = || answer.json::<Status>().is_some_and(|body| body.status == "ALREADY_COMPLETED");
        let is_refused = || answer.json::<Success>().is_some_and(|body| !body.success);
        match answer.status {
            _ if answer.is_taken() && !is_refused() => Canceling::Asked,
            400 if is_over() => Canceling::TooLate,
            404 if answer.says_not_found() => Canceling::Gone,
            _ => Canceling::Unreadable(answer.cause()),
        }
    }

    /// It is not known how soon a new remote job is listed.
    fn look_up(&self, lost: &Lost<'_>) -> Option<Call> {
        Some(history(lost, None))
    }

    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let Some(listed) = answer.json::<History>().filter(|_| answer.is_ok()) else {
            return Found::Unreadable(answer.cause()).into();
        };
        let (endpoint, input) = (lost.order.endpoint(), model_input(&lost.order));
        let alike = |item: &&Past| item.endpoint_id == endpoint && item.json_input == input;
        let items = listed.items.iter().filter(alike).map(|item| (&*item.request_id, &*item.sent_at));
        let found = lost.find(items);
        match listed.next_cursor {
            _ if !listed.has_more => found.into(),
            Some(cursor) => Page { found, next: Some(history(lost, Some(&cursor))) },
            None => Found::Unreadable("list_too_long").into(),
        }
    }

    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event: Option<Event> = serde_json::from_slice(body.get()).ok();
        let event = event.ok_or(Unreadable("not a fal event"))?;
        let remote = remote_job(&event.request_id, None).ok_or(Unreadable("no usable request id"))?;
        Ok(Notice { remote: Some(remote), verdict: event.verdict() })
    }

    fn jwks(&self) -> Option<Call> {
        Some(Call::new(Method::GET, REST, "/.well-known/jwks.json"))
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(
            Method::GET,
            PLATFORM,
            "/v1/models/pricing?endpoint_id=fal-ai%2Fpika%2Fv2.2%2Ftext-to-video",
        )
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        match answer.json::<Pricing>() {
            Some(_) if answer.is_ok() => Ok(()),
            _ if answer.is_ok() => {
                Err(Fault::new(ErrorClass::ProviderUnavailable, Some("unknown_answer"), Billed::No))
            }
            _ => Err(Reason::of(answer).refusal()),
        }
    }
}

/// The call that lists what the endpoint was sent when the lost one was.
fn history(lost: &Lost<'_>, cursor: Option<&str>) -> Call {
    let (from, to) = lost.window();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("endpoint_id", lost.order.endpoint())
        .append_pair("start", &from.to_string())
        .append_pair("end", &to.to_string())
        .append_pair("expand", "payloads")
        .append_pair("limit", "100")
        .extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    let call =
        Call::new(Method::GET, PLATFORM, format!("/v1/models/requests/by-endpoint?{}", query.finish()));
    Call { answer_max: HISTORY_MAX, ..call }
}

/// Where a remote job is found: as the create answer said, else as fal builds it.
fn path_of(remote: &RemoteJob, route: &str) -> String {
    if let Some(path) = &remote.handle {
        return path.clone();
    }
    let endpoint = route.strip_prefix(Provider::Fal.name()).unwrap_or(route).trim_start_matches('/');
    let app: Vec<&str> = endpoint.split('/').take(app_segments(endpoint)).collect();
    format!("/{}/requests/{}", app.join("/"), remote.id)
}

/// Segments of an endpoint that name its app; the rest is not part of a remote job's path.
fn app_segments(endpoint: &str) -> usize {
    if endpoint.starts_with("workflows/") || endpoint.starts_with("comfy/") { 3 } else { 2 }
}

/// The path of a returned URL, if it is that of this remote job to the letter. Its host is
/// ignored: calls go to ours.
fn request_path(url: &str, id: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let app = url.path().strip_suffix(id)?.strip_suffix("/requests/")?.strip_prefix('/')?;
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let good = app.split('/').count() == app_segments(app) && app.split('/').all(plain);
    (good && url.path().len() <= RemoteJob::BYTES_MAX).then(|| url.path().to_owned())
}

/// The other form of an answer to a cancel.
#[derive(Deserialize)]
struct Success {
    success: bool,
}

#[derive(Deserialize)]
struct Created {
    request_id: String,
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    status: String,
    request_id: Option<String>,
    #[serde(default)]
    error: Value,
    error_type: Option<String>,
}

impl Status {
    fn failure(self) -> Option<Reason> {
        let text = match self.error {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        let types: Vec<String> = self.error_type.into_iter().filter(|word| !word.is_empty()).collect();
        (!text.is_empty() || !types.is_empty()).then(|| Reason::told(&text, types))
    }
}

#[derive(Deserialize)]
struct Output {
    video: Video,
}

#[derive(Deserialize)]
struct Video {
    url: String,
}

impl Output {
    fn verdict(self) -> Option<Verdict> {
        asset_url(&self.video.url).map(|asset_url| Verdict::Finished { asset_url, cost: None })
    }
}

#[derive(Deserialize)]
struct Event {
    request_id: String,
    status: Option<String>,
    #[serde(default)]
    payload: Value,
    error: Option<String>,
    error_type: Option<String>,
}

impl Event {
    /// The end that the event tells plainly. `None` where fal must be asked: the payload is
    /// missing or strange, the word is new, or the failure has no class.
    fn verdict(self) -> Option<Verdict> {
        match self.status.as_deref()? {
            "OK" => serde_json::from_value::<Output>(self.payload).ok()?.verdict(),
            "ERROR" => {
                let mut types = detail_types(&self.payload);
                types.extend(self.error_type);
                Reason::told(&self.error.unwrap_or_default(), types).known_verdict()
            }
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct History {
    has_more: bool,
    next_cursor: Option<String>,
    items: Vec<Past>,
}

#[derive(Deserialize)]
struct Past {
    request_id: String,
    endpoint_id: String,
    sent_at: String,
    #[serde(default)]
    json_input: Value,
}

#[derive(Deserialize)]
struct Pricing {
    #[serde(rename = "prices")]
    _prices: Vec<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::fixtures;

    #[test]
    fn every_fixture_reads_as_it_says() {
        let came_out = fixtures::run(Provider::Fal);
        for class in [
            "auth",
            "insufficient_funds",
            "content_policy",
            "invalid_request",
            "rate_limited",
            "timeout",
            "server_error",
            "unknown",
        ] {
            came_out.some("create", class);
        }
        for verdict in ["finished", "broke", "gone", "pending", "canceled"] {
            came_out.some("result", verdict);
        }
        for verdict in ["finished", "broke", "canceled", "null"] {
            came_out.some("webhook", verdict);
        }
    }

    #[test]
    fn a_path_is_kept_only_if_it_is_this_remote_jobs() {
        for path in [
            "/fal-ai/pika/requests/other",
            "/requests/a",
            "/a/requests/a",
            "/a/b/c/requests/a",
            "/../b/requests/a",
            "/a/b%2f/requests/a",
            "/a/b/requests/a/",
            "/a/b/requests/a?x=1&y=/requests/a",
        ] {
            let kept = request_path(&format!("https://queue.fal.run{path}"), "a");
            assert!(kept.is_none() || kept.as_deref() == Some("/a/b/requests/a"), "{path}: {kept:?}");
        }
        assert_eq!(
            request_path("https://evil.example/a/b/requests/a", "a").as_deref(),
            Some("/a/b/requests/a")
        );
    }
}
