//! Alibaba Model Studio, outside mainland China: Wan and `HappyHorse` at their maker's; polling only.
//!
//! Events about tasks come by rules of a whole account, and name no attempt. A lost create is not
//! looked up: the list of tasks shows neither input nor a name of ours.

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::provider::adapter::{Adapter, Capabilities, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, without_nulls};
use crate::provider::outcome::{Canceling, Outcome, Polled};
use crate::provider::reading::{self, asset_url, class_of_status, step, text, word};
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::public_url::PublicUrl;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::Secret;

/// Singapore. Keys belong to a region, and some to a workspace with a host of its own: set
/// `DASHSCOPE_BASE_URL` for another.
const API: &str = "dashscope-intl.aliyuncs.com";
const CREATE: &str = "/api/v1/services/aigc/video-generation/video-synthesis";
const TASKS: &str = "/api/v1/tasks/";

pub(super) struct Dashscope;

impl Adapter for Dashscope {
    fn capabilities(&self) -> Capabilities {
        Capabilities { stop_is_free: true, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["DASHSCOPE_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let mut call = Call::new(Method::POST, API, CREATE).json(input(order));
        call.headers.insert("x-dashscope-async", HeaderValue::from_static("enable"));
        Some(call)
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        reading::accepted(answer, "/output/task_id", fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, API, format!("{TASKS}{}", step(&remote.id)))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let body = match reading::about(answer, remote, "/output/task_id") {
            Ok(body) => body,
            Err(polled) => return polled,
        };
        let output = &body["output"];
        match &*word(&output["task_status"]) {
            "PENDING" | "SUSPENDED" | "RUNNING" => Polled::Pending,
            "SUCCEEDED" => reading::finished(asset_url(&output["video_url"]), None, reading::says(output)),
            "FAILED" => broke(&body),
            // Only a job that waits can be stopped, and only videos are billed.
            "CANCELED" => Polled::Ended(Verdict::Canceled { cost: Some(MicroUsd(0)) }),
            // They do not know it, or no longer: tasks are kept for a day.
            "UNKNOWN" => Polled::Ended(Verdict::Gone),
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn cancel(&self, remote: &RemoteJob, _: &str) -> Option<Call> {
        Some(Call::new(Method::POST, API, format!("{TASKS}{}/cancel", step(&remote.id))))
    }

    /// Takes back a job that waits; every other is refused with one code.
    fn read_cancel(&self, answer: &Answer) -> Canceling {
        let body = answer.object().unwrap_or_default();
        match answer.status {
            400 if word(&body["code"]) == "UnsupportedOperation" => Canceling::Impossible,
            _ => reading::canceling(answer),
        }
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, format!("{TASKS}?page_no=1&page_size=1"))
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        let is_list = |body: &Value| body["data"].is_array() || body["total"].is_number();
        reading::health(answer, is_list, fault)
    }
}

/// A video from an image has the ratio of the image.
fn input(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let frame = |url: &Option<PublicUrl>, kind: &str| Some(json!({"type": kind, "url": url.as_ref()?}));
    let frames = [frame(&request.image_url, "first_frame"), frame(&request.last_frame_url, "last_frame")];
    let media: Vec<Value> = frames.into_iter().flatten().collect();
    json!({
        "model": order.endpoint(),
        "input": without_nulls(json!({
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "media": (!media.is_empty()).then_some(media),
        })),
        "parameters": without_nulls(json!({
            "resolution": request.resolution.to_ascii_uppercase(),
            "ratio": request.aspect_ratio,
            "duration": request.duration_s,
            "seed": request.seed,
            // `HappyHorse` makes one where this is left open.
            "watermark": false,
        })),
    })
}

/// The class of an error by its code, where that says more than the status. `error` is an answer, or
/// the output of a failed task.
fn class_of(error: &Value) -> Option<ErrorClass> {
    let code = word(&error["code"]);
    let says = |words: &str| word(&error["message"]).contains(words);
    Some(match code.split('.').next().unwrap_or_default() {
        "DataInspectionFailed" | "data_inspection_failed" | "IPInfringementSuspect" => {
            ErrorClass::ContentPolicy
        }
        "Arrearage" | "PrepaidBillOverdue" | "PostpaidBillOverdue" | "AllocationQuota" => {
            ErrorClass::InsufficientFunds
        }
        "ModelNotFound" | "model_not_found" => ErrorClass::RouteGone,
        "Model" if code == "Model.AccessDenied" => ErrorClass::RouteGone,
        "InvalidParameter" if says("Model not exist") => ErrorClass::RouteGone,
        "InvalidApiKey" => ErrorClass::Auth,
        "InternalError" | "SystemError" | "RequestTimeOut" => ErrorClass::ProviderUnavailable,
        "Throttling" => ErrorClass::RateLimited,
        root if root.starts_with("Invalid") => ErrorClass::InvalidRequest,
        _ => return None,
    })
}

/// Why a call was refused.
fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let class = class_of(&body).unwrap_or(class_of_status(answer.status));
    Fault::new(class, text(&body["code"]).as_deref(), Billed::No).saying(reading::says(&body))
}

/// How a job failed. Only the seconds of videos that were made are billed.
fn broke(body: &Value) -> Polled {
    let output = &body["output"];
    let is_free = body["usage"]["duration"].as_f64().is_none_or(|seconds| seconds <= 0.0);
    let (billed, cost) = if is_free { (Billed::No, Some(MicroUsd(0))) } else { (Billed::Unknown, None) };
    let class = class_of(output).unwrap_or(ErrorClass::Unknown);
    let fault = Fault::new(class, text(&output["code"]).as_deref(), billed).saying(reading::says(output));
    reading::broke(fault, cost)
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Dashscope)
            .some(
                "create",
                "auth insufficient_funds content_policy invalid_request rate_limited route_gone server_error",
            )
            .some("poll", "finished broke gone pending canceled content_policy provider_unavailable")
            .some("cancel", "asked impossible unreadable");
    }
}
