//! Runs every file of `fixtures/<provider>/`: a file that no test reads cannot be.
//!
//! A file either *builds* a call from an order or a remote job, or *reads* an answer, and
//! says what must come out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::provider::adapter::{Adapter, Settings};
use crate::provider::adapters::adapter;
use crate::provider::bill::{BillOf, BillPage};
use crate::provider::call::{Answer, Body, Call};
use crate::provider::callback_token::{CallbackSecrets, Token};
use crate::provider::client::Delivery;
use crate::provider::fetch::image::Image;
use crate::provider::order::{CreateOrder, Lost};
use crate::provider::outcome::{Canceling, Found, Outcome, Page, Polled};
use domain::bill::{Line, Period};
use domain::catalog::{Catalog, Route};
use domain::id::{JobId, RemoteJob};
use domain::price_list::Listed;
use domain::provider::Provider;
use domain::request::{JobRequest, Order};
use domain::time::Timestamp;
use given::Given;
use signatures::{Secret, Verified};

pub(in crate::provider) const REMOTE_ID: &str = "764cabcf-b745-4b3e-ae38-1200304cf45b";

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    /// What the file's name does not say; for people.
    #[serde(rename = "about")]
    _about: Option<String>,
    build: Option<String>,
    read: Option<String>,
    route: Option<String>,
    order: Option<Order>,
    callback: Option<Url>,
    remote: Option<RemoteJob>,
    /// When a lost attempt was claimed, in Unix seconds.
    started_at: Option<i64>,
    asset: Option<Url>,
    /// Values of the adapter's settings, beside their defaults.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    answer: Option<Given>,
    expect: Value,
}

/// What a provider's fixtures came to.
pub(in crate::provider) struct CameOut(BTreeSet<String>);

impl CameOut {
    /// For each of these words, some fixture that reads `what` must have it in what comes out.
    pub(in crate::provider) fn some(self, what: &str, words: &str) -> Self {
        for word in words.split(' ') {
            let found = self.0.iter().any(|case| case.starts_with(what) && case.contains(word));
            assert!(found, "no fixture has {word} come out of a {what}");
        }
        self
    }
}

/// The fixtures of one provider, by their names.
fn all(provider: Provider) -> Vec<(String, Fixture)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(provider.name());
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // The others are for the crate `signatures`.
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let read = |path: PathBuf| {
        let case = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let fixture = serde_json::from_slice(&std::fs::read(&path).unwrap());
        (case.clone(), fixture.unwrap_or_else(|error| panic!("{case}: {error}")))
    };
    paths.map(read).collect()
}

/// Runs the fixtures of one provider; gives everything that came out, for coverage.
pub(in crate::provider) fn run(provider: Provider) -> CameOut {
    let mut came_out = BTreeSet::new();
    for (case, fixture) in all(provider) {
        let result = fixture.run(adapter(provider));
        assert_eq!(result, fixture.expect, "{case}");
        came_out.insert(format!("{} {result}", fixture.read.unwrap_or_default()));
    }
    CameOut(came_out)
}

impl Fixture {
    /// With another body in its answer.
    fn with_body(&self, body: &Value) -> Self {
        let answer = self.answer.as_ref().map(|given| Given { json: Some(body.clone()), ..given.clone() });
        Self { answer, ..self.clone() }
    }

    fn run(&self, adapter: &dyn Adapter) -> Value {
        let remote = self.remote.clone().unwrap_or(RemoteJob { id: REMOTE_ID.to_owned(), handle: None });
        let route = self.route.as_deref().unwrap_or("fal/fal-ai/veo3.1");
        if let Some(what) = &self.build {
            let built = match what.as_str() {
                "create" => self.with_order(|order| adapter.create(order, &self.settings(adapter))),
                "poll" => Some(adapter.poll(&remote, route)),
                "cancel" => adapter.cancel(&remote, route),
                "look_up" => self.with_lost(|lost| adapter.look_up(lost)),
                "download" => adapter.download(self.asset.as_ref().unwrap()),
                "ping" => Some(adapter.ping(&self.settings(adapter))),
                "jwks" => adapter.jwks(),
                "prices" => adapter.prices(&[self.route(&Catalog::for_providers(Provider::ALL))]).pop(),
                other => panic!("nothing builds {other}"),
            };
            return built.as_ref().map_or(Value::Null, call);
        }
        let answer = self.answer.as_ref().unwrap().answer();
        match self.read.as_deref().unwrap() {
            "create" => outcome(&adapter.read_create(&answer)),
            "poll" => polled(&adapter.read_poll(&remote, route, &answer)),
            "result" => polled(&adapter.read_result(&remote, &answer)),
            "cancel" => canceling(adapter.read_cancel(&answer)),
            "look_up" => page(&self.with_lost(|lost| adapter.read_look_up(lost, &answer))),
            "ping" => adapter.read_ping(&answer).map_or_else(|fault| json!(fault), |()| json!("well")),
            "prices" => json!(adapter.read_prices(&answer).map(|page| prices(&page.prices))),
            "offers" => json!(adapter.read_offers(&answer).map(|page| (page.endpoints, page.next))),
            "bill" => json!(adapter.read_bill(&self.bill_of(), None, &answer).map(bill)),
            "webhook" => match adapter.read_webhook(&verified(answer.body)) {
                Ok(notice) => json!({"remote": notice.remote, "verdict": notice.verdict}),
                Err(unreadable) => json!({"unreadable": unreadable.0}),
            },
            "download" => json!(adapter.read_download(&answer).map(|file| BASE64.encode(&file))),
            "token" => match adapter.read_exchange(&answer) {
                Ok(access) => json!({"key": access.key.expose(), "lasts_s": access.lasts.as_secs()}),
                Err(fault) => json!({"refused": fault}),
            },
            "challenge" => json!(adapter.challenge(&verified(answer.body))),
            other => panic!("nothing reads {other}"),
        }
    }

    fn route<'a>(&self, catalog: &'a Catalog) -> &'a Route {
        catalog.route(self.route.as_deref().unwrap()).unwrap()
    }

    fn with_order<T>(&self, act: impl FnOnce(&CreateOrder<'_>) -> T) -> T {
        let catalog = Catalog::for_providers(Provider::ALL);
        let request = JobRequest::new(self.order.clone().unwrap(), &catalog).unwrap();
        let route = self.route(&catalog);
        assert!(request.fits(route));
        let reference = "job_a.1";
        let image = picture("image");
        let last_frame = picture("last frame");
        let order = CreateOrder {
            request: &request,
            route,
            callback: self.callback.as_ref(),
            reference,
            image: request.image_url.as_ref().map(|_| &image),
            last_frame: request.last_frame_url.as_ref().map(|_| &last_frame),
        };
        act(&order)
    }

    fn with_lost<T>(&self, act: impl FnOnce(&Lost<'_>) -> T) -> T {
        let started_at = Timestamp::from_secs(self.started_at.unwrap());
        self.with_order(|order| act(&Lost { order: *order, started_at }))
    }

    /// Of the fifteen minutes before half past ten; with the setting `admin`, for a key that may read bills.
    fn bill_of(&self) -> BillOf<'static> {
        let until = Timestamp::from_secs(1_700_044_200);
        let period = Period { since: until.minus(Duration::from_secs(900)), until };
        BillOf { period, endpoints: Vec::new(), is_admin: self.settings.contains_key("admin") }
    }

    fn settings(&self, adapter: &dyn Adapter) -> Settings {
        let declared = adapter.setup().settings.iter();
        let value = |(name, default): &(&'static str, Option<&str>)| {
            let given = self.settings.get(*name).map(String::as_str);
            (*name, given.or(*default).unwrap_or_default().to_owned())
        };
        declared.map(value).collect()
    }
}

/// An image as if it were fetched.
pub(in crate::provider) fn picture(text: &str) -> Image {
    Image { bytes: Bytes::from(text.to_owned()), mime: "image/png" }
}

/// A body as if it were proved.
pub(in crate::provider) fn verified(body: Bytes) -> Verified<Bytes> {
    let secrets = CallbackSecrets::new(vec![Secret::new("test")]).unwrap();
    let provider = Provider::Fal;
    let token = secrets.sign(&Token { job: JobId::from_bytes([1; 16]), attempt: 1, provider });
    let token = secrets.verify(&token, provider).unwrap();
    Delivery::unsigned(&token, body).body
}

fn call(call: &Call) -> Value {
    let text =
        |(name, value): (&HeaderName, &http::HeaderValue)| (name.to_string(), json!(value.to_str().unwrap()));
    json!({
        "call": format!("{} https://{}{}", call.method, call.host, call.path_and_query),
        "headers": call.headers.iter().map(text).collect::<serde_json::Map<_, _>>(),
        "body": match &call.body {
            Some(Body::Json(body)) => body.clone(),
            Some(Body::Form(texts)) => json!({"form": texts}),
            Some(Body::Query(pairs)) => json!({"query": pairs}),
            None => Value::Null,
        },
    })
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Accepted { remote, cost } => json!({"accepted": remote, "cost": cost}),
        Outcome::Delivered { media, cost } => json!({"delivered": media.len(), "cost": cost}),
        Outcome::Refused { fault, .. } => json!({"refused": fault}),
        Outcome::NotSent(fault) => json!({"not_sent": fault}),
        Outcome::Unknown { cause, remote, answered } => {
            json!({"unknown": cause, "remote": remote, "answered": answered})
        }
    }
}

fn polled(polled: &Polled) -> Value {
    match polled {
        Polled::Pending => json!("pending"),
        Polled::Fetch(next) => json!({"fetch": call(next)["call"]}),
        Polled::Ended(verdict) => json!(verdict),
        Polled::Empty(fault) => json!({"empty": fault}),
        Polled::Busy(wait) => json!({"busy_s": wait.as_secs()}),
        Polled::Unreadable(cause) => json!({"unreadable": cause}),
    }
}

fn page(page: &Page) -> Value {
    let found = match &page.found {
        Found::Job(remote) => json!({"found": remote}),
        Found::Alike(remotes) => json!({"alike": remotes}),
        Found::Nothing => json!("nothing"),
        Found::Busy(wait) => json!({"busy_s": wait.as_secs()}),
        Found::Unreadable(cause) => json!({"unreadable": cause}),
    };
    match &page.next {
        Some(next) => json!({"page": found, "next": call(next)["call"]}),
        None => found,
    }
}

fn prices(list: &[Listed]) -> Value {
    let line = |line: &Listed| json!([line.endpoint, format!("{:?}", line.unit), line.price]);
    list.iter().map(line).collect()
}

fn bill(page: BillPage) -> Value {
    let line = |line: &Line| json!([line.remote, line.at.map(|at| at.since.to_string()), line.cost]);
    json!({"lines": page.lines.iter().map(line).collect::<Vec<_>>(), "next": page.next})
}

fn canceling(canceling: Canceling) -> Value {
    match canceling {
        Canceling::Unreadable(cause) => json!({"unreadable": cause}),
        other => json!(other.summary().0),
    }
}

/// Answers of proxies, and malformed ones: for every adapter a create is then unknown and a poll
/// unreadable.
#[test]
fn junk_is_never_a_verdict() {
    let junk: [&[u8]; 8] = [
        b"",
        b"<html><body>502 Bad Gateway</body></html>",
        br#"{"request_id":"764cabcf-b745-4b3e-ae38-1200304cf45b","id":"764ca"#,
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        br#"{"status":"EXPLODED","id":"764cabcf-b745-4b3e-ae38-1200304cf45b"}"#,
        &[b'x'; 1_000_000],
    ];
    let remote = RemoteJob { id: REMOTE_ID.to_owned(), handle: None };
    for &provider in Provider::ALL {
        let adapter = adapter(provider);
        for (index, body) in junk.iter().enumerate() {
            for status in [200, 202, 204, 301, 302, 307, 400, 404, 408, 418, 500, 502, 503, 504] {
                let case = format!("{provider}, body {index}, status {status}");
                let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body) };
                // An object with an id is a success, and one with a status that blames the call a refusal.
                if index != 6 || !matches!(status, 200..300 | 400 | 404) {
                    let created = adapter.read_create(&answer);
                    assert!(matches!(created, Outcome::Unknown { .. }), "{case}: {created:?}");
                }
                if index == 6 && status == 404 {
                    continue; // JSON that says "not found" is an answer
                }
                for polled in
                    [adapter.read_poll(&remote, "a/b/c", &answer), adapter.read_result(&remote, &answer)]
                {
                    // At fal, any object is an output: one without a file in it.
                    let is_empty = index == 6 && status < 300 && matches!(polled, Polled::Empty(_));
                    // At xAI, 202 alone says that a job is not over.
                    let is_bare = provider == Provider::Xai && (index, status) == (0, 202);
                    let is_empty = is_empty || (is_bare && polled == Polled::Pending);
                    assert!(is_empty || matches!(polled, Polled::Unreadable(_)), "{case}: {polled:?}");
                }
                // A success without a body is one; so is any object, as some tell nothing in it.
                if status >= 300 || !matches!(index, 0 | 6) {
                    let canceled = adapter.read_cancel(&answer);
                    assert!(matches!(canceled, Canceling::Unreadable(_)), "{case}: {canceled:?}");
                }
                assert!(adapter.read_ping(&answer).is_err(), "{case}");
            }
            let read = adapter.read_webhook(&verified(Bytes::copy_from_slice(body)));
            assert!(read.is_err() || (index == 6 && read.is_ok_and(|notice| notice.verdict.is_none())));
        }
    }
}

#[test]
fn a_refusal_by_status_needs_no_body() {
    for &provider in Provider::ALL {
        for (status, class) in [(401, "auth"), (403, "auth"), (429, "rate_limited")] {
            let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(b"<html>") };
            let created = adapter(provider).read_create(&answer);
            assert_eq!(created.summary(), ("refused", class), "{provider} {status}");
        }
    }
}

/// Whether the body has a code by which Kling or `MiniMax` documents that it blames the caller:
/// they alone tell more by a code than by the status.
fn blames_the_caller(provider: Provider, body: &Value) -> bool {
    let code = match provider {
        Provider::Kling | Provider::KlingLegacy => body["code"].as_u64(),
        Provider::Minimax => {
            let text = body["error"]["message"].as_str().unwrap_or_default();
            let in_text = text.rsplit_once('(').and_then(|(_, code)| code.strip_suffix(')')?.parse().ok());
            body["base_resp"]["status_code"].as_u64().filter(|code| *code != 0).or(in_text)
        }
        _ => None,
    };
    match provider {
        Provider::Minimax => {
            code.is_some_and(|code| matches!(code, 1002 | 1004 | 1008 | 1026 | 1027 | 1039 | 2_000..3_000))
        }
        _ => code.is_some_and(|code| matches!(code, 1_000..2_000)),
    }
}

/// Every error of theirs that we know, with every status that may come of a call which went
/// through: never a refusal.
#[test]
fn an_error_of_the_server_never_refuses_a_create() {
    let mut cases = 0;
    for &provider in Provider::ALL {
        let adapter = adapter(provider);
        for (case, fixture) in all(provider) {
            let Some(given) = fixture.answer.as_ref().filter(|_| fixture.read.as_deref() == Some("create"))
            else {
                continue;
            };
            if given.json.as_ref().is_some_and(|body| blames_the_caller(provider, body)) {
                continue;
            }
            for status in [408, 425, 499].into_iter().chain(500..600) {
                let created = adapter.read_create(&Answer { status, ..given.answer() });
                assert!(
                    matches!(created, Outcome::Unknown { .. }),
                    "{provider} {case} {status}: {created:?}"
                );
                cases += 1;
            }
        }
    }
    assert!(cases > 10_000, "{cases}");
}

#[test]
fn only_what_a_document_says_is_free_to_stop() {
    let free = Provider::ALL.iter().filter(|provider| adapter(**provider).capabilities().stop_is_free);
    let free: Vec<&str> = free.map(|provider| provider.name()).collect();
    assert_eq!(free, ["runway", "minimax", "byteplus", "dashscope"]);
}

mod given;
mod odd_fields;
