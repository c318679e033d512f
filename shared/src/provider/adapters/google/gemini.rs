//! Gemini: interactions. Those of Omni run in the background: thin webhooks, polling, canceling;
//! files that require the key. Those of Nano Banana cannot: the create answer brings the image, and
//! one without an image is read once more by its id, as of an interaction that has ended.
//!
//! Veo is no longer there: see `vertex.rs`.

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use super::errors;
use crate::provider::adapter::{Adapter, Capabilities, Scheme, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::CreateOrder;
use crate::provider::outcome::{Canceling, Notice, Outcome, Polled, Unreadable};
use crate::provider::reading::{self, asset_url, items, step, text, word};
use domain::catalog::Kind;
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::{Secret, Verified};

const API: &str = "generativelanguage.googleapis.com";
const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
/// The revision whose interactions have `steps`.
const REVISION: HeaderValue = HeaderValue::from_static("2026-05-20");
const INTERACTIONS: &str = "/v1beta/interactions";
const FILES: &str = "/v1beta/files/";
/// The types of a part that may be what was ordered.
const MEDIA: [&str; 2] = ["video", "image"];
/// An answer may bring the media themselves, as base64: a video of up to 4 MB, or an image of four
/// megapixels, which is no larger than its pixels.
const INTERACTION_MAX: usize = 20 << 20;

pub(in crate::provider::adapters) struct Gemini;

impl Adapter for Gemini {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            webhooks: Some(Scheme::SignedToken),
            delivers: true,
            inline_images: true,
            ..Capabilities::default()
        }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["GEMINI_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        Some((KEY, key.expose().to_owned()))
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let (body, delivers) = match order.request.kind() {
            Kind::Video => (interaction(order)?, false),
            Kind::Image => (image_interaction(order)?, true),
        };
        Some(Call { delivers, ..call(Method::POST, INTERACTIONS).json(body) })
    }

    /// An image that comes with it cannot be mistaken: of a video there is nothing yet.
    fn read_create(&self, answer: &Answer) -> Outcome {
        let interaction =
            answer.object().filter(|interaction| answer.is_ok() && interaction["status"] == "completed");
        let image = interaction.as_ref().and_then(|interaction| output(interaction, &["image"]));
        match image.and_then(bytes) {
            Some(media) => Outcome::Delivered { media, cost: None },
            None => errors::read_create(answer, "/id"),
        }
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        call(Method::GET, format!("{INTERACTIONS}/{}", step(&remote.id)))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let interaction = match reading::about(answer, remote, "/id") {
            Ok(interaction) => interaction,
            Err(polled) => return polled,
        };
        match &*word(&interaction["status"]) {
            // The last is in their list, and what it means for a video is not published.
            "queued" | "in_progress" | "idle" => Polled::Pending,
            "completed" => result(&interaction, remote),
            "failed" => broke(failure(&interaction)),
            "cancelled" => Polled::Ended(Verdict::Canceled { cost: None }),
            word @ "budget_exceeded" => {
                broke(Fault::new(ErrorClass::InsufficientFunds, Some(word), Billed::Unknown))
            }
            // The last two wait for an answer that does not come: a video has no tools.
            word @ ("incomplete" | "requires_action" | "requires_continuation") => {
                broke(Fault::new(ErrorClass::Unknown, Some(word), Billed::Unknown))
            }
            _ => Polled::Unreadable("unknown_status"), // their list is open
        }
    }

    /// Reads what became of the file: it may not be ready when the interaction is.
    fn read_result(&self, _: &RemoteJob, answer: &Answer) -> Polled {
        let file = match reading::answered(answer) {
            Ok(file) => file,
            Err(polled) => return polled,
        };
        match &*word(&file["state"]) {
            "PROCESSING" => Polled::Pending,
            "ACTIVE" => match text(&file["name"]).and_then(|name| file_path(&format!("/v1beta/{name}"))) {
                Some(path) => finished(format!("https://{API}{path}:download?alt=media")),
                None => Polled::Unreadable("unusable_file_name"),
            },
            word @ "FAILED" => {
                let fault = Fault::new(ErrorClass::Unknown, Some(word), Billed::Unknown);
                broke(fault.saying(reading::says(&file)))
            }
            _ => Polled::Unreadable("unknown_file_state"),
        }
    }

    fn cancel(&self, remote: &RemoteJob, _: &str) -> Option<Call> {
        Some(call(Method::POST, format!("{INTERACTIONS}/{}/cancel", step(&remote.id))))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        match answer.status {
            // An ended interaction cannot be canceled; a poll returns its state.
            400 if errors::fault(answer).code.as_deref() == Some("FAILED_PRECONDITION") => Canceling::TooLate,
            _ => reading::canceling(answer),
        }
    }

    /// Files of theirs, and interactions that bring the media themselves.
    fn download(&self, asset: &Url) -> Option<Call> {
        let file = asset.path().strip_suffix(":download").and_then(file_path);
        let interaction = asset.path().strip_prefix(INTERACTIONS).and_then(|rest| rest.strip_prefix('/'));
        let known = file.is_some() || interaction.is_some_and(|id| !id.is_empty() && !id.contains('/'));
        let ours = known && asset.scheme() == "https" && asset.host_str() == Some(API);
        let query = if file.is_some() { "?alt=media" } else { "" };
        ours.then(|| call(Method::GET, format!("{}{query}", asset.path())))
    }

    fn read_download(&self, answer: &Answer) -> Option<Bytes> {
        output(&answer.object()?, &MEDIA).and_then(bytes)
    }

    /// Never a verdict: the token in the header is not known to cover the body.
    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event = reading::event(body, &["type"])?;
        // Other events have ids of other things.
        let is_interaction = word(&event["type"]).starts_with("interaction.");
        let id = Some(&event["data"]["id"]).filter(|id| is_interaction && !id.is_null());
        let remote = id.map(|id| reading::remote(id).ok_or(Unreadable("no usable id"))).transpose()?;
        Ok(Notice { remote, verdict: None })
    }

    fn jwks(&self) -> Option<Call> {
        Some(Call::new(Method::GET, API, "/.well-known/jwks.json"))
    }

    fn ping(&self, _: &Settings) -> Call {
        call(Method::GET, "/v1beta/models?pageSize=1")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |body| !body["models"].is_null(), errors::fault)
    }
}

fn call(method: Method, path: impl Into<String>) -> Call {
    let mut call = Call::new(method, API, path);
    call.headers.insert("api-revision", REVISION);
    call.answer_max = INTERACTION_MAX;
    call
}

/// `None` if the order has an image that was not fetched.
fn interaction(order: &CreateOrder<'_>) -> Option<Value> {
    let request = order.request;
    let mut input = vec![json!({"type": "text", "text": request.prompt})];
    if request.image_url.is_some() {
        let image = order.image?;
        input.push(json!({"type": "image", "mime_type": image.mime, "data": image.base64()}));
    }
    let task = if request.image_url.is_some() { "image_to_video" } else { "text_to_video" };
    let mut generation = json!({"video_config": {"task": task}});
    if let Some(seed) = request.seed {
        generation["seed"] = json!(seed);
    }
    let mut body = json!({
        "model": order.endpoint(),
        "input": input,
        "response_format": {
            "type": "video",
            "aspect_ratio": request.aspect_ratio,
            "duration": format!("{}s", request.duration_s?),
            "resolution": request.resolution,
            // Inline, a video may have 4 MB at most.
            "delivery": "uri",
        },
        "generation_config": generation,
        "background": true,
        "store": true,
    });
    if let Some(callback) = order.callback {
        body["webhook_config"] = json!({"uris": [callback], "user_metadata": {"genmux": order.reference}});
    }
    Some(body)
}

/// The order of an image, of text alone. `background` is refused for these models, and with it
/// goes the webhook.
fn image_interaction(order: &CreateOrder<'_>) -> Option<Value> {
    let request = order.request;
    let size = match &*request.resolution {
        "1k" => "1K",
        "2k" => "2K",
        _ => return None,
    };
    Some(json!({
        "model": order.endpoint(),
        "input": [{"type": "text", "text": request.prompt}],
        "response_format": {
            "type": "image",
            "aspect_ratio": request.aspect_ratio,
            "image_size": size,
        },
        "store": true,
    }))
}

/// The path of a file, if it is exactly one of Gemini's; its host is ignored.
fn file_path(path: &str) -> Option<String> {
    let id = path.strip_prefix(FILES)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (!id.is_empty() && id.len() <= RemoteJob::BYTES_MAX && id.bytes().all(plain)).then(|| path.to_owned())
}

fn broke(fault: Fault) -> Polled {
    reading::broke(fault, None)
}

fn finished(asset_url: String) -> Polled {
    reading::finished(Some(asset_url), None, None)
}

/// The last part of the model's output that is one of these: it may draw drafts first.
fn output<'a>(interaction: &'a Value, types: &[&str]) -> Option<&'a Value> {
    let steps = items(&interaction["steps"]).iter().filter(|step| step["type"] == "model_output");
    let mut parts = steps.flat_map(|step| items(&step["content"]));
    parts.rfind(|part| types.iter().any(|name| part["type"] == *name))
}

/// The file in a part that brings it.
fn bytes(part: &Value) -> Option<Bytes> {
    BASE64.decode(part["data"].as_str()?.as_bytes()).ok().filter(|file| !file.is_empty()).map(Bytes::from)
}

/// What a completed interaction brings.
fn result(interaction: &Value, remote: &RemoteJob) -> Polled {
    let says = items(&interaction["errors"]).iter().find_map(reading::says);
    let Some(media) = output(interaction, &MEDIA) else {
        // It may say why in place of what was ordered.
        return reading::empty(says.or_else(|| output(interaction, &["text"])?["text"].as_str()));
    };
    let parsed = text(&media["uri"]).and_then(|uri| Url::parse(&uri).ok());
    if let Some(path) = parsed.as_ref().and_then(|uri| file_path(uri.path())) {
        return Polled::Fetch(Box::new(call(Method::GET, path)));
    }
    if let Some(asset_url) = asset_url(&media["uri"]) {
        return finished(asset_url);
    }
    // The download asks for the interaction once more.
    if media["data"].is_string() {
        return finished(format!("https://{API}{INTERACTIONS}/{}", step(&remote.id)));
    }
    reading::empty(says)
}

/// Which codes there are is not documented: a refusal of content is known by its words.
fn failure(interaction: &Value) -> Fault {
    let errors = items(&interaction["errors"]);
    let refused = errors.iter().filter_map(reading::says).any(errors::refuses_content);
    let class = if refused { ErrorClass::ContentPolicy } else { ErrorClass::Unknown };
    let code = errors.iter().find_map(|error| text(&error["code"]));
    let says = errors.iter().find_map(reading::says);
    Fault::new(class, code.as_deref(), Billed::Unknown).saying(says)
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Gemini)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("create", "server_error their_timeout delivered")
            .some("poll", "pending fetch finished broke canceled gone content_policy")
            .some("result", "pending finished broke gone");
    }
}
