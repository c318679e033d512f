//! fal's queue: every endpoint has its own input; signed webhooks, polling, canceling.

use std::borrow::Cow;

mod bill;
mod offers;
mod reason;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;
use url::{Url, form_urlencoded};

use self::reason::{Reason, detail_types};
use crate::provider::adapter::{Adapter, Capabilities, LookUp, Scheme, Settings, Setup};
use crate::provider::adapters::model_input::model_input;
use crate::provider::bill::{BillOf, BillPage};
use crate::provider::call::{Answer, Call};
use crate::provider::listing::{OfferPage, PricePage};
use crate::provider::order::{CreateOrder, Lost};
use crate::provider::outcome::{Canceling, Found, Notice, Outcome, Page, Polled, Unreadable};
use crate::provider::reading::{self, asset_url, items, remote_job, step, text, word};
use domain::catalog::Route;
use domain::id::RemoteJob;
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::{Fault, Verdict};
use signatures::{Secret, Verified};

const QUEUE: &str = "queue.fal.run";
const REST: &str = "rest.fal.ai";
const PLATFORM: &str = "api.fal.ai";
/// How many endpoints the price list is asked for at a time, by their document.
const PRICES_MAX: usize = 50;

pub(super) struct Fal;

impl Adapter for Fal {
    fn capabilities(&self) -> Capabilities {
        Capabilities { webhooks: Some(Scheme::Fal), look_up: LookUp::Likely, ..Capabilities::default() }
    }

    fn setup(&self) -> Setup {
        Setup { bill_key: Some("FAL_ADMIN_KEY"), ..Setup::key(&["FAL_KEY"]) }
    }

    fn authorize(&self, key: &Secret, _: Timestamp) -> Option<(HeaderName, String)> {
        Some((AUTHORIZATION, format!("Key {}", key.expose())))
    }

    fn check_route(&self, route: &Route) -> Result<(), &'static str> {
        let is_app = |endpoint: &str| endpoint.split('/').count() >= app_segments(endpoint);
        if route.endpoints().all(is_app) {
            Ok(())
        } else {
            Err("an endpoint of fal is `owner/app` or longer")
        }
    }

    fn create(&self, order: &CreateOrder<'_>, _: &Settings) -> Option<Call> {
        let mut path = format!("/{}", order.endpoint());
        if let Some(callback) = order.callback {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("fal_webhook", callback.as_str())
                .finish();
            path = format!("{path}?{query}");
        }
        let mut call = Call::new(Method::POST, QUEUE, path);
        if let Ok(tag) = HeaderValue::try_from(format!("genmux={}", order.reference)) {
            call.headers.insert("x-fal-tags", tag);
        }
        Some(call.json(model_input(order)))
    }

    /// Where it is not known whether the job was made, a header may name it all the same.
    fn read_create(&self, answer: &Answer) -> Outcome {
        let outcome = match reading::created(answer, "/request_id", |answer| Reason::of(answer).refusal()) {
            Ok((remote, body)) => {
                let handle = text(&body["response_url"]).and_then(|url| request_path(&url, &remote.id));
                Outcome::Accepted { remote: RemoteJob { handle, ..remote }, cost: None }
            }
            Err(outcome) => outcome,
        };
        let id = answer.headers.get("x-fal-request-id").and_then(|id| id.to_str().ok());
        outcome.naming(id.and_then(|id| remote_job(id, None)))
    }

    fn poll(&self, remote: &RemoteJob, route: &str) -> Call {
        Call::new(Method::GET, QUEUE, format!("{}/status", path_of(remote, route)))
    }

    fn read_poll(&self, remote: &RemoteJob, route: &str, answer: &Answer) -> Polled {
        let status = match reading::answered(answer) {
            Ok(status) => status,
            Err(polled) => return polled,
        };
        if text(&status["request_id"]).is_some_and(|id| id != remote.id) {
            return Polled::Unreadable("other_job");
        }
        match &*word(&status["status"]) {
            // A job may go back from the second to the first: fal runs it again by itself.
            "IN_QUEUE" | "IN_PROGRESS" => Polled::Pending,
            // Ended, with or without success.
            "COMPLETED" => match failure(&status) {
                Some(reason) => Polled::Ended(reason.verdict()),
                None => Polled::Fetch(Box::new(Call::new(Method::GET, QUEUE, path_of(remote, route)))),
            },
            _ => Polled::Unreadable("unknown_status"),
        }
    }

    fn read_result(&self, _: &RemoteJob, answer: &Answer) -> Polled {
        if answer.is_ok() {
            return match answer.object() {
                Some(output) => reading::finished(file(&output), None, reading::says(&output)),
                None => Polled::Unreadable(answer.cause()),
            };
        }
        if answer.says_not_found() {
            return Polled::Ended(Verdict::Gone);
        }
        let reason = Reason::of(answer);
        if answer.status == 400 && reason.text == "Request is still in progress" {
            return Polled::Pending;
        }
        // A server error may be the model's own or a temporary error on the way to a paid result; the
        // answer does not distinguish them. Status and webhook do.
        let is_end = match answer.status {
            401 | 403 | 429 | 500.. => false,
            _ => reason.says_something(),
        };
        match reason.known_verdict() {
            Some(verdict) if is_end => Polled::Ended(verdict),
            _ => Polled::Unreadable(answer.cause()),
        }
    }

    fn cancel(&self, remote: &RemoteJob, route: &str) -> Option<Call> {
        Some(Call::new(Method::PUT, QUEUE, format!("{}/cancel", path_of(remote, route))))
    }

    fn read_cancel(&self, answer: &Answer) -> Canceling {
        let body = answer.object().unwrap_or_default();
        let is_over = || word(&body["status"]) == "ALREADY_COMPLETED";
        let is_refused = || body["success"] == false;
        match answer.status {
            200..=299 if is_refused() => Canceling::Unreadable(answer.cause()),
            400 if is_over() => Canceling::TooLate,
            _ => reading::canceling(answer),
        }
    }

    /// Not documented how soon a new remote job is listed.
    fn look_up(&self, lost: &Lost<'_>) -> Option<Call> {
        Some(history(lost, None))
    }

    fn read_look_up(&self, lost: &Lost<'_>, answer: &Answer) -> Page {
        let Some(listed) = answer.object().filter(|body| answer.is_ok() && body["items"].is_array()) else {
            return Found::Unreadable(answer.cause()).into();
        };
        let (endpoint, input) = (lost.order.endpoint(), model_input(&lost.order));
        let alike =
            |item: &&Value| item["endpoint_id"] == endpoint && Lost::is_input(&item["json_input"], &input);
        let items = items(&listed["items"]).iter().filter(alike);
        let found = lost.find(items.map(|item| (&item["request_id"], &item["sent_at"])));
        match text(&listed["next_cursor"]) {
            _ if listed["has_more"] == false => found.into(),
            Some(cursor) => Page { found, next: Some(history(lost, Some(&cursor))) },
            None => Found::Unreadable("list_too_long").into(),
        }
    }

    fn read_webhook(&self, body: &Verified<Bytes>) -> Result<Notice, Unreadable> {
        let event = reading::event(body, &["request_id"])?;
        reading::notice(&event["request_id"], verdict_of(&event))
    }

    fn jwks(&self) -> Option<Call> {
        Some(Call::new(Method::GET, REST, "/.well-known/jwks.json"))
    }

    fn ping(&self, _: &Settings) -> Call {
        Call::new(
            Method::GET,
            PLATFORM,
            "/v1/models/pricing?endpoint_id=fal-ai%2Fpika%2Fv2.2%2Ftext-to-video",
        )
    }

    fn read_ping(&self, answer: &Answer) -> Result<(), Fault> {
        reading::health(answer, |body| body["prices"].is_array(), |answer| Reason::of(answer).refusal())
    }

    /// They take up to [`PRICES_MAX`] endpoints at a time; an unknown one spoils the call, and so the
    /// ping asks for one only.
    fn prices(&self, routes: &[&Route]) -> Vec<Call> {
        let endpoints: Vec<&str> = routes.iter().flat_map(|route| route.endpoints()).collect();
        endpoints.chunks(PRICES_MAX).map(offers::price).collect()
    }

    fn read_prices(&self, answer: &Answer) -> Option<PricePage> {
        offers::read_prices(answer)
    }

    fn endpoint(&self, endpoint: &str) -> Option<Call> {
        Some(offers::price(&[endpoint]))
    }

    fn offers(&self, cursor: Option<&str>) -> Option<Call> {
        Some(offers::call(cursor))
    }

    fn read_offers(&self, answer: &Answer) -> Option<OfferPage> {
        offers::read(answer)
    }

    fn family(&self) -> usize {
        2
    }

    fn bill(&self, of: &BillOf<'_>, part: usize, cursor: Option<&str>) -> Option<Call> {
        bill::call(of, part, cursor)
    }

    fn read_bill(&self, of: &BillOf<'_>, _: Option<&str>, answer: &Answer) -> Option<BillPage> {
        bill::read(of, answer)
    }
}

/// The call that lists what the endpoint was sent when the lost one was.
fn history(lost: &Lost<'_>, cursor: Option<&str>) -> Call {
    let (from, to) = lost.window();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("endpoint_id", lost.order.endpoint())
        .append_pair("start", &from.to_string())
        .append_pair("end", &to.to_string())
        .append_pair("expand", "payloads")
        .append_pair("limit", "100")
        .extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    Call::new(Method::GET, PLATFORM, format!("/v1/models/requests/by-endpoint?{}", query.finish()))
}

/// Where a remote job is found: as the create answer said, else as fal builds it.
fn path_of(remote: &RemoteJob, route: &str) -> String {
    if let Some(path) = &remote.handle {
        return path.clone();
    }
    let endpoint = route.strip_prefix(Provider::Fal.name()).unwrap_or(route).trim_start_matches('/');
    let app: Vec<&str> = endpoint.split('/').take(app_segments(endpoint)).collect();
    format!("/{}/requests/{}", app.join("/"), step(&remote.id))
}

/// Segments of an endpoint that name its app; the rest is not part of a remote job's path.
fn app_segments(endpoint: &str) -> usize {
    if endpoint.starts_with("workflows/") || endpoint.starts_with("comfy/") { 3 } else { 2 }
}

/// The path of a returned URL, if it is exactly that of this remote job. Its host is ignored: calls go
/// to the configured one.
fn request_path(url: &str, id: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let app = url.path().strip_suffix(id)?.strip_suffix("/requests/")?.strip_prefix('/')?;
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let good = app.split('/').count() == app_segments(app) && app.split('/').all(plain);
    (good && url.path().len() <= RemoteJob::BYTES_MAX).then(|| url.path().to_owned())
}

/// Why an ended job failed, if it did.
fn failure(status: &Value) -> Option<Reason> {
    let error = &status["error"];
    let is_error = reading::holds_error(status);
    let types: Vec<String> = text(&status["error_type"]).map(Cow::into_owned).into_iter().collect();
    (is_error || !types.is_empty()).then(|| Reason::of_body(reading::says(error).unwrap_or_default(), types))
}

/// The file in an output: a video or an image, or the field that some endpoints have instead.
fn file(output: &Value) -> Option<String> {
    const NAMES: [&str; 6] =
        ["/video/url", "/video", "/videos/0/url", "/images/0/url", "/output/url", "/url"];
    NAMES.iter().find_map(|name| asset_url(output.pointer(name)?))
}

/// The verdict of an event. `None` if fal must be polled: the payload is missing or malformed, the
/// status is unknown, or the failure has no class.
fn verdict_of(event: &Value) -> Option<Verdict> {
    match &*word(&event["status"]) {
        "OK" => {
            let asset_url = file(&event["payload"])?;
            Some(Verdict::Finished { asset_url, cost: None })
        }
        "ERROR" => {
            let mut types = detail_types(&event["payload"]);
            types.extend(text(&event["error_type"]).map(Cow::into_owned));
            Reason::of_body(&word(&event["error"]), types).known_verdict()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::tests::fixtures;
    use domain::catalog::Catalog;

    #[test]
    fn every_fixture_reads_as_it_says() {
        fixtures::run(Provider::Fal)
            .some("create", "auth insufficient_funds content_policy invalid_request rate_limited")
            .some("create", "timeout server_error unknown")
            .some("result", "finished broke gone pending canceled")
            .some("webhook", "finished broke canceled null");
    }

    #[test]
    fn all_prices_are_asked_for_in_calls_that_are_not_too_long() {
        let catalog = Catalog::for_providers(&[Provider::Fal]);
        let routes: Vec<_> = catalog.models().flat_map(|model| &model.routes).collect();
        let of_call = |call: Call| {
            let (_, query) = call.path_and_query.split_once('?').unwrap();
            let (_, endpoints) = form_urlencoded::parse(query.as_bytes()).next().unwrap();
            endpoints.split(',').map(str::to_owned).collect::<Vec<_>>()
        };
        let asked: Vec<_> = Fal.prices(&routes).into_iter().map(of_call).collect();
        assert!(asked.len() > 1 && asked.iter().all(|endpoints| endpoints.len() <= PRICES_MAX));
        let all: Vec<_> = routes.iter().flat_map(|route| route.endpoints()).collect();
        assert_eq!(asked.concat(), all);
        assert!(Fal.prices(&[]).is_empty());
    }

    #[test]
    fn a_path_is_kept_only_if_it_is_this_remote_jobs() {
        for path in [
            "/fal-ai/pika/requests/other",
            "/requests/a",
            "/a/requests/a",
            "/a/b/c/requests/a",
            "/../b/requests/a",
            "/a/b%2f/requests/a",
            "/a/b/requests/a/",
            "/a/b/requests/a?x=1&y=/requests/a",
        ] {
            let kept = request_path(&format!("https://queue.fal.run{path}"), "a");
            assert!(kept.is_none() || kept.as_deref() == Some("/a/b/requests/a"), "{path}: {kept:?}");
        }
        assert_eq!(
            request_path("https://evil.example/a/b/requests/a", "a").as_deref(),
            Some("/a/b/requests/a")
        );
    }
}
