//! The shape of `OpenAI`'s Videos API, as others serve it: gateways, and servers of open models.
//!
//! `OpenAI` itself shut it down on 24 September 2026, so there is no origin but the one that the
//! deployer names. Its webhooks are registered once for an account and name no attempt of ours,
//! and its open heirs send none: it is polled.

use std::borrow::Cow;

use http::{HeaderName, Method};
use serde_json::{Value, json};
use url::Url;

use crate::provider::adapter::{Adapter, Capabilities, Settings, Setup};
use crate::provider::call::{Answer, Body, Call};
use crate::provider::order::CreateOrder;
use crate::provider::outcome::{Outcome, Polled};
use crate::provider::reading::{self, asset_url, class_of_status, folded, step, text};
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::Secret;

/// A host that does not exist: the key is sent only to `OPENAI_BASE_URL`.
const NOWHERE: &str = "openai.invalid";

/// Whether orders go as `json`, in the published shape, or as a `form`: vLLM takes no other,
/// and has a name of its own in it for an image by its URL.
const BODY: &str = "OPENAI_VIDEO_BODY";

/// Sizes by resolution and ratio. The shape has no others but two odd ones near 7:4.
const SIZES: [(&str, &str, &str); 2] = [("720p", "16:9", "1280x720"), ("720p", "9:16", "720x1280")];

pub(super) struct Openai;

impl Adapter for Openai {
    /// Its server stands in the deployer's own network: what a caller's URL names there is not for
    /// the caller to have fetched. We fetch it, and send the bytes.
    fn capabilities(&self) -> Capabilities {
        Capabilities { inline_images: true, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup { settings: &[(BODY, Some("json"))], homeless: true, ..Setup::key(&["OPENAI_API_KEY"]) }
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, settings: &Settings) -> Option<Call> {
        let mut call = Call::new(Method::POST, NOWHERE, "/v1/videos");
        let mut texts = texts(order)?;
        let image = match order.request.image_url {
            Some(_) => Some(json!({"image_url": order.image?.data_url()})),
            None => None,
        };
        call.body = Some(match settings.get(BODY) {
            "form" => {
                texts.extend(image.map(|image| ("image_reference", image.to_string())));
                Body::Form(texts)
            }
            _ => {
                let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), json!(text)));
                let image = image.map(|image| ("input_reference".to_owned(), image));
                Body::Json(Value::Object(texts.chain(image).collect()))
            }
        });
        Some(call)
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        reading::accepted(answer, "/id", fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, NOWHERE, format!("/v1/videos/{}", step(&remote.id)))
    }

    /// Gateways may spell the id in another way than the one that they gave: the question names it.
    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let video = match reading::answered(answer) {
            Ok(video) => video,
            Err(polled) => return polled,
        };
        match &*folded(&video["status"]) {
            "queued" | "in_progress" | "pending" | "submitted" | "created" | "accepted" | "starting"
            | "started" | "waiting" | "preparing" | "processing" | "running" | "generating" | "in_queue"
            | "not_start" | "queueing" => Polled::Pending,
            "completed" | "complete" | "succeeded" | "succeed" | "success" | "successful" | "done"
            | "finished" | "ready" => {
                Polled::Ended(Verdict::Finished { asset_url: file(&video, remote), cost: None })
            }
            "cancelled" | "canceled" => Polled::Ended(Verdict::Canceled { cost: None }),
            "expired" | "timeout" | "timed_out" => broke(&video, Some(ErrorClass::Timeout)),
            "failed" | "failure" | "fail" | "error" | "errored" | "rejected" | "aborted"
            | "unknown_error" => broke(&video, None),
            "moderated" | "content_filtered" | "content_moderated" => {
                broke(&video, Some(ErrorClass::ContentPolicy))
            }
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn download(&self, asset: &Url) -> Option<Call> {
        let ours = asset.scheme() == "https" && asset.host_str() == Some(NOWHERE);
        ours.then(|| Call::new(Method::GET, NOWHERE, asset.path()))
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, NOWHERE, "/v1/models")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |body| body["data"].is_array(), fault)
    }
}

/// The order as texts, lengths included. `None` for a size that the shape does not have.
fn texts(order: &CreateOrder<'_>) -> Option<Vec<(&'static str, String)>> {
    let request = order.request;
    let ratio = request.aspect_ratio.as_deref()?;
    let (_, _, size) = SIZES.iter().find(|size| (size.0, size.1) == (request.resolution.as_str(), ratio))?;
    Some(vec![
        ("model", order.endpoint().to_owned()),
        ("prompt", request.prompt.clone()),
        ("seconds", request.duration_s?.to_string()),
        ("size", (*size).to_owned()),
    ])
}

/// Where the file is. The shape has a path for it; some that imitate the shape have no such path and
/// name the file's URL in the object.
fn file(video: &Value, remote: &RemoteJob) -> String {
    const NAMES: [&str; 14] = [
        "/url",
        "/video_url",
        "/output_url",
        "/result_url",
        "/download_url",
        "/output",
        "/output/url",
        "/output/video_url",
        "/video/url",
        "/result/url",
        "/result/video_url",
        "/data/url",
        "/data/0/url",
        "/metadata/url",
    ];
    let named = NAMES.iter().find_map(|name| asset_url(video.pointer(name)?));
    named.unwrap_or_else(|| format!("https://{NOWHERE}/v1/videos/{}/content", step(&remote.id)))
}

fn broke(video: &Value, class: Option<ErrorClass>) -> Polled {
    let code = code(&video["error"]);
    let by_code = code.as_deref().and_then(class_of_code);
    let class = by_code.or(class).unwrap_or(ErrorClass::Unknown);
    reading::broke(Fault::new(class, code.as_deref(), Billed::Unknown).saying(reading::says(video)), None)
}

/// The word of an error: a text, or a number at some; its kind where it has none.
fn code(error: &Value) -> Option<Cow<'_, str>> {
    text(&error["code"]).or_else(|| text(&error["type"]))
}

/// What their word means, whatever the status.
fn class_of_code(code: &str) -> Option<ErrorClass> {
    match code {
        // It comes with a 429 that no waiting cures.
        "insufficient_quota" | "billing_hard_limit_reached" => Some(ErrorClass::InsufficientFunds),
        "moderation_blocked" => Some(ErrorClass::ContentPolicy),
        code if code.starts_with("content_policy") => Some(ErrorClass::ContentPolicy),
        "server_error" | "internal_error" => Some(ErrorClass::ProviderUnavailable),
        _ => None,
    }
}

/// The first rule that fits an answer that is not a success.
fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let code = code(&body["error"]).or_else(|| code(&body));
    let class = code.as_deref().and_then(class_of_code).unwrap_or(class_of_status(answer.status));
    Fault::new(class, code.as_deref(), Billed::No).saying(reading::says(&body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Openai)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("create", "server_error their_timeout")
            .some("poll", "finished broke gone pending content_policy unknown_status");
    }

    #[test]
    fn the_key_goes_to_no_other_host_and_no_other_file() {
        for url in
            ["https://openai.invalid.example/v1/videos/a/content", "https://api.openai.com/v1/videos/a"]
        {
            assert!(Openai.download(&Url::parse(url).unwrap()).is_none(), "{url}");
        }
    }
}
