//! MiniMax: v2 calls for H3 and v1 calls for Hailuo; unsigned notifications, polling.
//!
//! v1 returns errors in the body of a 200, and needs a further call for the file of a finished job.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method};
use serde_json::{Value, json};

use crate::provider::adapter::{Adapter, Capabilities, Scheme, Settings, Setup};
use crate::provider::bill::{BillOf, BillPage};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, without_nulls};
use crate::provider::outcome::{Canceling, Notice, Outcome, Polled, Unreadable};
use crate::provider::reading::{self, asset_url, class_of_status, items, step, text, word};
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::public_url::PublicUrl;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::{Secret, Verified};

/// Tasks of a page of the list, and how long it has them.
const PAGE: usize = 100;
const LISTED_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The host outside mainland China; set `MINIMAX_BASE_URL` for the other.
const API: &str = "api.minimax.io";

/// An attempt whose create answer was lost cannot be looked up: the list repeats neither prompt
/// nor callback, and two orders of one length and size look alike in it.
pub(super) struct Minimax;

impl Adapter for Minimax {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            webhooks: Some(Scheme::TokenOnly),
            cancel_destroys: true,
            stop_is_free: true,
            ..Capabilities::default()
        }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["MINIMAX_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let (path, input) = match Version::of(order.endpoint()) {
            Version::One => ("/v1/video_generation", input_1(order)),
            Version::Two => ("/v2/video_generation", input_2(order)),
        };
        Some(Call::new(Method::POST, API, path).json(input))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        match Problem::of(answer) {
            Some(problem) => problem.outcome(answer),
            None => reading::accepted(answer, "/task_id", |answer| Problem::default().fault(answer)),
        }
    }

    fn poll(&self, remote: &RemoteJob, route: &str) -> Call {
        let path = match Version::of(route) {
            Version::One => format!("/v1/query/video_generation?task_id={}", step(&remote.id)),
            Version::Two => format!("/v2/query/video_generation/{}", step(&remote.id)),
        };
        Call::new(Method::GET, API, path)
    }

    fn read_poll(&self, remote: &RemoteJob, route: &str, answer: &Answer) -> Polled {
        if is_gone(answer) {
            return Polled::Ended(Verdict::Gone);
        }
        let body = answer.object().filter(|_| answer.is_ok()).unwrap_or_default();
        let polled = match Version::of(route) {
            Version::One => query(&body, remote, answer),
            Version::Two => task(&body["task"], remote),
        };
        match (polled, Problem::of(answer)) {
            (Some(polled), _) => polled,
            (None, Some(problem)) => Polled::Unreadable(problem.cause(answer)),
            (None, None) => Polled::Unreadable(answer.cause()),
        }
    }

    /// v1's answer about the file of a finished job.
    fn read_result(&self, _: &RemoteJob, answer: &Answer) -> Polled {
        if is_gone(answer) {
            return Polled::Ended(Verdict::Gone);
        }
        if let Some(problem) = Problem::of(answer) {
            return Polled::Unreadable(problem.cause(answer));
        }
        match answer.object().filter(|_| answer.is_ok()) {
            Some(body) => reading::finished(asset_url(&body["file"]["download_url"]), None, None),
            None => Polled::Unreadable(answer.cause()),
        }
    }

    /// v2 takes a waiting job back, refuses for a running one, and deletes one that has ended.
    fn cancel(&self, remote: &RemoteJob, route: &str) -> Option<Call> {
        let path = format!("/v2/video_generation/{}", step(&remote.id));
        (Version::of(route) == Version::Two).then(|| Call::new(Method::DELETE, API, path))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        if is_gone(answer) {
            return Canceling::Gone;
        }
        match Problem::of(answer) {
            Some(problem) if problem.class(answer.status) == ErrorClass::InvalidRequest => {
                Canceling::Impossible
            }
            // The record of an ended job.
            None if answer.object().is_some_and(|body| is_deleted(&body)) => Canceling::TooLate,
            None if answer.is_taken() => Canceling::Asked,
            _ => Canceling::Unreadable(answer.cause()),
        }
    }

    /// Unsigned: treated as a poll trigger only.
    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event: Value = serde_json::from_slice(body.get()).unwrap_or_default();
        // Which of the two a v2 event has is not published.
        let ids = [&event["task_id"], &event["task"]["id"]];
        let id = ids.into_iter().find(|id| text(id).is_some()).ok_or(Unreadable("names no task"))?;
        let remote = reading::remote(id).ok_or(Unreadable("no usable task id"))?;
        Ok(Notice { remote: Some(remote), verdict: None })
    }

    /// Sent when a create names a callback URL; the callback counts once it is repeated.
    fn challenge(&self, body: &Verified<Bytes>) -> Option<Value> {
        let event: Value = serde_json::from_slice(body.get()).ok()?;
        let challenge = event.get("challenge").filter(|value| value.is_string() || value.is_number())?;
        Some(json!({"challenge": challenge}))
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, "/v2/query/video_generation?page_num=1&page_size=1")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        let is_list = |body: &Value| body["items"].is_array() || body["total"].is_number();
        match Problem::of(answer) {
            Some(problem) => Err(problem.fault(answer)),
            None => reading::health(answer, is_list, |answer| Problem::default().fault(answer)),
        }
    }

    /// v2's tasks, newest first, without amounts; the cursor is the number of the page.
    fn bill(&self, _: &BillOf<'_>, part: usize, cursor: Option<&str>) -> Option<Call> {
        let page = cursor.unwrap_or("1");
        let path = format!("/v2/query/video_generation?page_num={page}&page_size={PAGE}");
        (part == 0).then(|| Call::new(Method::GET, API, path))
    }

    fn read_bill(&self, of: &BillOf<'_>, cursor: Option<&str>, answer: &Answer) -> Option<BillPage> {
        let body = answer.object().filter(|body| answer.is_ok() && body["items"].is_array())?;
        let secs = |task: &Value| text(&task["created_at"])?.parse::<u32>().ok();
        let at = |task: &Value| secs(task).map(|secs| Timestamp::from_secs(secs.into()));
        let tasks = items(&body["items"]);
        let may_follow = tasks.last().is_some_and(|last| at(last).is_none_or(|at| at >= of.period.since));
        let number: u32 = cursor.unwrap_or("1").parse().ok()?;
        let next = may_follow.then(|| (number + 1).to_string());
        BillPage::of(tasks, next, |task| (&task["id"], at(task), &Value::Null))
    }

    fn lists_route(&self, route: &str) -> bool {
        Version::of(route) == Version::Two
    }

    fn listed_for(&self) -> Option<Duration> {
        Some(LISTED_FOR)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// By the name of a model, or of its route.
    fn of(name: &str) -> Self {
        if name.contains("Hailuo") { Self::One } else { Self::Two }
    }
}

/// `768P` for our `768p`, `2K` for our `2k`.
fn resolution(order: &CreateOrder<'_>) -> String {
    order.request.resolution.to_ascii_uppercase()
}

fn input_1(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    without_nulls(json!({
        "model": order.endpoint(),
        "prompt": request.prompt,
        "duration": request.duration_s,
        "resolution": resolution(order),
        "first_frame_image": request.image_url,
        "last_frame_image": request.last_frame_url,
        "callback_url": order.callback,
    }))
}

/// A ratio is required without an image; with one the video follows the image.
fn input_2(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let frame = |url: &Option<PublicUrl>, role: &str| {
        Some(json!({"type": "image_url", "image_url": {"url": url.as_ref()?}, "role": role}))
    };
    let text = Some(json!({"type": "text", "text": request.prompt}));
    let frames = [frame(&request.image_url, "first_frame"), frame(&request.last_frame_url, "last_frame")];
    let content: Vec<Value> = [text].into_iter().chain(frames).flatten().collect();
    without_nulls(json!({
        "model": order.endpoint(),
        "content": content,
        "duration": request.duration_s,
        "resolution": resolution(order),
        "ratio": request.aspect_ratio.as_deref().unwrap_or("adaptive"),
        "callback_url": order.callback,
    }))
}

/// Whether a job that was to be stopped had ended, and its record was deleted in its place. Which of
/// the two members says so is published in two ways.
fn is_deleted(body: &Value) -> bool {
    [&body["status"], &body["action"]].into_iter().any(|said| matches!(&*word(said), "delete" | "deleted"))
}

/// What v1 says of a job; `None` for what is not about one.
fn query(body: &Value, remote: &RemoteJob, answer: &Answer) -> Option<Polled> {
    let status = text(&body["status"])?;
    if text(&body["task_id"]).is_some_and(|id| id != remote.id) {
        return Some(Polled::Unreadable("other_job"));
    }
    Some(match &*status {
        "Preparing" | "Queueing" | "Processing" => Polled::Pending,
        "Success" => match text(&body["file_id"]) {
            Some(id) => {
                let path = format!("/v1/files/retrieve?file_id={}", step(&id));
                Polled::Fetch(Box::new(Call::new(Method::GET, API, path)))
            }
            None => reading::empty(None),
        },
        "Fail" => reading::broke(Problem::of(answer).unwrap_or_default().failure(), None),
        _ => Polled::Unreadable("unknown_status"),
    })
}

/// What v2 says of a job; `None` for what is not about one.
fn task(task: &Value, remote: &RemoteJob) -> Option<Polled> {
    if text(&task["id"])? != remote.id {
        return Some(Polled::Unreadable("other_job"));
    }
    Some(match &*text(&task["status"])? {
        "queued" | "running" => Polled::Pending,
        "succeeded" => {
            let file = asset_url(&task["content"]["url"]);
            reading::finished(file, None, reading::says(&task["error"]))
        }
        "failed" => reading::broke(Problem::of_error(&task["error"]).failure(), None),
        "expired" => reading::broke(Fault::new(ErrorClass::Timeout, Some("expired"), Billed::Unknown), None),
        // Only a queued job can be canceled, at no cost.
        "cancelled" => Polled::Ended(Verdict::Canceled { cost: Some(MicroUsd(0)) }),
        _ => Polled::Unreadable("unknown_status"),
    })
}

/// An error in one of MiniMax's shapes: v1's `base_resp`, or v2's `error`.
#[derive(Default)]
struct Problem {
    code: Option<u64>,
    /// v2's word, where there is no code.
    word: Option<String>,
    /// The human-readable text.
    says: Option<String>,
}

const TIMED_OUT: u64 = 1001;

impl Problem {
    /// `None` for a success and for an answer that is not from MiniMax.
    fn of(answer: &Answer) -> Option<Self> {
        let body = answer.object()?;
        let base = &body["base_resp"];
        match text(&base["status_code"]).and_then(|code| code.parse().ok()) {
            Some(0) | None => {}
            code => return Some(Self { code, word: None, says: reading::says(base).map(str::to_owned) }),
        }
        body["error"].is_object().then(|| Self::of_error(&body["error"]))
    }

    /// v2 has the code in a field of its own, or in brackets at the end of the text for people.
    fn of_error(error: &Value) -> Self {
        let code = &error["code"];
        let text = error["message"].as_str().unwrap_or_default();
        let in_text = || text.rsplit_once('(')?.1.strip_suffix(')')?.parse().ok();
        let number = code.as_u64().or_else(|| code.as_str()?.parse().ok()).or_else(in_text);
        let word = error["type"].as_str().or(code.as_str()).map(str::to_owned);
        Self { code: number, word, says: reading::says(error).map(str::to_owned) }
    }

    /// The code takes precedence over the status, which is often 200.
    fn class(&self, status: u16) -> ErrorClass {
        match (self.code, status) {
            (Some(1000 | TIMED_OUT | 1024 | 1033), _) => ErrorClass::ProviderUnavailable,
            (Some(1002 | 1039), _) => ErrorClass::RateLimited,
            (Some(1004 | 2049), _) => ErrorClass::Auth,
            (Some(1008), _) => ErrorClass::InsufficientFunds,
            (Some(1026 | 1027), _) => ErrorClass::ContentPolicy,
            (Some(2013), _) => ErrorClass::InvalidRequest,
            (_, status) => class_of_status(status),
        }
    }

    /// What a create call came to that this was the answer to. The code stands before the status:
    /// those of the list that blame the caller are refusals, and so are all of 2xxx; the others
    /// are errors of the server or are not known.
    fn outcome(&self, answer: &Answer) -> Outcome {
        match self.code {
            Some(1002 | 1004 | 1008 | 1026 | 1027 | 1039 | 2_000..3_000) => {
                Outcome::Refused { fault: self.fault(answer), retry_after: None }
            }
            Some(TIMED_OUT) => Outcome::unknown("their_timeout"),
            Some(_) => Outcome::Unknown { cause: "server_error", remote: None, answered: true },
            None => reading::accepted(answer, "/task_id", |answer| self.fault(answer)),
        }
    }

    /// Why a call was refused. Whether the judgement of content is billed is not published.
    fn fault(&self, answer: &Answer) -> Fault {
        let class = self.class(answer.status);
        let billed = if class == ErrorClass::ContentPolicy { Billed::Unknown } else { Billed::No };
        Fault::new(class, self.name().as_deref(), billed).saying(self.says.as_deref())
    }

    /// Why a job failed.
    fn failure(&self) -> Fault {
        let fault = Fault::new(self.class(200), self.name().as_deref(), Billed::Unknown);
        fault.saying(self.says.as_deref())
    }

    fn name(&self) -> Option<String> {
        self.code.map(|code| code.to_string()).or_else(|| self.word.clone())
    }

    /// Why an answer has no job status.
    fn cause(&self, answer: &Answer) -> &'static str {
        match self.class(answer.status) {
            ErrorClass::Auth => "unauthorized",
            ErrorClass::RateLimited => "rate_limited",
            ErrorClass::ProviderUnavailable => "server_error",
            _ if answer.is_ok() => "unexpected_status",
            _ => answer.cause(),
        }
    }
}

/// An unknown job or file is reported as a server error.
fn is_gone(answer: &Answer) -> bool {
    let text = || answer.object().map(|body| body.to_string());
    answer.says_not_found()
        || (answer.status == 500 && text().is_some_and(|text| text.contains("record not found")))
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Minimax)
            .some(
                "create",
                "auth insufficient_funds content_policy invalid_request rate_limited server_error",
            )
            .some("poll", "finished broke gone pending canceled content_policy timeout fetch")
            .some("result", "finished gone unreadable")
            .some("cancel", "asked impossible gone");
    }
}
