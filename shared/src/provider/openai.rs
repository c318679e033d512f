//! The shape of `OpenAI`'s Videos API, as others serve it: gateways, and servers of open models.
//!
//! `OpenAI` itself shut it down on 24 September 2026, so there is no origin but the one that the
//! deployer names. Its webhooks are registered once for an account and name no attempt of ours,
//! and its open heirs send none: it is polled.

use http::header::AUTHORIZATION;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::outcome::{Outcome, Polled};
use super::secret::Secret;
use super::{Adapter, Answer, Body, Call, Capabilities, CreateOrder, Settings, Setup, certain, remote_job};
use crate::domain::id::RemoteJob;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

/// Nobody's: the key goes to `OPENAI_BASE_URL` or nowhere.
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
        Setup { key: &["OPENAI_API_KEY"], settings: &[(BODY, Some("json"))], homeless: true }
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        Some((AUTHORIZATION, format!("Bearer {}", key.expose())))
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
        if answer.is_ok() {
            let created: Option<Created> = answer.json();
            return Outcome::accepted(created.and_then(|created| remote_job(&created.id, None)));
        }
        certain::outcome(answer, answer.json::<Problem>().is_some(), fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, NOWHERE, format!("/v1/videos/{}", remote.id))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        let Some(video) = answer.json::<Video>().filter(|_| answer.is_ok()) else {
            return Polled::Unreadable(answer.cause());
        };
        if video.id != remote.id {
            return Polled::Unreadable("other_job");
        }
        match video.status.as_str() {
            "queued" | "in_progress" => Polled::Pending,
            // Where the file is, the object does not say.
            "completed" => {
                let asset_url = format!("https://{NOWHERE}/v1/videos/{}/content", remote.id);
                Polled::Ended(Verdict::Finished { asset_url, cost: None })
            }
            "failed" => {
                let code = video.error.and_then(|error| error.code());
                let class = code.as_deref().and_then(class_of_code).unwrap_or(ErrorClass::Unknown);
                let fault = Fault::new(class, code.as_deref(), Billed::Unknown);
                Polled::Ended(Verdict::Broke { fault, cost: None })
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
        match answer.json::<Models>() {
            Some(_) if answer.is_ok() => Ok(()),
            _ if answer.is_ok() => {
                Err(Fault::new(ErrorClass::ProviderUnavailable, Some("unknown_answer"), Billed::No))
            }
            _ => Err(fault(answer)),
        }
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

#[derive(Deserialize)]
struct Created {
    id: String,
}

#[derive(Deserialize)]
struct Video {
    id: String,
    status: String,
    error: Option<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    /// A word, or a number at some.
    #[serde(default)]
    code: Value,
    #[serde(default, rename = "type")]
    kind: Value,
}

impl Reason {
    fn code(&self) -> Option<String> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        text(&self.code).or_else(|| text(&self.kind))
    }
}

/// An error that is their own. `detail` is what servers say that are built on `FastAPI`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Problem {
    Told {
        error: Reason,
    },
    Detailed {
        #[serde(rename = "detail")]
        _detail: Value,
    },
}

#[derive(Deserialize)]
struct Models {
    #[serde(rename = "data")]
    _data: Vec<Value>,
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
    let code = match answer.json::<Problem>() {
        Some(Problem::Told { error }) => error.code(),
        Some(Problem::Detailed { .. }) | None => None,
    };
    let class = code.as_deref().and_then(class_of_code).unwrap_or(match answer.status {
        401 | 403 => ErrorClass::Auth,
        429 => ErrorClass::RateLimited,
        400..=499 => ErrorClass::InvalidRequest,
        500..=599 => ErrorClass::ProviderUnavailable,
        _ => ErrorClass::Unknown,
    });
    Fault::new(class, code.as_deref(), Billed::No)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::provider::Provider;
    use crate::provider::fixtures;

    #[test]
    fn every_fixture_reads_as_it_says() {
        let came_out = fixtures::run(Provider::Openai);
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
        for verdict in ["finished", "broke", "gone", "pending", "content_policy", "unknown_status"] {
            came_out.some("poll", verdict);
        }
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
