//! Stability: images only; the create answer is the file. Its video API was discontinued.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue, Method};

use crate::provider::adapter::{Adapter, Capabilities, Settings, Setup};
use crate::provider::call::{Answer, Body, Call};
use crate::provider::order::CreateOrder;
use crate::provider::outcome::{Outcome, Polled};
use crate::provider::reading::{self, certain, class_of_status, items, step, text};
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};
use signatures::Secret;

const API: &str = "api.stability.ai";
/// The maximum file size in bytes: several times an image of 1.5 megapixels.
const IMAGE_MAX: usize = 16 << 20;
/// How a whole PNG begins and ends.
const PNG: [&[u8]; 2] = [b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"];

pub(super) struct Stability;

impl Adapter for Stability {
    fn capabilities(&self) -> Capabilities {
        Capabilities { delivers: true, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["STABILITY_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    /// An endpoint is `core` or `ultra`, or `sd3/` and the model that it shall use; `sd3` alone is
    /// the name of a route that is older than the choice.
    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let (endpoint, model) = match order.endpoint().split_once('/') {
            Some((endpoint, model)) => (endpoint, Some(model)),
            None if order.endpoint() == "sd3" => ("sd3", Some("sd3.5-large")),
            None => (order.endpoint(), None),
        };
        let request = order.request;
        let mut form = vec![("prompt", request.prompt.clone()), ("output_format", "png".to_owned())];
        if let Some(model) = model {
            form.push(("model", model.to_owned()));
        }
        if let Some(ratio) = &request.aspect_ratio {
            form.push(("aspect_ratio", ratio.clone()));
        }
        if let Some(seed) = request.seed {
            form.push(("seed", seed.to_string()));
        }
        if let Some(text) = &request.negative_prompt {
            form.push(("negative_prompt", text.clone()));
        }
        let mut call = Call::new(Method::POST, API, format!("/v2beta/stable-image/generate/{endpoint}"));
        call.headers.insert(ACCEPT, HeaderValue::from_static("image/*"));
        Some(Call { body: Some(Body::Form(form)), answer_max: IMAGE_MAX, delivers: true, ..call })
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        if answer.is_ok() {
            return delivered(answer);
        }
        certain::outcome(answer, fault)
    }

    /// Of the upscalers that are not synchronous. No attempt of ours has a remote job.
    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, API, format!("/v2beta/results/{}", step(&remote.id)))
    }

    fn read_poll(&self, _: &RemoteJob, _: &str, _: &Answer) -> Polled {
        Polled::Unreadable("no_remote_jobs")
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, "/v1/user/balance")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |body| !body["credits"].is_null(), fault)
    }
}

/// A filtered image is returned blurred with status 200 and is billed: only an explicit `SUCCESS` makes
/// the body a result.
fn delivered(answer: &Answer) -> Outcome {
    let reason = answer.headers.get("finish-reason").and_then(|reason| reason.to_str().ok());
    let is_whole = answer.body.starts_with(PNG[0]) && answer.body.ends_with(PNG[1]);
    match reason {
        Some("SUCCESS") if is_whole => Outcome::Delivered { media: Bytes::clone(&answer.body), cost: None },
        // An error instead of an image: nothing was made.
        _ if says_error(answer) => {
            Outcome::Refused { fault: fault(&Answer { status: 400, ..answer.clone() }), retry_after: None }
        }
        Some("SUCCESS") => Outcome::unknown("no_image"),
        Some(reason @ "CONTENT_FILTERED") => {
            let fault = Fault::new(ErrorClass::ContentPolicy, Some(reason), Billed::Yes);
            Outcome::Refused { fault, retry_after: None }
        }
        Some(_) => Outcome::unknown("unknown_finish_reason"),
        None => Outcome::unknown("unknown_answer"),
    }
}

/// Whether a body is an error of theirs, which has a name.
fn says_error(answer: &Answer) -> bool {
    answer.object().is_some_and(|body| text(&body["name"]).is_some() && !items(&body["errors"]).is_empty())
}

/// The first rule that fits an answer that is not a success.
fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let name = text(&body["name"]);
    let class = match (answer.status, name.as_deref()) {
        (403 | 400, Some("content_moderation")) => ErrorClass::ContentPolicy,
        (status, _) => class_of_status(status),
    };
    Fault::new(class, name.as_deref(), Billed::No).saying(reading::says(&body))
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Stability)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("create", "server_error delivered unknown");
    }
}
