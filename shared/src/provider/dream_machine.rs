//! Luma's older API, "Dream Machine": unsigned callbacks as hints, polling, a list.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::outcome::{Found, Notice, Outcome, Page, Polled, Unreadable};
use super::secret::Secret;
use super::verify::{Scheme, Verified};
use super::{
    Adapter, Answer, Call, Capabilities, CreateOrder, LookUp, Lost, Settings, Setup, asset_url, certain,
    remote_job, timestamp,
};
use crate::domain::id::RemoteJob;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

const API: &str = "api.lumalabs.ai";
/// How many generations a page of a look-up has, newest first.
const LISTED: usize = 100;

/// It is never asked to stop a job: its `DELETE` removes one, and whether that stops a run or its
/// bill is not known, but the result would be lost for certain.
pub(super) struct DreamMachine;

impl Adapter for DreamMachine {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            webhooks: Some(Scheme::TokenOnly),
            // The list is searched for our callback URL. What was sent without one is not found and
            // may run all the same.
            look_up: LookUp::Likely,
            ..Capabilities::default()
        }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["LUMAAI_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        Some((AUTHORIZATION, format!("Bearer {}", key.expose())))
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        Some(call(Method::POST, "/generations/video").json(input(order)))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        if answer.is_ok() {
            let created: Option<Generation> = answer.json();
            return Outcome::accepted(created.and_then(|created| remote_job(&created.id, None)));
        }
        certain::outcome(answer, answer.json::<Problem>().is_some(), fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        call(Method::GET, &format!("/generations/{}", remote.id))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        let Some(generation) = answer.json::<Generation>().filter(|_| answer.is_ok()) else {
            return Polled::Unreadable(answer.cause());
        };
        if generation.id != remote.id {
            return Polled::Unreadable("other_job");
        }
        match generation.state.as_deref() {
            Some("queued" | "dreaming") => Polled::Pending,
            Some("completed") => match generation.asset() {
                Some(asset_url) => Polled::Ended(Verdict::Finished { asset_url, cost: None }),
                None => Polled::Unreadable("no_video"),
            },
            Some("failed") => {
                let told = generation.failure_reason.as_deref().and_then(told);
                let fault = Fault::new(told.unwrap_or(ErrorClass::Unknown), None, Billed::Unknown);
                Polled::Ended(Verdict::Broke { fault, cost: None })
            }
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn look_up(&self, _: &Lost<'_>) -> Option<Call> {
        Some(list(0))
    }

    /// Every generation tells the request that it came of, with its callback URL.
    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let Some(list) = answer.json::<List>().filter(|_| answer.is_ok()) else {
            return Found::Unreadable(answer.cause()).into();
        };
        let is_ours =
            |item: &&Value| item["request"]["callback_url"].as_str().is_some_and(|url| lost.is_callback(url));
        let Some(ours) = list.generations.iter().find(is_ours) else {
            return Page { found: Found::Nothing, next: list.next(lost) };
        };
        match ours["id"].as_str().and_then(|id| remote_job(id, None)) {
            Some(remote) => Found::Job(remote).into(),
            None => Found::Unreadable("no_id").into(),
        }
    }

    /// Nobody signs it: it tells which job to ask after, and never how it ended.
    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event: Option<Generation> = serde_json::from_slice(body.get()).ok();
        let event = event.filter(|event| event.state.is_some()).ok_or(Unreadable("not a generation"))?;
        let remote = remote_job(&event.id, None).ok_or(Unreadable("no usable id"))?;
        Ok(Notice { remote: Some(remote), verdict: None })
    }

    fn ping(&self, _: &Settings) -> Call {
        call(Method::GET, "/credits")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        match answer.json::<Balance>() {
            Some(_) if answer.is_ok() => Ok(()),
            _ if answer.is_ok() => {
                Err(Fault::new(ErrorClass::ProviderUnavailable, Some("unknown_answer"), Billed::No))
            }
            _ => Err(fault(answer)),
        }
    }
}

fn call(method: Method, path: &str) -> Call {
    Call::new(method, API, format!("/dream-machine/v1{path}"))
}

fn list(offset: usize) -> Call {
    call(Method::GET, &format!("/generations?limit={LISTED}&offset={offset}"))
}

/// There is no seed and no negative prompt.
fn input(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let mut input = Map::new();
    let mut put = |name: &str, value: Value| input.insert(name.to_owned(), value);
    put("model", json!(order.endpoint()));
    put("prompt", json!(request.prompt));
    put("resolution", json!(request.resolution));
    if let Some(seconds) = request.duration_s {
        put("duration", json!(format!("{seconds}s")));
    }
    if let Some(ratio) = &request.aspect_ratio {
        put("aspect_ratio", json!(ratio));
    }
    let frames = [("frame0", &request.image_url), ("frame1", &request.last_frame_url)];
    let frames: Map<String, Value> = frames
        .into_iter()
        .filter_map(|(name, url)| Some((name.to_owned(), json!({"type": "image", "url": url.as_ref()?}))))
        .collect();
    if !frames.is_empty() {
        put("keyframes", Value::Object(frames));
    }
    if let Some(callback) = order.callback {
        put("callback_url", json!(callback));
    }
    Value::Object(input)
}

#[derive(Deserialize)]
struct Generation {
    id: String,
    state: Option<String>,
    failure_reason: Option<String>,
    assets: Option<Assets>,
}

#[derive(Deserialize)]
struct Assets {
    video: Option<String>,
}

impl Generation {
    fn asset(&self) -> Option<String> {
        asset_url(self.assets.as_ref()?.video.as_ref()?)
    }
}

#[derive(Deserialize)]
struct List {
    generations: Vec<Value>,
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    offset: usize,
}

impl List {
    /// The call for what is older, unless all of that is older than the lost one.
    fn next(&self, lost: &Lost<'_>) -> Option<Call> {
        let oldest = self.generations.last()?["created_at"].as_str().and_then(timestamp);
        let may_be_there = oldest.is_none_or(|oldest| oldest >= lost.window().0);
        (self.has_more && may_be_there).then(|| list(self.offset + self.generations.len()))
    }
}

#[derive(Deserialize)]
struct Balance {
    #[serde(rename = "credit_balance")]
    _credit_balance: f64,
}

#[derive(Deserialize)]
struct Problem {
    /// A text, or a list of flaws.
    detail: Value,
}

/// What a text for people gives away; there are no codes.
fn told(text: &str) -> Option<ErrorClass> {
    let text = text.to_ascii_lowercase();
    if text.contains("moderation") {
        Some(ErrorClass::ContentPolicy)
    } else if text.contains("insufficient credits") {
        Some(ErrorClass::InsufficientFunds)
    } else {
        None
    }
}

/// The first rule that fits an answer that is not a success.
fn fault(answer: &Answer) -> Fault {
    let detail = answer.json::<Problem>().map(|problem| problem.detail.to_string()).unwrap_or_default();
    let class = match answer.status {
        401 | 403 => ErrorClass::Auth,
        429 => ErrorClass::RateLimited,
        400..=499 => told(&detail).unwrap_or(ErrorClass::InvalidRequest),
        500..=599 => ErrorClass::ProviderUnavailable,
        _ => ErrorClass::Unknown,
    };
    Fault::new(class, None, Billed::No)
}

#[cfg(test)]
mod tests {
    use crate::domain::provider::Provider;
    use crate::provider::fixtures;

    #[test]
    fn every_fixture_reads_as_it_says() {
        let came_out = fixtures::run(Provider::DreamMachine);
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
        for verdict in ["finished", "broke", "gone", "pending", "content_policy", "insufficient_funds"] {
            came_out.some("poll", verdict);
        }
        for what in ["found", "nothing", "unreadable"] {
            came_out.some("look_up", what);
        }
    }
}
