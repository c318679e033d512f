//! MiniMax: the v2 calls of H3 and the v1 calls of Hailuo; callbacks as hints, polling.
//!
//! v1 tells its errors in the body of a 200, and the file of a finished job by one call more.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::outcome::{Canceling, Notice, Outcome, Polled, Unreadable};
use super::secret::Secret;
use super::verify::{Scheme, Verified};
use super::{
    Adapter, Answer, Call, Capabilities, CreateOrder, Settings, Setup, asset_url, certain, remote_job,
};
use crate::domain::credit::MicroUsd;
use crate::domain::id::RemoteJob;
use crate::domain::public_url::PublicUrl;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

/// Of accounts outside mainland China; the others' is set as the base URL.
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
        Some((AUTHORIZATION, format!("Bearer {}", key.expose())))
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
            None if answer.is_ok() => {
                let created: Option<Created> = answer.json();
                Outcome::accepted(created.and_then(|created| remote_job(&created.task_id, None)))
            }
            None => certain::outcome(answer, false, |_| Problem::default().fault(answer.status)),
        }
    }

    fn poll(&self, remote: &RemoteJob, route: &str) -> Call {
        let path = match Version::of(route) {
            Version::One => format!("/v1/query/video_generation?task_id={}", remote.id),
            Version::Two => format!("/v2/query/video_generation/{}", remote.id),
        };
        Call::new(Method::GET, API, path)
    }

    fn read_poll(&self, remote: &RemoteJob, route: &str, answer: &Answer) -> Polled {
        if is_gone(answer) {
            return Polled::Ended(Verdict::Gone);
        }
        let polled = answer.is_ok().then(|| match Version::of(route) {
            Version::One => answer.json::<Query>().map(|query| query.read(remote, answer)),
            Version::Two => answer.json::<Told>().map(|told| told.task.read(remote)),
        });
        match (polled.flatten(), Problem::of(answer)) {
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
        let file = answer.json::<Retrieved>().filter(|_| answer.is_ok());
        match file.and_then(|retrieved| asset_url(&retrieved.file.download_url)) {
            Some(asset_url) => Polled::Ended(Verdict::Finished { asset_url, cost: None }),
            None if answer.is_ok() => Polled::Unreadable("no_file"),
            None => Polled::Unreadable(answer.cause()),
        }
    }

    /// v2 takes a waiting job back, refuses for a running one, and deletes one that has ended.
    fn cancel(&self, remote: &RemoteJob, route: &str) -> Option<Call> {
        let path = format!("/v2/video_generation/{}", remote.id);
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
            // The record of a job that had ended.
            None if answer.json::<Removed>().is_some_and(|removed| removed.is_deleted()) => {
                Canceling::TooLate
            }
            None if answer.is_taken() => Canceling::Asked,
            _ => Canceling::Unreadable(answer.cause()),
        }
    }

    /// Nobody signs it: it tells which job to ask after, and never how it ended.
    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event: Value = serde_json::from_slice(body.get()).unwrap_or_default();
        // Which of the two a v2 event has is not published.
        let id = event["task_id"].as_str().or_else(|| event["task"]["id"].as_str());
        let id = id.ok_or(Unreadable("names no task"))?;
        let remote = remote_job(id, None).ok_or(Unreadable("no usable task id"))?;
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
        if let Some(problem) = Problem::of(answer) {
            return Err(problem.fault(answer.status));
        }
        let list: Value = answer.json().unwrap_or_default();
        let is_list = list["items"].is_array() || list["total"].is_number();
        match answer.is_ok() {
            true if is_list => Ok(()),
            true => Err(Fault::new(ErrorClass::ProviderUnavailable, Some("unknown_answer"), Billed::No)),
            false => Err(Problem::default().fault(answer.status)),
        }
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
    let mut input = Map::new();
    let mut put = |name: &str, value: Value| input.insert(name.to_owned(), value);
    put("model", json!(order.endpoint()));
    put("prompt", json!(request.prompt));
    put("duration", json!(request.duration_s));
    put("resolution", json!(resolution(order)));
    if let Some(url) = &request.image_url {
        put("first_frame_image", json!(url));
    }
    if let Some(url) = &request.last_frame_url {
        put("last_frame_image", json!(url));
    }
    if let Some(callback) = order.callback {
        put("callback_url", json!(callback));
    }
    Value::Object(input)
}

/// A ratio is needed without an image; with one the film follows it.
fn input_2(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let frame = |url: &Option<PublicUrl>, role: &str| {
        Some(json!({"type": "image_url", "image_url": {"url": url.as_ref()?}, "role": role}))
    };
    let text = Some(json!({"type": "text", "text": request.prompt}));
    let frames = [frame(&request.image_url, "first_frame"), frame(&request.last_frame_url, "last_frame")];
    let content: Vec<Value> = [text].into_iter().chain(frames).flatten().collect();
    let mut input = json!({
        "model": order.endpoint(),
        "content": content,
        "duration": request.duration_s,
        "resolution": resolution(order),
        "ratio": request.aspect_ratio.as_deref().unwrap_or("adaptive"),
    });
    if let Some(callback) = order.callback {
        input["callback_url"] = json!(callback);
    }
    input
}

#[derive(Deserialize)]
struct Created {
    task_id: String,
}

/// What became of a job that was to be stopped. Which of the two it has is told in two ways.
#[derive(Deserialize)]
struct Removed {
    status: Option<String>,
    action: Option<String>,
}

impl Removed {
    fn is_deleted(&self) -> bool {
        let words = [&self.status, &self.action];
        words.into_iter().flatten().any(|word| matches!(word.as_str(), "delete" | "deleted"))
    }
}

/// What v1 says of a job.
#[derive(Deserialize)]
struct Query {
    task_id: Option<String>,
    status: String,
    #[serde(default)]
    file_id: Value,
}

impl Query {
    fn read(&self, remote: &RemoteJob, answer: &Answer) -> Polled {
        if self.task_id.as_ref().is_some_and(|id| *id != remote.id) {
            return Polled::Unreadable("other_job");
        }
        match self.status.as_str() {
            "Preparing" | "Queueing" | "Processing" => Polled::Pending,
            "Success" => match self.file() {
                Some(id) => {
                    Polled::Fetch(Call::new(Method::GET, API, format!("/v1/files/retrieve?file_id={id}")))
                }
                None => Polled::Unreadable("no_file"),
            },
            "Fail" => {
                let problem = Problem::of(answer).unwrap_or_default();
                Polled::Ended(Verdict::Broke { fault: problem.failure(), cost: None })
            }
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    /// Written as a text of digits, or as a number.
    fn file(&self) -> Option<String> {
        let id =
            self.file_id.as_str().map(str::to_owned).or_else(|| Some(self.file_id.as_u64()?.to_string()))?;
        remote_job(&id, None).map(|file| file.id)
    }
}

#[derive(Deserialize)]
struct Retrieved {
    file: File,
}

#[derive(Deserialize)]
struct File {
    download_url: String,
}

/// What v2 says of a job.
#[derive(Deserialize)]
struct Told {
    task: Task,
}

#[derive(Deserialize)]
struct Task {
    id: String,
    status: String,
    #[serde(default)]
    error: Value,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    url: Option<String>,
}

impl Task {
    fn read(&self, remote: &RemoteJob) -> Polled {
        if self.id != remote.id {
            return Polled::Unreadable("other_job");
        }
        let broke = |fault| Polled::Ended(Verdict::Broke { fault, cost: None });
        match self.status.as_str() {
            "queued" | "running" => Polled::Pending,
            "succeeded" => {
                let url = self.content.as_ref().and_then(|content| content.url.as_deref());
                match url.and_then(asset_url) {
                    Some(asset_url) => Polled::Ended(Verdict::Finished { asset_url, cost: None }),
                    None => Polled::Unreadable("no_video"),
                }
            }
            "failed" => broke(Problem::told(&self.error).failure()),
            "expired" => broke(Fault::new(ErrorClass::Timeout, Some("expired"), Billed::Unknown)),
            // Only what still waited can be canceled, and that costs nothing.
            "cancelled" => Polled::Ended(Verdict::Canceled { cost: Some(MicroUsd(0)) }),
            _ => Polled::Unreadable("unknown_status"),
        }
    }
}

/// An error in one of MiniMax's shapes: v1's `base_resp`, or v2's `error`.
#[derive(Default)]
struct Problem {
    code: Option<u64>,
    /// v2's word, where there is no code.
    word: Option<String>,
}

const TIMED_OUT: u64 = 1001;

impl Problem {
    /// `None` for a success, and for what does not come from MiniMax.
    fn of(answer: &Answer) -> Option<Self> {
        let body: Value = answer.json()?;
        match body["base_resp"]["status_code"].as_u64() {
            Some(0) | None => {}
            code => return Some(Self { code, word: None }),
        }
        body["error"].is_object().then(|| Self::told(&body["error"]))
    }

    /// v2 has the code in a field of its own, or in brackets at the end of the text for people.
    fn told(error: &Value) -> Self {
        let code = &error["code"];
        let text = error["message"].as_str().unwrap_or_default();
        let in_text = || text.rsplit_once('(')?.1.strip_suffix(')')?.parse().ok();
        let number = code.as_u64().or_else(|| code.as_str()?.parse().ok()).or_else(in_text);
        let word = error["type"].as_str().or(code.as_str()).map(str::to_owned);
        Self { code: number, word }
    }

    /// The code comes before the status, which is often 200.
    fn class(&self, status: u16) -> ErrorClass {
        match (self.code, status) {
            (Some(1000 | TIMED_OUT | 1024 | 1033), _) => ErrorClass::ProviderUnavailable,
            (Some(1002 | 1039), _) => ErrorClass::RateLimited,
            (Some(1004 | 2049), _) => ErrorClass::Auth,
            (Some(1008), _) => ErrorClass::InsufficientFunds,
            (Some(1026 | 1027), _) => ErrorClass::ContentPolicy,
            (Some(2013), _) => ErrorClass::InvalidRequest,
            (_, 401 | 403) => ErrorClass::Auth,
            (_, 402) => ErrorClass::InsufficientFunds,
            (_, 429) => ErrorClass::RateLimited,
            (_, 400..=499) => ErrorClass::InvalidRequest,
            (_, 500..=599) => ErrorClass::ProviderUnavailable,
            _ => ErrorClass::Unknown,
        }
    }

    /// What a create call came to that this was the answer to. The code stands before the status:
    /// those of the list that blame the caller are refusals, and so are all of 2xxx; the others
    /// are errors of the server or are not known.
    fn outcome(&self, answer: &Answer) -> Outcome {
        match self.code {
            Some(1002 | 1004 | 1008 | 1026 | 1027 | 1039 | 2_000..3_000) => {
                Outcome::Refused { fault: self.fault(answer.status), retry_after: None }
            }
            Some(TIMED_OUT) => Outcome::unknown("their_timeout"),
            Some(_) => Outcome::Unknown { cause: "server_error", remote: None, answered: true },
            None => certain::outcome(answer, true, |_| self.fault(answer.status)),
        }
    }

    /// Why a call was refused. Whether the judgement of content is billed is not published.
    fn fault(&self, status: u16) -> Fault {
        let class = self.class(status);
        let billed = if class == ErrorClass::ContentPolicy { Billed::Unknown } else { Billed::No };
        Fault::new(class, self.name().as_deref(), billed)
    }

    /// Why a job failed.
    fn failure(&self) -> Fault {
        Fault::new(self.class(200), self.name().as_deref(), Billed::Unknown)
    }

    fn name(&self) -> Option<String> {
        self.code.map(|code| code.to_string()).or_else(|| self.word.clone())
    }

    /// Why an answer about a job tells nothing about it.
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

/// A job or file that they do not know is told as an error of the server.
fn is_gone(answer: &Answer) -> bool {
    let text = || answer.json::<Map<String, Value>>().map(|body| json!(body).to_string());
    answer.says_not_found()
        || (answer.status == 500 && text().is_some_and(|text| text.contains("record not found")))
}

#[cfg(test)]
mod tests {
    use crate::domain::provider::Provider;
    use crate::provider::fixtures;

    #[test]
    fn every_fixture_reads_as_it_says() {
        let came_out = fixtures::run(Provider::Minimax);
        for class in [
            "auth",
            "insufficient_funds",
            "content_policy",
            "invalid_request",
            "rate_limited",
            "server_error",
        ] {
            came_out.some("create", class);
        }
        for verdict in
            ["finished", "broke", "gone", "pending", "canceled", "content_policy", "timeout", "fetch"]
        {
            came_out.some("poll", verdict);
        }
        for verdict in ["finished", "gone", "unreadable"] {
            came_out.some("result", verdict);
        }
        for what in ["asked", "impossible", "gone"] {
            came_out.some("cancel", what);
        }
    }
}
