//! Gemini Omni: interactions in the background; thin webhooks, polling, canceling; files that
//! want the key.
//!
//! Veo is no longer there: see `vertex.rs`.

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::outcome::{Canceling, Notice, Outcome, Polled, Unreadable};
use super::secret::Secret;
use super::verify::{Scheme, Verified};
use super::{
    Adapter, Answer, Call, Capabilities, CreateOrder, Settings, Setup, asset_url, google, remote_job,
};
use crate::domain::id::RemoteJob;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

const API: &str = "generativelanguage.googleapis.com";
const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
/// The revision whose interactions have `steps`.
const REVISION: HeaderValue = HeaderValue::from_static("2026-05-20");
const INTERACTIONS: &str = "/v1beta/interactions";
const FILES: &str = "/v1beta/files/";
/// An answer may bring the video itself, of up to 4 MB, as base64.
const INTERACTION_MAX: usize = 8 << 20;

pub(super) struct Gemini;

impl Adapter for Gemini {
    fn capabilities(&self) -> Capabilities {
        Capabilities { webhooks: Some(Scheme::SignedToken), inline_images: true, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup::key(&["GEMINI_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        Some((KEY, key.expose().to_owned()))
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        Some(call(Method::POST, INTERACTIONS).json(interaction(order)?))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        if !answer.is_ok() {
            return google::refused(answer);
        }
        let created: Option<Interaction> = answer.json();
        Outcome::accepted(created.and_then(|created| remote_job(&created.id, None)))
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        call(Method::GET, format!("{INTERACTIONS}/{}", remote.id))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        let Some(interaction) = answer.json::<Interaction>().filter(|_| answer.is_ok()) else {
            return Polled::Unreadable(answer.cause());
        };
        if interaction.id != remote.id {
            return Polled::Unreadable("other_job");
        }
        match interaction.status.as_deref() {
            Some("queued" | "in_progress") => Polled::Pending,
            Some("completed") => interaction.result(),
            Some("failed") => broke(interaction.fault()),
            Some("cancelled") => Polled::Ended(Verdict::Canceled { cost: None }),
            Some(word @ "budget_exceeded") => {
                broke(Fault::new(ErrorClass::InsufficientFunds, Some(word), Billed::Unknown))
            }
            // The last two wait for an answer that nobody will give: a video has no tools.
            Some(word @ ("incomplete" | "requires_action" | "requires_continuation")) => {
                broke(Fault::new(ErrorClass::Unknown, Some(word), Billed::Unknown))
            }
            _ => Polled::Unreadable("unknown_status"), // their list is open
        }
    }

    /// Reads what became of the file: it may not be ready when the interaction is.
    fn read_result(&self, _: &RemoteJob, answer: &Answer) -> Polled {
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        let Some(file) = answer.json::<File>().filter(|_| answer.is_ok()) else {
            return Polled::Unreadable(answer.cause());
        };
        match file.state.as_str() {
            "PROCESSING" => Polled::Pending,
            "ACTIVE" => match file_path(&format!("/v1beta/{}", file.name)) {
                Some(path) => finished(format!("https://{API}{path}:download?alt=media")),
                None => Polled::Unreadable("unusable_file_name"),
            },
            "FAILED" => broke(Fault::new(ErrorClass::Unknown, Some("FAILED"), Billed::Unknown)),
            _ => Polled::Unreadable("unknown_file_state"),
        }
    }

    fn cancel(&self, remote: &RemoteJob, _: &str) -> Option<Call> {
        Some(call(Method::POST, format!("{INTERACTIONS}/{}/cancel", remote.id)))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        match answer.status {
            _ if answer.is_taken() => Canceling::Asked,
            404 if answer.says_not_found() => Canceling::Gone,
            // What is over cannot be canceled; the poll tells how it ended.
            400 if google::fault(answer).code.as_deref() == Some("FAILED_PRECONDITION") => Canceling::TooLate,
            _ => Canceling::Unreadable(answer.cause()),
        }
    }

    /// Files of theirs, and interactions that bring the video itself.
    fn download(&self, asset: &Url) -> Option<Call> {
        let file = asset.path().strip_suffix(":download").and_then(file_path);
        let interaction = asset.path().strip_prefix(INTERACTIONS).and_then(|rest| rest.strip_prefix('/'));
        let known = file.is_some() || interaction.is_some_and(|id| remote_job(id, None).is_some());
        let ours = known && asset.scheme() == "https" && asset.host_str() == Some(API);
        let query = if file.is_some() { "?alt=media" } else { "" };
        ours.then(|| call(Method::GET, format!("{}{query}", asset.path())))
    }

    fn read_download(&self, answer: &Answer) -> Option<Bytes> {
        let interaction: Interaction = answer.json()?;
        let data = interaction.video()?.data?;
        BASE64.decode(data.as_bytes()).ok().map(Bytes::from)
    }

    /// Never a verdict: the token in the header is not known to cover the body.
    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event: Option<Event> = serde_json::from_slice(body.get()).ok();
        let event = event.ok_or(Unreadable("not a Gemini event"))?;
        // Other events have ids of other things.
        let is_interaction = event.kind.starts_with("interaction.");
        let id = event.data.id.filter(|_| is_interaction);
        let remote = id.map(|id| remote_job(&id, None).ok_or(Unreadable("no usable id"))).transpose()?;
        Ok(Notice { remote, verdict: None })
    }

    fn jwks(&self) -> Option<Call> {
        Some(Call::new(Method::GET, API, "/.well-known/jwks.json"))
    }

    fn ping(&self, _: &Settings) -> Call {
        call(Method::GET, "/v1beta/models?pageSize=1")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        google::health(answer, google::has(answer, "models"))
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
        "generation_config": {"video_config": {"task": task}},
        "background": true,
        "store": true,
    });
    if let Some(callback) = order.callback {
        body["webhook_config"] = json!({"uris": [callback], "user_metadata": {"genmux": order.reference}});
    }
    Some(body)
}

/// The path of a file, if it is one of theirs to the letter; whose host it names is ignored.
fn file_path(path: &str) -> Option<String> {
    let id = path.strip_prefix(FILES)?;
    remote_job(id, None).map(|file| format!("{FILES}{}", file.id))
}

fn broke(fault: Fault) -> Polled {
    Polled::Ended(Verdict::Broke { fault, cost: None })
}

fn finished(asset_url: String) -> Polled {
    Polled::Ended(Verdict::Finished { asset_url, cost: None })
}

#[derive(Deserialize)]
struct Interaction {
    id: String,
    status: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "type", default)]
    kind: String,
    /// A list of parts, in steps of the model's output.
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    data: Option<String>,
    uri: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    #[serde(default)]
    message: String,
}

impl Interaction {
    fn video(&self) -> Option<Part> {
        let steps = self.steps.iter().filter(|step| step.kind == "model_output");
        let mut parts = steps.flat_map(|step| step.content.as_array().into_iter().flatten());
        parts.find_map(|part| Part::deserialize(part).ok().filter(|part| part.kind == "video"))
    }

    /// What a completed interaction brings.
    fn result(&self) -> Polled {
        let Some(video) = self.video() else {
            return broke(Fault::new(ErrorClass::Unknown, Some("no_video"), Billed::Unknown));
        };
        let parsed = video.uri.as_deref().and_then(|uri| Url::parse(uri).ok());
        if let Some(path) = parsed.as_ref().and_then(|uri| file_path(uri.path())) {
            return Polled::Fetch(call(Method::GET, path));
        }
        if let Some(asset_url) = video.uri.as_deref().and_then(asset_url) {
            return finished(asset_url);
        }
        // Whoever downloads it asks for the interaction once more.
        if video.data.is_some() {
            return finished(format!("https://{API}{INTERACTIONS}/{}", self.id));
        }
        Polled::Unreadable("no_output")
    }

    /// Which codes there are is not documented: a refusal of content is known by its words.
    fn fault(&self) -> Fault {
        let refused = self.errors.iter().any(|error| google::refuses_content(&error.message));
        let class = if refused { ErrorClass::ContentPolicy } else { ErrorClass::Unknown };
        let code = self.errors.iter().find_map(|error| error.code.as_deref());
        Fault::new(class, code, Billed::Unknown)
    }
}

#[derive(Deserialize)]
struct File {
    /// As `files/abc`.
    name: String,
    state: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    data: Subject,
}

#[derive(Deserialize)]
struct Subject {
    id: Option<String>,
}

#[cfg(test)]
mod tests {
    use crate::domain::provider::Provider;
    use crate::provider::fixtures;

    #[test]
    fn every_fixture_reads_as_it_says() {
        let came_out = fixtures::run(Provider::Gemini);
        for class in [
            "auth",
            "insufficient_funds",
            "content_policy",
            "invalid_request",
            "rate_limited",
            "server_error",
            "their_timeout",
        ] {
            came_out.some("create", class);
        }
        for verdict in ["pending", "fetch", "finished", "broke", "canceled", "gone", "content_policy"] {
            came_out.some("poll", verdict);
        }
        for verdict in ["pending", "finished", "broke", "gone"] {
            came_out.some("result", verdict);
        }
    }
}
