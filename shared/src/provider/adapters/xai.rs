//! xAI: Grok Imagine video. Polling only; nothing can be canceled or listed, and what moderation blocks
//! is billed.

use std::borrow::Cow;

use http::{HeaderName, Method};
use serde_json::{Value, json};

use crate::provider::adapter::{Adapter, Capabilities, Settings, Setup};
use crate::provider::call::{Answer, Call};
use crate::provider::order::{CreateOrder, without_nulls};
use crate::provider::outcome::{Outcome, Polled};
use crate::provider::reading::{self, amount, asset_url, class_of_status, step, text, word};
use domain::credit::MicroUsd;
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault};
use signatures::Secret;

const API: &str = "api.x.ai";
const TICKS_PER_USD: f64 = 10_000_000_000.0;
/// How its server begins the plain text with which it rejects a body before it reads the values.
const REJECTION: &[u8] = b"Failed to deserialize the JSON body";

pub(super) struct Xai;

impl Adapter for Xai {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn setup(&self) -> Setup {
        Setup::key(&["XAI_API_KEY"])
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let request = order.request;
        let body = without_nulls(json!({
            "model": order.endpoint(),
            "prompt": request.prompt,
            "duration": request.duration_s,
            "aspect_ratio": request.aspect_ratio,
            "resolution": request.resolution,
            "image": request.image_url.as_ref().map(|url| json!({"url": url})),
            "generate_audio": order.audio(),
        }));
        Some(Call::new(Method::POST, API, "/v1/videos/generations").json(body))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        if answer.status == 422 && answer.body.starts_with(REJECTION) {
            let says = std::str::from_utf8(&answer.body).ok();
            let fault = Fault::new(ErrorClass::InvalidRequest, None, Billed::No).saying(says);
            return Outcome::Refused { fault, retry_after: None };
        }
        reading::accepted(answer, "/request_id", fault)
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        Call::new(Method::GET, API, format!("/v1/videos/{}", step(&remote.id)))
    }

    /// An answer does not name the job that it is about.
    fn read_poll(&self, _: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        if answer.status == 202 && answer.body.is_empty() {
            return Polled::Pending;
        }
        if let Some(polled) = blocked(answer) {
            return polled;
        }
        let job = match reading::answered(answer) {
            Ok(job) => job,
            Err(polled) => return polled,
        };
        let file = asset_url(&job["video"]["url"]);
        match &*word(&job["status"]) {
            "pending" => Polled::Pending,
            "done" => done(&job, file),
            // Its first answers had no status beside a video.
            "" if file.is_some() => done(&job, file),
            "failed" => reading::broke(failure(&job), cost(&job)),
            // It was made, and is no longer there.
            word @ "expired" => {
                reading::broke(Fault::new(ErrorClass::Expired, Some(word), billed(&job)), cost(&job))
            }
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(Method::GET, API, "/v1/api-key")
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |key| key["team_blocked"].is_boolean(), fault)?;
        let key = answer.object().unwrap_or_default();
        let is_so = |name: &&str| key[*name] == true;
        match ["team_blocked", "api_key_blocked", "api_key_disabled"].into_iter().find(is_so) {
            Some(name) => Err(Fault::new(ErrorClass::Auth, Some(name), Billed::No)),
            None => Ok(()),
        }
    }
}

fn done(job: &Value, file: Option<String>) -> Polled {
    if job["video"]["respect_moderation"] == false {
        let fault = Fault::new(ErrorClass::ContentPolicy, Some("respect_moderation"), billed(job));
        return reading::broke(fault.saying(reading::says(job)), cost(job));
    }
    reading::finished(file, cost(job), reading::says(job))
}

/// A job whose video was made and blocked may be answered as an error of the call, with its cost.
fn blocked(answer: &Answer) -> Option<Polled> {
    let body = answer.object().filter(|_| matches!(answer.status, 400 | 403))?;
    let says = reading::says(&body).filter(|text| refuses_content(text))?;
    let fault = Fault::new(ErrorClass::ContentPolicy, code(&body).as_deref(), billed(&body));
    Some(reading::broke(fault.saying(Some(says)), cost(&body)))
}

/// Why a job failed. Moderation has no code of its own.
fn failure(job: &Value) -> Fault {
    let (code, says) = (text(&job["error"]["code"]), reading::says(&job["error"]));
    let class = match code.as_deref() {
        _ if says.is_some_and(refuses_content) => ErrorClass::ContentPolicy,
        Some("invalid_argument" | "failed_precondition") => ErrorClass::InvalidRequest,
        Some("service_unavailable" | "internal_error") => ErrorClass::ProviderUnavailable,
        _ => ErrorClass::Unknown,
    };
    Fault::new(class, code.as_deref(), billed(job)).saying(says)
}

/// What it says that a job cost.
fn cost(job: &Value) -> Option<MicroUsd> {
    let ticks: f64 = text(&job["usage"]["cost_in_usd_ticks"])?.parse().ok()?;
    amount(&json!(ticks / TICKS_PER_USD)).map(reading::micro_usd)
}

fn billed(job: &Value) -> Billed {
    match cost(job) {
        Some(MicroUsd(0)) => Billed::No,
        Some(_) => Billed::Yes,
        None => Billed::Unknown,
    }
}

fn refuses_content(text: &str) -> bool {
    reading::speaks_of_content(text) || text.to_ascii_lowercase().contains("usage guidelines")
}

/// The code of an error: beside its text, or in one object with it. Its first codes were sentences.
fn code(body: &Value) -> Option<Cow<'_, str>> {
    let code = text(&body["error"]["code"]).or_else(|| text(&body["code"]));
    code.filter(|code| !code.contains(' '))
}

/// The first rule that fits an answer that is not a success. Several of its errors share a status and a
/// code: only the text tells them apart.
fn fault(answer: &Answer) -> Fault {
    let body = answer.object().unwrap_or_default();
    let says = reading::says(&body);
    let lower = says.unwrap_or_default().to_ascii_lowercase();
    let has = |words: &str| lower.contains(words);
    let (class, billed) = match answer.status {
        // Its terms have a fee for such a request.
        400 | 403 if says.is_some_and(refuses_content) => (ErrorClass::ContentPolicy, billed(&body)),
        // It comes with 403, and with a 429 that no waiting cures.
        400..=499 if has("credits") || has("spending limit") => (ErrorClass::InsufficientFunds, Billed::No),
        400 if has("api key") => (ErrorClass::Auth, Billed::No),
        status => (class_of_status(status), Billed::No),
    };
    Fault::new(class, code(&body).as_deref(), billed).saying(says)
}

#[cfg(test)]
mod tests {
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Xai)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("create", "route_gone server_error their_timeout")
            .some("poll", "finished broke gone pending content_policy unknown_status");
    }
}
