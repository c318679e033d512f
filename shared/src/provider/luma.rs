//! Luma's newer API, the "Luma Agents API": films and stills at one address; polling only.

use http::header::AUTHORIZATION;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::outcome::{Outcome, Polled};
use super::secret::Secret;
use super::{
    Adapter, Answer, Call, Capabilities, CreateOrder, Settings, Setup, asset_url, certain, remote_job,
};
use crate::domain::id::RemoteJob;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Billed, ErrorClass, Fault, Verdict};

const API: &str = "agents.lumalabs.ai";
/// The length up to which a film takes its frames as `start_frame` and `end_frame`; longer ones
/// take them by their place.
const ANCHORED_MAX_S: u32 = 5;
const FRAMES_PER_S: u32 = 24;

pub(super) struct Luma;

impl Adapter for Luma {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn setup(&self) -> Setup {
        Setup::key(&["LUMA_AGENTS_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        Some((AUTHORIZATION, format!("Bearer {}", key.expose())))
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        Some(Call::new(Method::POST, API, "/v1/generations").json(input(order)))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        if answer.is_ok() {
            let created: Option<Generation> = answer.json();
            return Outcome::accepted(created.and_then(|created| remote_job(&created.id, None)));
        }
        certain::outcome(answer, problem(answer).is_some(), fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, API, format!("/v1/generations/{}", remote.id))
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        let Some(generation) = answer.json::<Generation>().filter(|_| answer.is_ok()) else {
            return Polled::Unreadable(answer.cause());
        };
        if generation.id != remote.id {
            return Polled::Unreadable("other_job");
        }
        match generation.state.as_deref() {
            Some("queued" | "processing") => Polled::Pending,
            Some("completed") => match generation.asset() {
                Some(asset_url) => Polled::Ended(Verdict::Finished { asset_url, cost: None }),
                None => Polled::Unreadable("no_output"),
            },
            Some("failed") => Polled::Ended(Verdict::Broke { fault: generation.fault(), cost: None }),
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, "/v1/files?limit=1")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        match answer.json::<Files>() {
            Some(_) if answer.is_ok() => Ok(()),
            _ if answer.is_ok() => {
                Err(Fault::new(ErrorClass::ProviderUnavailable, Some("unknown_answer"), Billed::No))
            }
            _ => Err(fault(answer)),
        }
    }
}

/// A still is a PNG of the one size there is. There is no seed and no negative prompt.
fn input(order: &CreateOrder<'_>) -> Value {
    let request = order.request;
    let mut input = Map::new();
    let mut put = |name: &str, value: Value| input.insert(name.to_owned(), value);
    put("prompt", json!(request.prompt));
    put("model", json!(order.endpoint()));
    if let Some(ratio) = &request.aspect_ratio {
        put("aspect_ratio", json!(ratio));
    }
    let Some(seconds) = request.duration_s else {
        put("type", json!("image"));
        put("output_format", json!("png"));
        return Value::Object(input);
    };
    put("type", json!("video"));
    let mut video = json!({"duration": format!("{seconds}s"), "resolution": request.resolution});
    let first = request.image_url.as_ref().map(|url| (json!({"url": url}), 0));
    let last = request.last_frame_url.as_ref().map(|url| (json!({"url": url}), seconds * FRAMES_PER_S));
    if seconds <= ANCHORED_MAX_S {
        let named = [("start_frame", first), ("end_frame", last)];
        for (name, frame) in named {
            if let Some((frame, _)) = frame {
                video[name] = frame;
            }
        }
    } else if first.is_some() {
        let (frames, places): (Vec<_>, Vec<_>) = first.into_iter().chain(last).unzip();
        video["keyframes"] = json!(frames);
        video["keyframe_indexes"] = json!(places);
    }
    put("video", video);
    Value::Object(input)
}

#[derive(Deserialize)]
struct Generation {
    id: String,
    state: Option<String>,
    failure_code: Option<String>,
    output: Option<Vec<Output>>,
}

#[derive(Deserialize)]
struct Output {
    url: String,
}

impl Generation {
    fn asset(&self) -> Option<String> {
        asset_url(&self.output.as_ref()?.first()?.url)
    }

    /// Money and rates may be found wanting after the acceptance, too.
    fn fault(&self) -> Fault {
        let code = self.failure_code.as_deref();
        Fault::new(code.and_then(class_of).unwrap_or(ErrorClass::Unknown), code, Billed::Unknown)
    }
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

#[derive(Deserialize)]
struct Files {
    #[serde(rename = "data")]
    _data: Vec<Value>,
}

/// The body of an error, in any of the shapes that such a body commonly has.
fn problem(answer: &Answer) -> Option<Value> {
    let body: Value = answer.json()?;
    let known = ["failure_code", "code", "detail", "error", "message"];
    known.iter().any(|name| !body[name].is_null()).then_some(body)
}

/// The first rule that fits an answer that is not a success.
fn fault(answer: &Answer) -> Fault {
    let body = problem(answer).unwrap_or_default();
    let words = [&body["failure_code"], &body["code"], &body["error"]["code"], &body["detail"]["code"]];
    let code = words.into_iter().find_map(Value::as_str);
    let by_status = match answer.status {
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::InsufficientFunds,
        429 => ErrorClass::RateLimited,
        400..=499 => ErrorClass::InvalidRequest,
        500..=599 => ErrorClass::ProviderUnavailable,
        _ => ErrorClass::Unknown,
    };
    Fault::new(code.and_then(class_of).unwrap_or(by_status), code, Billed::No)
}

#[cfg(test)]
mod tests {
    use crate::domain::provider::Provider;
    use crate::provider::fixtures;

    #[test]
    fn every_fixture_reads_as_it_says() {
        let came_out = fixtures::run(Provider::Luma);
        for class in ["auth", "insufficient_funds", "content_policy", "invalid_request", "rate_limited"] {
            came_out.some("create", class);
            came_out.some("poll", if class == "auth" { "gone" } else { class });
        }
        for verdict in ["finished", "broke", "pending", "\"unknown\""] {
            came_out.some("poll", verdict);
        }
    }
}
