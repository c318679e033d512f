//! Luma's older API, "Dream Machine": unsigned notifications, polling, a list.

use bytes::Bytes;
use http::{HeaderName, Method};
use serde_json::{Map, Value, json};

use crate::provider::adapter::{Adapter, Capabilities, LookUp, Scheme, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, Lost, without_nulls};
use crate::provider::outcome::{Found, Notice, Outcome, Page, Polled, Unreadable};
use crate::provider::reading::{self, asset_url, class_of_status, items, step, text, timestamp, word};
use domain::id::RemoteJob;
use domain::public_url::PublicUrl;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};
use signatures::{Secret, Verified};

const API: &str = "api.lumalabs.ai";
/// How many generations a page of a look-up has, newest first.
const LISTED: usize = 100;

/// It is never asked to stop a job: its `DELETE` removes one, and whether that stops a run or its
/// bill is not known, but the result would be lost for certain.
pub(in crate::provider::adapters) struct DreamMachine;

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
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        Some(call(Method::POST, "/generations/video").json(input(order)))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        reading::accepted(answer, "/id", fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        call(Method::GET, &format!("/generations/{}", step(&remote.id)))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let generation = match reading::about(answer, remote, "/id") {
            Ok(generation) => generation,
            Err(polled) => return polled,
        };
        let says = reading::says(&generation);
        match &*word(&generation["state"]) {
            "queued" | "dreaming" => Polled::Pending,
            "completed" => {
                let assets = &generation["assets"];
                let file = asset_url(&assets["video"]).or_else(|| asset_url(&assets["video"]["url"]));
                reading::finished(file, None, says)
            }
            "failed" => {
                let class = says.and_then(class_of_text).unwrap_or(ErrorClass::Unknown);
                reading::broke(Fault::new(class, None, Billed::Unknown).saying(says), None)
            }
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn look_up(&self, _: &Lost<'_>) -> Option<Call> {
        Some(list(0))
    }

    /// Every generation contains its request, with the callback URL.
    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let Some(list) = answer.object().filter(|body| answer.is_ok() && body["generations"].is_array())
        else {
            return Found::Unreadable(answer.cause()).into();
        };
        let is_ours =
            |item: &&Value| text(&item["request"]["callback_url"]).is_some_and(|url| lost.is_callback(&url));
        let Some(ours) = items(&list["generations"]).iter().find(is_ours) else {
            return Page { found: Found::Nothing, next: older(&list, lost) };
        };
        match reading::remote(&ours["id"]) {
            Some(remote) => Found::Job(remote).into(),
            None => Found::Unreadable("no_id").into(),
        }
    }

    /// Unsigned: treated as a poll trigger only.
    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event = reading::event(body, &["state"])?;
        reading::notice(&event["id"], None)
    }

    fn ping(&self, _: &Settings) -> Call {
        call(Method::GET, "/credits")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |body| text(&body["credit_balance"]).is_some(), fault)
    }
}

fn call(method: Method, path: &str) -> Call {
    Call::new(method, API, format!("/dream-machine/v1{path}"))
}

fn list(offset: usize) -> Call {
    call(Method::GET, &format!("/generations?limit={LISTED}&offset={offset}"))
}

/// Seed and negative prompt are not supported.
fn input(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let frame = |url: &Option<PublicUrl>| Some(json!({"type": "image", "url": url.as_ref()?}));
    let frames = [("frame0", frame(&request.image_url)), ("frame1", frame(&request.last_frame_url))];
    let frames: Map<String, Value> =
        frames.into_iter().filter_map(|(name, frame)| Some((name.to_owned(), frame?))).collect();
    without_nulls(json!({
        "model": order.endpoint(),
        "prompt": request.prompt,
        "resolution": request.resolution,
        "duration": request.duration_s.map(|seconds| format!("{seconds}s")),
        "aspect_ratio": request.aspect_ratio,
        "keyframes": (!frames.is_empty()).then_some(frames),
        "callback_url": order.callback,
    }))
}

/// The call for what is older than this list, unless all of that is older than the lost one.
fn older(listed: &Value, lost: &Lost<'_>) -> Option<Call> {
    let generations = items(&listed["generations"]);
    let oldest = timestamp(&generations.last()?["created_at"]);
    let may_be_there = oldest.is_none_or(|oldest| oldest >= lost.window().0);
    let offset = listed["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
    let has_more = listed["has_more"].as_bool() == Some(true);
    (has_more && may_be_there).then(|| list(offset + generations.len()))
}

/// The class of a human-readable text; there are no codes.
fn class_of_text(text: &str) -> Option<ErrorClass> {
    let text = text.to_ascii_lowercase();
    if text.contains("moderation") {
        Some(ErrorClass::ContentPolicy)
    } else if text.contains("insufficient credits") {
        Some(ErrorClass::InsufficientFunds)
    } else {
        None
    }
}

/// The first rule that fits an answer that is not a success. `detail` is a text, or a list of flaws.
fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let class = match answer.status {
        status @ (401 | 403 | 429 | 500..) => class_of_status(status),
        status => class_of_text(&body.to_string()).unwrap_or(class_of_status(status)),
    };
    Fault::new(class, None, Billed::No).saying(reading::says(&body))
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::DreamMachine)
            .some(
                "create",
                "auth insufficient_funds content_policy invalid_request rate_limited server_error",
            )
            .some("poll", "finished broke gone pending content_policy insufficient_funds")
            .some("look_up", "found nothing unreadable");
    }
}
