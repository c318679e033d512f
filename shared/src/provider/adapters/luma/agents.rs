//! Luma's newer API, the "Luma Agents API": videos and images at one endpoint; polling only.

use http::{HeaderName, Method};
use serde_json::{Value, json};

use crate::provider::adapter::{Adapter, Capabilities, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, without_nulls};
use crate::provider::outcome::{Outcome, Polled};
use crate::provider::reading::{self, asset_url, class_of_status, items, step, text, word};
use domain::id::RemoteJob;
use domain::request::JobRequest;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};
use signatures::Secret;

const API: &str = "agents.lumalabs.ai";
/// Videos up to this length take frames as `start_frame` and `end_frame`; longer ones take them by
/// index.
const ANCHORED_MAX_S: u32 = 5;
const FRAMES_PER_S: u32 = 24;

pub(in crate::provider::adapters) struct Luma;

impl Adapter for Luma {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn setup(&self) -> Setup {
        Setup::key(&["LUMA_AGENTS_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        Some(Call::new(Method::POST, API, "/v1/generations").json(input(order)))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        reading::accepted(answer, "/id", fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, API, format!("/v1/generations/{}", step(&remote.id)))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let generation = match reading::about(answer, remote, "/id") {
            Ok(generation) => generation,
            Err(polled) => return polled,
        };
        match &*word(&generation["state"]) {
            "queued" | "processing" => Polled::Pending,
            "completed" => {
                let file = items(&generation["output"]).iter().find_map(|output| asset_url(&output["url"]));
                reading::finished(file, None, reading::says(&generation))
            }
            "failed" => reading::broke(failure(&generation), None),
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, "/v1/files?limit=1")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |body| body["data"].is_array(), fault)
    }
}

/// An image is a PNG of a fixed size. Seed and negative prompt are not supported.
fn input(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let video = request.duration_s.map(|seconds| video(request, seconds));
    without_nulls(json!({
        "prompt": request.prompt,
        "model": order.endpoint(),
        "aspect_ratio": request.aspect_ratio,
        "type": if video.is_some() { "video" } else { "image" },
        "output_format": video.is_none().then_some("png"),
        "video": video,
    }))
}

fn video(request: &JobRequest, seconds: u32) -> Value {
    let length = format!("{seconds}s");
    let first = request.image_url.as_ref().map(|url| (json!({"url": url}), 0));
    let last = request.last_frame_url.as_ref().map(|url| (json!({"url": url}), seconds * FRAMES_PER_S));
    if seconds <= ANCHORED_MAX_S {
        return without_nulls(json!({
            "duration": length,
            "resolution": request.resolution,
            "start_frame": first.map(|(frame, _)| frame),
            "end_frame": last.map(|(frame, _)| frame),
        }));
    }
    let (frames, places): (Vec<_>, Vec<_>) = first.into_iter().chain(last).unzip();
    let is_text = frames.is_empty();
    without_nulls(json!({
        "duration": length,
        "resolution": request.resolution,
        "keyframes": (!is_text).then_some(frames),
        "keyframe_indexes": (!is_text).then_some(places),
    }))
}

/// Why a generation failed. Money and rates may be found wanting after the acceptance, too.
fn failure(generation: &Value) -> Fault {
    let code = text(&generation["failure_code"]);
    let class = code.as_deref().and_then(class_of).unwrap_or(ErrorClass::Unknown);
    Fault::new(class, code.as_deref(), Billed::Unknown).saying(reading::says(generation))
}

/// The class of a failure code; `None` for one that is not on their list, which is open.
fn class_of(code: &str) -> Option<ErrorClass> {
    Some(match code {
        "content_moderated" => ErrorClass::ContentPolicy,
        "budget_exhausted" => ErrorClass::InsufficientFunds,
        "rate_limited" => ErrorClass::RateLimited,
        "image_too_large" | "unsupported_format" | "corrupt_input" | "invalid_request"
        | "output_not_found" => ErrorClass::InvalidRequest,
        "generation_failed" => ErrorClass::Unknown,
        _ => return None,
    })
}

/// The class of an error answer: the first matching rule.
fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let words = [&body["failure_code"], &body["code"], &body["error"]["code"], &body["detail"]["code"]];
    let code = words.into_iter().find_map(Value::as_str);
    let class = code.and_then(class_of).unwrap_or(class_of_status(answer.status));
    Fault::new(class, code, Billed::No).saying(reading::says(&body))
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Luma)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("poll", "gone insufficient_funds content_policy invalid_request rate_limited")
            .some("poll", r#"finished broke pending "unknown""#);
    }
}
