//! Veo on Vertex: long-running operations, polled by `POST`; results go to the deployer's own
//! bucket; access tokens in place of a key.

use std::time::Duration;

use http::{HeaderName, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use url::Url;

use super::errors;
use crate::outside::service_account::{Grant, ServiceAccount};
use crate::provider::adapter::{AccessToken, Adapter, Capabilities, Settings, Setup};
use crate::provider::call::{Answer, Body, Call};
use crate::provider::fetch::image::Image;
use crate::provider::order::CreateOrder;
use crate::provider::outcome::{Outcome, Polled};
use crate::provider::reading::{self, items, remote_job, text, word};
use domain::id::RemoteJob;
use domain::time::Timestamp;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use signatures::Secret;

const LOCATION: &str = "GOOGLE_CLOUD_LOCATION";
const PROJECT: &str = "GOOGLE_CLOUD_PROJECT";
const STORAGE_URI: &str = "VERTEX_STORAGE_URI";
const TOKENS: &str = "oauth2.googleapis.com";
/// The scope of both APIs: models and bucket.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const STORAGE: &str = "storage.googleapis.com";
const OBJECTS: &str = "/storage/v1/b/";
/// The maximum accepted lifetime of a token.
const LASTS_MAX: Duration = Duration::from_secs(3_600);

pub(in crate::provider::adapters) struct Vertex;

impl Adapter for Vertex {
    /// Whether an operation that makes a video can be canceled is not documented.
    fn capabilities(&self) -> Capabilities {
        Capabilities { inline_images: true, exchanges_key: true, ..Capabilities::default() }
    }

    /// The key is the whole key file of a service account.
    fn setup(&self) -> Setup {
        Setup {
            settings: &[(LOCATION, Some("us-central1")), (PROJECT, Some("")), (STORAGE_URI, None)],
            ..Setup::key(&["GOOGLE_APPLICATION_CREDENTIALS_JSON"])
        }
    }

    /// Default: the project of the service account.
    fn complete(&self, settings: &mut Settings, key: &Secret) {
        let account = ServiceAccount::parse(key);
        settings.complete(PROJECT, &account.and_then(|account| account.project_id).unwrap_or_default());
    }

    fn exchange(&self, key: &Secret, now: Timestamp) -> Option<Call> {
        let assertion = ServiceAccount::parse(key)?.assertion(Grant::Scope(SCOPE), now)?;
        let mut call = Call::new(Method::POST, TOKENS, "/token");
        call.body = Some(Body::Query(vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
            ("assertion", assertion),
        ]));
        Some(call)
    }

    fn read_exchange(&self, answer: &Answer) -> Result<AccessToken, Fault> {
        let body = answer.object().unwrap_or_default();
        let token = body["access_token"].as_str().filter(|token| answer.is_ok() && !token.is_empty());
        let lasts = text(&body["expires_in"]).and_then(|lasts| lasts.parse().ok());
        if let (Some(token), Some(lasts)) = (token, lasts) {
            let lasts = Duration::from_secs(lasts).min(LASTS_MAX);
            return Ok(AccessToken { key: Secret::new(token), lasts });
        }
        let class = match answer.status {
            429 => ErrorClass::RateLimited,
            400..=499 => ErrorClass::Auth,
            _ => ErrorClass::ProviderUnavailable,
        };
        Err(Fault::new(class, text(&body["error"]).as_deref(), Billed::No).saying(reading::says(&body)))
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        reading::bearer(key)
    }

    fn create(&self, order: &CreateOrder<'_>, settings: &Settings) -> Option<Call> {
        let (project, location) = (settings.get(PROJECT), settings.get(LOCATION));
        // Without a project the token exchange fails.
        let plain = is_location(location) && (project.is_empty() || is_plain(project));
        let path = format!(
            "/v1/projects/{project}/locations/{location}/publishers/google/models/{}:predictLongRunning",
            order.endpoint()
        );
        let body = input(order, settings.get(STORAGE_URI))?;
        plain.then(|| Call::new(Method::POST, host(location), path).json(body))
    }

    fn read_create(&self, answer: &Answer) -> Outcome {
        match errors::read_create(answer, "/name") {
            Outcome::Accepted { remote, cost } => match operation(&remote.id) {
                Some(remote) => Outcome::Accepted { remote, cost },
                None => Outcome::unknown("unusable_id"),
            },
            outcome => outcome,
        }
    }

    fn poll(&self, remote: &RemoteJob, _: &str) -> Call {
        let name = remote.handle.as_deref().unwrap_or_default();
        match Operation::parse(name) {
            Some(Operation { location, model, .. }) => {
                Call::new(Method::POST, host(location), format!("/v1/{model}:fetchPredictOperation"))
                    .json(json!({"operationName": name}))
            }
            // Unreachable: create always returns an operation name.
            None => Call::new(
                Method::GET,
                host("global"),
                format!("/v1/operations/{}", reading::step(&remote.id)),
            ),
        }
    }

    fn read_poll(&self, remote: &RemoteJob, _: &str, answer: &Answer) -> Polled {
        let state = match reading::answered(answer) {
            Ok(state) => state,
            Err(polled) => return polled,
        };
        let (name, error) = (text(&state["name"]), &state["error"]);
        if name.is_none() || name.as_deref() != remote.handle.as_deref() {
            return Polled::Unreadable("other_job");
        }
        if error.is_object() {
            return Polled::Ended(failure(error));
        }
        match state["done"].as_bool() {
            // Absent while it runs: Google omits false values.
            Some(false) | None => Polled::Pending,
            Some(true) => result(&state["response"]),
        }
    }

    /// Objects of a bucket.
    fn download(&self, asset: &Url) -> Option<Call> {
        let is_object = asset.path().strip_prefix(OBJECTS).is_some_and(|rest| rest.contains("/o/"));
        let ours = is_object && asset.scheme() == "https" && asset.host_str() == Some(STORAGE);
        ours.then(|| Call::new(Method::GET, STORAGE, format!("{}?alt=media", asset.path())))
    }

    fn ping(&self, settings: &Settings) -> Call {
        let location = Some(settings.get(LOCATION)).filter(|location| is_location(location));
        let path = "/v1/publishers/google/models/veo-3.1-generate-001";
        Call::new(Method::GET, host(location.unwrap_or("global")), path)
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        // The key was accepted; only this model is missing.
        let is_gone = answer.status == 404
            && answer.object().is_some_and(|body| body["error"]["status"] == "NOT_FOUND");
        if is_gone {
            return Ok(());
        }
        reading::health(answer, |body| !body["name"].is_null(), errors::fault)
    }
}

/// The host of a location that [`is_location`].
fn host(location: &str) -> String {
    match location {
        "global" => "aiplatform.googleapis.com".to_owned(),
        region => format!("{region}-aiplatform.googleapis.com"),
    }
}

/// Whether a text may become part of a host.
fn is_location(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= 40
}

/// Whether a text may become one segment of a path.
fn is_plain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(plain)
}

/// Sound is always spelt out: the default is with sound, at twice the price. `None` if an image
/// was not fetched, or if there is no bucket to write to.
fn input(order: &CreateOrder<'_>, storage: &str) -> Option<Value> {
    let request = order.request;
    let mut instance = Map::from_iter([("prompt".to_owned(), json!(request.prompt))]);
    let frames = [
        ("image", &request.image_url, order.image),
        ("lastFrame", &request.last_frame_url, order.last_frame),
    ];
    for (name, url, image) in frames {
        if url.is_some() {
            instance.insert(name.to_owned(), bytes_of(image?));
        }
    }
    let mut parameters = json!({
        "sampleCount": 1,
        "durationSeconds": request.duration_s,
        "aspectRatio": request.aspect_ratio,
        "resolution": request.resolution,
        // A video in the answer would be tens of megabytes of base64. Each attempt has its own
        // folder, in which theirs has a folder again.
        "storageUri": format!("gs://{}/{}/", storage.strip_prefix("gs://")?.trim_end_matches('/'), order.reference),
    });
    if let Some(sound) = order.audio() {
        parameters["generateAudio"] = json!(sound);
    }
    if let Some(text) = &request.negative_prompt {
        parameters["negativePrompt"] = json!(text);
    }
    if let Some(seed) = request.seed {
        parameters["seed"] = json!(seed);
    }
    Some(json!({"instances": [instance], "parameters": parameters}))
}

fn bytes_of(image: &Image) -> Value {
    json!({"bytesBase64Encoded": image.base64(), "mimeType": image.mime})
}

/// An operation's name: `projects/…/locations/…/publishers/google/models/…/operations/…`.
struct Operation<'a> {
    name: &'a str,
    location: &'a str,
    /// The name as far as the model's.
    model: &'a str,
    id: &'a str,
}

impl<'a> Operation<'a> {
    /// `None` unless every part of it is harmless in a host or a path.
    fn parse(name: &'a str) -> Option<Self> {
        let (model, id) = name.split_once("/operations/")?;
        let parts: Vec<&str> = model.split('/').collect();
        let ["projects", project, "locations", location, "publishers", "google", "models", endpoint] =
            parts[..]
        else {
            return None;
        };
        let good = is_plain(project) && is_location(location) && is_plain(endpoint);
        good.then_some(Self { name, location, model, id })
    }

    fn remote_job(&self) -> Option<RemoteJob> {
        is_plain(self.id).then(|| remote_job(self.id, Some(self.name))).flatten()
    }
}

/// The download URL of an object, from `gs://bucket/name`.
fn object_url(address: &str) -> Option<String> {
    let (bucket, object) = address.strip_prefix("gs://")?.split_once('/')?;
    let good = is_plain(bucket) && !object.is_empty() && address.len() <= RemoteJob::BYTES_MAX * 10;
    let object = utf8_percent_encode(object, NON_ALPHANUMERIC);
    good.then(|| format!("https://{STORAGE}{OBJECTS}{bucket}/o/{object}"))
}

/// A remote job by the name of its operation.
fn operation(name: &str) -> Option<RemoteJob> {
    Operation::parse(name)?.remote_job()
}

/// The result of a finished operation.
fn result(response: &Value) -> Polled {
    let videos = items(&response["videos"]).iter();
    if let Some(asset_url) =
        videos.filter_map(|video| text(&video["gcsUri"])).find_map(|uri| object_url(&uri))
    {
        return reading::finished(Some(asset_url), None, None);
    }
    let reasons = items(&response["raiMediaFilteredReasons"]);
    let count = text(&response["raiMediaFilteredCount"]).is_some_and(|count| count != "0");
    if count || !reasons.is_empty() {
        let fault = Fault::new(ErrorClass::ContentPolicy, Some("raiMediaFiltered"), Billed::No);
        return reading::broke(fault.saying(reasons.iter().find_map(reading::says)), None);
    }
    reading::empty(None)
}

/// Why an operation failed; its code is a gRPC code, not an HTTP status.
fn failure(error: &Value) -> Verdict {
    let (code, message) = (word(&error["code"]), reading::says(error).unwrap_or_default());
    let class = match &*code {
        "1" => return Verdict::Canceled { cost: None },
        "3" if errors::refuses_content(message) => ErrorClass::ContentPolicy,
        "3" | "5" | "9" | "11" => ErrorClass::InvalidRequest,
        "4" => ErrorClass::Timeout,
        "7" | "16" => ErrorClass::Auth,
        "8" => ErrorClass::RateLimited,
        "13" | "14" => ErrorClass::ProviderUnavailable,
        _ => ErrorClass::Unknown,
    };
    // Billing of failed runs is not documented.
    let fault = Fault::new(class, Some(&code), Billed::Unknown).saying(Some(message));
    Verdict::Broke { fault, cost: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::google_key::{claims, file};
    use crate::provider::tests::fixtures;
    use domain::provider::Provider;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Vertex)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("create", "server_error their_timeout")
            .some("poll", "pending finished canceled gone content_policy invalid_request timeout auth")
            .some("poll", "rate_limited provider_unavailable unknown");
    }

    #[test]
    fn the_key_is_exchanged_at_the_compiled_in_place_whatever_it_says() {
        let call = Vertex.exchange(&file(), Timestamp::from_secs(100)).unwrap();
        assert_eq!((call.host.as_ref(), call.path_and_query.as_str()), (TOKENS, "/token"));
        let Some(Body::Query(pairs)) = call.body else { panic!() };
        let claims = claims(&pairs.iter().find(|(name, _)| *name == "assertion").unwrap().1);
        assert_eq!(
            (&claims["aud"], &claims["scope"]),
            (&json!("https://oauth2.googleapis.com/token"), &json!(SCOPE))
        );
        assert!(Vertex.exchange(&Secret::new("AIza"), Timestamp::from_secs(100)).is_none());
    }

    #[test]
    fn the_project_is_the_accounts_unless_another_is_set() {
        for (given, expected) in [("", "test-project"), ("other", "other")] {
            let mut settings: Settings = [(PROJECT, given.to_owned())].into_iter().collect();
            Vertex.complete(&mut settings, &file());
            assert_eq!(settings.get(PROJECT), expected);
        }
    }

    #[test]
    fn an_operation_is_taken_only_if_no_part_of_it_can_move_a_call() {
        let good = "projects/p-1/locations/us-central1/publishers/google/models/veo-3.1/operations/a-1";
        assert!(Operation::parse(good).unwrap().remote_job().is_some());
        for (part, other) in [
            ("us-central1", "evil.example/"),
            ("us-central1", "evil.example#"),
            ("us-central1", "US"),
            ("us-central1", ""),
            ("p-1", ".."),
            ("p-1", "p/q"),
            ("google", "other"),
            ("veo-3.1", "veo?x"),
            ("a-1", "a/../b"),
            ("a-1", ""),
            ("projects/", "/projects/"),
        ] {
            let name = good.replace(part, other);
            let kept = Operation::parse(&name).and_then(|operation| operation.remote_job());
            assert!(kept.is_none(), "{name}");
        }
    }
}
