//! Runway: one union of models; polling only; sizes as pairs of pixels.

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::provider::adapter::{Adapter, Capabilities, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, without_nulls};
use crate::provider::outcome::{Canceling, Outcome, Polled};
use crate::provider::reading::{self, amount, asset_urls, class_of_status, items, step, text, word};
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::Secret;

const API: &str = "api.dev.runwayml.com"; // production, whatever its name says
const VERSION: HeaderValue = HeaderValue::from_static("2024-11-06");
const CREDITS_PER_USD: f64 = 100.0;

/// Pairs of pixels by resolution and ratio. Only the first two ratios of each are exact.
const RATIOS: [(&str, &str, &str); 8] = [
    ("720p", "16:9", "1280:720"),
    ("720p", "9:16", "720:1280"),
    ("720p", "1:1", "960:960"),
    ("720p", "4:3", "1104:832"),
    ("720p", "3:4", "832:1104"),
    ("720p", "21:9", "1584:672"),
    ("1080p", "16:9", "1920:1080"),
    ("1080p", "9:16", "1080:1920"),
];

pub(super) struct Runway;

impl Adapter for Runway {
    fn capabilities(&self) -> Capabilities {
        Capabilities { cancel_destroys: true, stop_is_free: true, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["RUNWAYML_API_SECRET"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let kind = if order.request.image_url.is_some() { "image_to_video" } else { "text_to_video" };
        let call = call(Method::POST, format!("/v1/{kind}"));
        Some(call.json(input(order)?))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        match reading::created(answer, "/id", fault) {
            Ok((remote, body)) => Outcome::Accepted { remote, cost: cost(&body["estimatedCost"]) },
            Err(outcome) => outcome,
        }
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        call(Method::GET, format!("/v1/tasks/{}", step(&remote.id)))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let task = match reading::about(answer, remote, "/id") {
            Ok(task) => task,
            Err(polled) => return polled,
        };
        let cost = cost(&task["cost"]);
        match &*word(&task["status"]) {
            // The second: accepted, and waits because we run as many as we may.
            "PENDING" | "THROTTLED" | "RUNNING" => Polled::Pending,
            "SUCCEEDED" => {
                let file = asset_urls(items(&task["output"]));
                reading::finished(file, cost, reading::says(&task))
            }
            "FAILED" => reading::broke(failure(&task, cost), cost),
            "CANCELLED" => Polled::Ended(Verdict::Canceled { cost }),
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    /// On a job that has ended this deletes its output.
    fn cancel(&self, remote: &RemoteJob, _: &str) -> Option<Call> {
        Some(call(Method::DELETE, format!("/v1/tasks/{}", step(&remote.id))))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        reading::canceling(answer)
    }

    fn ping(&self, _: &Settings) -> Call {
        call(Method::GET, "/v1/organization")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |body| !body["creditBalance"].is_null(), fault)
    }
}

fn call(method: Method, path: impl Into<String>) -> Call {
    let mut call = Call::new(method, API, path);
    call.headers.insert("x-runway-version", VERSION);
    call
}

/// `None` for a size that Runway has no pair of pixels for.
fn input(order: &CreateOrder<'_>) -> Option<Value> {
    let request = order.request;
    let pixels = match &request.aspect_ratio {
        Some(ratio) => {
            let of_order = |&&(resolution, aspect, _): &&(&str, &str, &str)| {
                resolution == request.resolution && aspect == ratio.as_str()
            };
            Some(RATIOS.iter().find(of_order)?.2)
        }
        None => None,
    };
    let frame = |position, url| json!({"uri": url, "position": position});
    let images = request.image_url.as_ref().map(|first| match &request.last_frame_url {
        Some(last) => json!([frame("first", first), frame("last", last)]),
        None => json!(first),
    });
    Some(without_nulls(json!({
        "model": order.endpoint(),
        "promptText": request.prompt,
        "duration": request.duration_s,
        "ratio": pixels,
        "promptImage": images,
        "seed": request.seed,
        "negativePrompt": request.negative_prompt,
        "audio": order.audio(),
    })))
}

/// What an estimate or a bill comes to.
fn cost(cost: &Value) -> Option<MicroUsd> {
    Some(reading::micro_usd(amount(&cost["credits"])? / CREDITS_PER_USD))
}

/// Why a task failed.
fn failure(task: &Value, cost: Option<MicroUsd>) -> Fault {
    let billed = match cost {
        Some(MicroUsd(0)) => Billed::No,
        Some(_) => Billed::Yes,
        None => Billed::Unknown,
    };
    let code = text(&task["failureCode"]);
    // The list of codes is open: only their beginnings mean something.
    let class = match code.as_deref() {
        Some(code) if code.starts_with("SAFETY") => ErrorClass::ContentPolicy,
        Some(code) if code.starts_with("ASSET.") => ErrorClass::InvalidRequest,
        Some(code) if code.starts_with("INPUT_PREPROCESSING") => ErrorClass::InvalidRequest,
        Some(code) if code.starts_with("INTERNAL") => ErrorClass::ProviderUnavailable,
        None => ErrorClass::ProviderUnavailable,
        Some(_) => ErrorClass::Unknown,
    };
    Fault::new(class, code.as_deref(), billed).saying(reading::says(task))
}

/// The first rule that fits an answer that is not a success.
fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let says = reading::says(&body);
    let out_of_credits = says.is_some_and(|text| text.to_ascii_lowercase().contains("enough credits"));
    let class = match answer.status {
        // Which status goes with this text is not known, only that it is one of these.
        400..=499 if out_of_credits => ErrorClass::InsufficientFunds,
        status => class_of_status(status),
    };
    Fault::new(class, None, Billed::No).saying(says)
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Runway)
            .some("create", "auth insufficient_funds invalid_request rate_limited server_error")
            .some("poll", "finished broke gone pending canceled content_policy");
    }
}
