//! `BytePlus` `ModelArk`: Seedance at its maker's; unsigned notifications, polling, a list.

use bytes::Bytes;
use http::{HeaderName, Method};
use serde_json::{Value, json};

use crate::provider::adapter::{Adapter, Capabilities, LookUp, Scheme, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, Lost, without_nulls};
use crate::provider::outcome::{Canceling, Found, Notice, Outcome, Page, Polled, Unreadable};
use crate::provider::reading::{self, asset_url, class_of_status, items, step, text, word};
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::job::RUNNING_MAX;
use domain::public_url::PublicUrl;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::{Secret, Verified};

/// Johor, the one region with Seedance; set `BYTEPLUS_BASE_URL` for another.
const API: &str = "ark.ap-southeast.bytepluses.com";
const TASKS: &str = "/api/v3/contents/generations/tasks";
/// How many jobs a look-up reads: one page, as the answer does not say which page it is.
const LISTED: usize = 500;
/// By how many seconds the deadlines of attempts differ: see [`deadline`].
const DEADLINES: u32 = 600;

pub(super) struct Byteplus;

impl Adapter for Byteplus {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            webhooks: Some(Scheme::TokenOnly),
            // One call takes back what waits and deletes what has ended, in the same words.
            cancel_destroys: true,
            stop_is_free: true,
            // The list has neither prompt nor callback.
            look_up: LookUp::Likely,
            ..Capabilities::default()
        }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["ARK_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let mut body = input(order);
        body["callback_url"] = json!(order.callback);
        Some(Call::new(Method::POST, API, TASKS).json(without_nulls(body)))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        reading::accepted(answer, "/id", fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        one(Method::GET, remote)
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let task = match reading::about(answer, remote, "/id") {
            Ok(task) => task,
            Err(polled) => return polled,
        };
        let free = Some(MicroUsd(0));
        match &*word(&task["status"]) {
            "queued" | "running" => Polled::Pending,
            "succeeded" => {
                let file = asset_url(&task["content"]["video_url"]);
                reading::finished(file, None, reading::says(&task["error"]))
            }
            "failed" => broke(&task),
            "expired" => reading::broke(Fault::new(ErrorClass::Timeout, Some("expired"), Billed::No), free),
            "cancelled" => Polled::Ended(Verdict::Canceled { cost: free }),
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    /// Takes back a job that waits; a running one is refused. What was stopped, only a poll says.
    fn cancel(&self, remote: &RemoteJob, _: &str) -> Option<Call> {
        Some(one(Method::DELETE, remote))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        match answer.status {
            409 if answer.object().is_some() => Canceling::Impossible,
            _ => reading::canceling(answer),
        }
    }

    fn look_up(&self, lost: &Lost<'_>) -> Option<Call> {
        let model = step(lost.order.endpoint());
        let query = format!("page_num=1&page_size={LISTED}&filter.model={model}");
        Some(Call::new(Method::GET, API, format!("{TASKS}?{query}")))
    }

    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let Some(list) = answer.object().filter(|body| answer.is_ok() && body["items"].is_array()) else {
            return Found::Unreadable(answer.cause()).into();
        };
        let (input, listed) = (input(&lost.order), items(&list["items"]));
        let alike = listed.iter().filter(|item| is_alike(item, &input));
        let made: Vec<_> =
            alike.map(|item| (&item["id"], json!(created(item).map(|at| at.to_string())))).collect();
        let found = lost.find(made.iter().map(|(id, at)| (*id, at)));
        let reaches_back = || listed.iter().filter_map(created).any(|at| at < lost.window().0);
        let is_whole = list["total"].as_u64().is_none_or(|total| total <= listed.len() as u64);
        match found {
            Found::Nothing if !is_whole && !reaches_back() => Found::Unreadable("list_too_long").into(),
            found => found.into(),
        }
    }

    /// Unsigned: treated as a poll trigger only.
    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event = reading::event(body, &["status"])?;
        reading::notice(&event["id"], None)
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, format!("{TASKS}?page_num=1&page_size=1"))
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        let is_list = |body: &Value| body["items"].is_array() || body["total"].is_number();
        reading::health(answer, is_list, fault)
    }
}

/// A call about one job.
fn one(method: Method, remote: &RemoteJob) -> Call {
    Call::new(method, API, format!("{TASKS}/{}", step(&remote.id)))
}

/// A request without its callback.
fn input(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let frame = |url: &Option<PublicUrl>, role: &str| {
        Some(json!({"type": "image_url", "image_url": {"url": url.as_ref()?}, "role": role}))
    };
    let text = Some(json!({"type": "text", "text": without_options(&request.prompt)}));
    let frames = [frame(&request.image_url, "first_frame"), frame(&request.last_frame_url, "last_frame")];
    let content: Vec<Value> = [text].into_iter().chain(frames).flatten().collect();
    json!({
        "model": order.endpoint(),
        "content": content,
        "resolution": request.resolution,
        // `adaptive` follows the image.
        "ratio": request.aspect_ratio.as_deref().unwrap_or("adaptive"),
        "duration": request.duration_s,
        "generate_audio": order.audio(),
        "watermark": false,
        "execution_expires_after": deadline(order.reference),
    })
}

/// A prompt that orders nothing but its picture: `ModelArk` also takes length and size from it, as
/// `--dur 15`, and they would be billed and not paid for. The dash means the same to a reader.
fn without_options(prompt: &str) -> String {
    prompt.replace("--", "\u{2014}")
}

/// After how many seconds the provider gives up a job: the attempt's own limit, and up to ten
/// minutes that tell attempts apart in the list, which repeats this number. It is the same in all
/// releases, as an attempt may outlive one.
fn deadline(reference: &str) -> u64 {
    let mark = reference.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    RUNNING_MAX.as_secs() + u64::from(mark % DEADLINES)
}

/// Whether a listed job has this input, as far as the list shows one.
fn is_alike(item: &Value, input: &Value) -> bool {
    let is_open = |value: &Value| value.is_null() || value == "adaptive";
    let is_same = |name: &&str| {
        let (theirs, ours) = (&item[*name], &input[*name]);
        theirs.is_null() || is_open(ours) || theirs == ours
    };
    item["execution_expires_after"] == input["execution_expires_after"]
        && ["resolution", "ratio", "duration", "generate_audio"].iter().all(is_same)
}

fn created(item: &Value) -> Option<Timestamp> {
    Some(Timestamp::from_secs(text(&item["created_at"])?.parse().ok()?))
}

/// The class of an error by its code, where that says more than the status.
fn class_of(error: &Value) -> Option<ErrorClass> {
    let code = word(&error["code"]);
    if code.contains("SensitiveContentDetected") {
        return Some(ErrorClass::ContentPolicy);
    }
    let (root, rest) = code.split_once('.').unwrap_or((&code, ""));
    Some(match (root, rest) {
        ("AccountOverdueError" | "SetLimitExceeded", _) | ("OperationDenied", "ServiceOverdue") => {
            ErrorClass::InsufficientFunds
        }
        ("QuotaExceeded", _) if word(&error["message"]).contains("free trial") => {
            ErrorClass::InsufficientFunds
        }
        ("ModelNotOpen" | "InvalidEndpointOrModel" | "InvalidEndpoint", _)
        | ("OperationDenied", "ServiceNotOpen") => ErrorClass::RouteGone,
        ("InvalidParameter" | "MissingParameter" | "InvalidImageURL", _) => ErrorClass::InvalidRequest,
        ("InternalServiceError" | "ServerOverloaded", "") => ErrorClass::ProviderUnavailable,
        _ => return None,
    })
}

/// Why a call was refused.
fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let error = &body["error"];
    let by_status = class_of_status(answer.status);
    let class = match by_status {
        ErrorClass::RateLimited => class_of(error).filter(|class| *class == ErrorClass::InsufficientFunds),
        _ => class_of(error),
    };
    let code = text(&error["code"]);
    Fault::new(class.unwrap_or(by_status), code.as_deref(), Billed::No).saying(reading::says(error))
}

/// How a job failed. Only a video that was made is billed; what is billed has its tokens counted.
fn broke(task: &Value) -> Polled {
    let error = &task["error"];
    let is_free = task["usage"]["completion_tokens"].as_u64().unwrap_or(0) == 0;
    let (billed, cost) = if is_free { (Billed::No, Some(MicroUsd(0))) } else { (Billed::Unknown, None) };
    let class = class_of(error).unwrap_or(ErrorClass::Unknown);
    let fault = Fault::new(class, text(&error["code"]).as_deref(), billed).saying(reading::says(error));
    reading::broke(fault, cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Byteplus)
            .some(
                "create",
                "auth insufficient_funds content_policy invalid_request rate_limited route_gone server_error",
            )
            .some("poll", "finished broke gone pending canceled content_policy timeout provider_unavailable")
            .some("cancel", "asked impossible gone")
            .some("look_up", "alike nothing unreadable");
    }

    #[test]
    fn deadlines_tell_attempts_apart_and_are_those_that_the_provider_takes() {
        let numbers: Vec<u64> = (1..=9).map(|attempt| deadline(&format!("job_a.{attempt}"))).collect();
        assert!(numbers.iter().all(|seconds| (3_600..=259_200).contains(seconds)), "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
        assert_eq!(deadline("job_a.1"), 3_730, "an older release asked with it");
    }
}
