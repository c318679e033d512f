//! The client against a server that returns the exact bytes of a test.

use std::cell::RefCell;
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

use super::fixtures::REMOTE_ID;
use super::server::{KEY, NOW, Reply, Server, answer, client, client_within};
use crate::provider::call::BODY_MAX;
use crate::provider::fetch::Downloader;
use crate::provider::{
    CallbackSecrets, Canceling, CreateOrder, Outcome, Polled, ProviderClient, ProviderConfig, Timeouts,
    Token, VerifyError,
};
use crate::trace;
use domain::catalog::Catalog;
use domain::id::{JobId, RemoteJob};
use domain::provider::Provider;
use domain::public_url::Reach;
use domain::request::{JobRequest, Order};
use domain::time::Timestamp;
use domain::trace::TraceId;
use domain::verdict::{ErrorClass, Verdict};
use signatures::Secret;

async fn create(client: &ProviderClient, provider: Provider) -> Outcome {
    let catalog = Catalog::for_providers(Provider::ALL);
    let order = Order { model: "veo-3.1".to_owned(), prompt: "a paper boat".to_owned(), ..Order::default() };
    let request = JobRequest::new(order, &catalog).unwrap();
    let mut routes = catalog.model("veo-3.1").unwrap().routes.iter();
    let route = routes.find(|route| route.provider == provider).unwrap();
    let order = CreateOrder::new(&request, route, "job_a.1");
    client.create(&Downloader::new(Reach::Loopback).unwrap(), provider, &order, NOW).await
}

fn remote() -> RemoteJob {
    RemoteJob { id: REMOTE_ID.to_owned(), handle: None }
}

/// Short where nothing will come.
fn patience(reply: &Reply) -> Duration {
    if matches!(reply, Reply::Hang) { Duration::from_millis(300) } else { Duration::from_secs(30) }
}

/// What a create at fal comes to if the server does this.
async fn create_at(reply: Reply) -> Outcome {
    let timeout = patience(&reply);
    let server = Server::start(vec![reply]);
    create(&client_within(timeout, Provider::Fal, &server.url), Provider::Fal).await
}

#[tokio::test]
async fn a_refused_connection_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let client = client(Provider::Fal, &url);
    assert_eq!(create(&client, Provider::Fal).await.summary(), ("not_sent", "provider_unavailable"));
    let polled = client.poll(Provider::Fal, &remote(), "fal/a/b", NOW).await;
    assert_eq!(polled, Polled::Unreadable("not_sent"));
    let (health, _) = client.ping(Provider::Fal, NOW).await;
    assert_eq!(health.unwrap_err().class, ErrorClass::ProviderUnavailable);
}

#[tokio::test]
async fn whatever_happens_after_sending_leaves_the_fate_unknown() {
    assert_eq!(create_at(Reply::Cut).await, Outcome::unknown("connection_lost"));
    assert_eq!(create_at(Reply::Hang).await, Outcome::unknown("timeout"));
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"request_id\":";
    assert_eq!(create_at(Reply::Answer(half.to_owned())).await, Outcome::unknown("connection_lost"));
    assert_eq!(
        create_at(Reply::Answer("HELLO\r\n\r\n".to_owned())).await,
        Outcome::unknown("connection_lost")
    );
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit() {
    let padded = |length: usize| {
        let body = format!(r#"{{"request_id":"{REMOTE_ID}","x":""#);
        format!("{body}{}\"}}", "x".repeat(length - body.len() - 2))
    };
    let fits = create_at(answer(200, "", &padded(BODY_MAX))).await;
    assert_eq!(fits.summary().0, "accepted");
    let too_long = create_at(answer(200, "", &padded(BODY_MAX + 1))).await;
    assert_eq!(too_long, Outcome::unknown("answer_too_long"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(vec![answer(200, "", "{}")]);
    let location = format!("location: {}x\r\n", elsewhere.url);
    assert_eq!(create_at(answer(307, &location, "")).await, Outcome::unknown("redirect"));
    assert_eq!(elsewhere.read(), Vec::<String>::new());
}

#[tokio::test]
async fn a_create_is_sent_once_with_key_and_labels() {
    let created = json!({"request_id": REMOTE_ID, "response_url": format!("https://queue.fal.run/fal-ai/veo3.1/requests/{REMOTE_ID}")});
    let server = Server::start(vec![answer(200, "", &created.to_string()), answer(500, "", "")]);
    let client = client(Provider::Fal, &server.url);
    let Outcome::Accepted { remote, cost: None } = create(&client, Provider::Fal).await else { panic!() };
    assert_eq!(remote.handle.unwrap(), format!("/fal-ai/veo3.1/requests/{REMOTE_ID}"));
    let requests = server.read();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("POST /fal-ai/veo3.1 HTTP/1.1\r\n"), "{}", requests[0]);
    for line in [format!("authorization: Key {KEY}"), "x-fal-tags: genmux=job_a.1".to_owned()] {
        assert!(requests[0].lines().any(|given| given == line), "{line} in {}", requests[0]);
    }
}

#[tokio::test]
async fn a_call_for_a_job_has_its_traceparent_and_no_other_has_one() {
    let server = Server::start(vec![answer(500, "", ""), answer(500, "", "")]);
    let client = client(Provider::Runway, &server.url);
    let job = JobId::from_bytes([7; 16]);
    let called = trace::unit("poll.v1", trace::Kind::Consumer, ["request", "message"], async {
        trace::note_job(&job);
        client.poll(Provider::Runway, &remote(), "", NOW).await;
        trace::current()
    });
    let expected = format!("traceparent: {}", called.await.unwrap());
    assert!(expected.contains(&TraceId::of_job(&job).to_string()));
    assert!(client.ping(Provider::Runway, NOW).await.0.is_err());
    let [polled, pinged] = &server.read()[..] else { panic!("two calls") };
    assert!(polled.lines().any(|line| line == expected), "{polled}");
    assert!(!pinged.contains("traceparent"), "{pinged}");
}

#[tokio::test]
async fn every_call_to_runway_has_the_version() {
    let server = Server::start(vec![
        answer(429, "retry-after: 7\r\n", "{}"),
        answer(404, "", "{}"),
        answer(500, "", ""),
    ]);
    let client = client(Provider::Runway, &server.url);
    let Outcome::Refused { retry_after, .. } = create(&client, Provider::Runway).await else { panic!() };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
    assert_eq!(client.poll(Provider::Runway, &remote(), "", NOW).await, Polled::Ended(Verdict::Gone));
    assert!(client.ping(Provider::Runway, NOW).await.0.is_err());
    let requests = server.read();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert!(request.contains("x-runway-version: 2024-11-06\r\n"), "{request}");
        assert!(request.contains(&format!("authorization: Bearer {KEY}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn a_provider_without_a_usable_key_is_never_called() {
    let server = Server::start(vec![answer(200, "", "{}")]);
    assert_eq!(
        create(&client(Provider::Runway, &server.url), Provider::Fal).await.summary(),
        ("not_sent", "auth")
    );
    let config = ProviderConfig {
        base_url: Some(server.url.clone()),
        ..ProviderConfig::new(Provider::Fal, Secret::new("a\nb"))
    };
    let client = ProviderClient::new(vec![config], Timeouts::default()).unwrap();
    assert_eq!(create(&client, Provider::Fal).await.summary(), ("not_sent", "auth"));
    assert_eq!(server.read(), Vec::<String>::new());
}

#[tokio::test]
async fn a_poll_fetches_the_result_once_it_is_over() {
    let over = json!({"status": "COMPLETED", "request_id": REMOTE_ID}).to_string();
    let result = json!({"video": {"url": "https://v3.fal.media/a.mp4"}}).to_string();
    let server = Server::start(vec![answer(200, "", &over), answer(200, "", &result)]);
    let polled = client(Provider::Fal, &server.url)
        .poll(Provider::Fal, &remote(), "fal/fal-ai/veo3.1/fast", NOW)
        .await;
    assert_eq!(polled.summary(), ("finished", ""));
    let paths: Vec<_> = server.read().iter().map(|text| text.lines().next().unwrap().to_owned()).collect();
    let path = format!("/fal-ai/veo3.1/requests/{REMOTE_ID}");
    assert_eq!(paths, [format!("GET {path}/status HTTP/1.1"), format!("GET {path} HTTP/1.1")]);
}

#[tokio::test]
async fn a_lost_result_is_asked_for_again_later() {
    let over = json!({"status": "COMPLETED"}).to_string();
    for reply in [Reply::Cut, answer(502, "", "<html>"), answer(500, "", r#"{"detail":"oops"}"#)] {
        let server = Server::start(vec![answer(200, "", &over), reply]);
        let polled = client(Provider::Fal, &server.url).poll(Provider::Fal, &remote(), "fal/a/b", NOW).await;
        assert!(matches!(polled, Polled::Unreadable(_)), "{polled:?}");
    }
}

#[tokio::test]
async fn canceling_never_destroys_a_result() {
    let task = |status: &str| {
        json!({"id": REMOTE_ID, "status": status, "output": ["https://a.example/a.mp4"]}).to_string()
    };
    let server = Server::start(vec![
        answer(200, "", &task("SUCCEEDED")),
        answer(200, "", &task("RUNNING")),
        answer(204, "", ""),
    ]);
    let client = client(Provider::Runway, &server.url);
    assert_eq!(client.cancel(Provider::Runway, &remote(), "", NOW).await, Canceling::TooLate);
    assert_eq!(client.cancel(Provider::Runway, &remote(), "", NOW).await, Canceling::Asked);
    let methods: Vec<_> =
        server.read().iter().map(|text| text.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["GET", "GET", "DELETE"]);
}

#[test]
fn calls_go_to_the_pinned_host_or_to_the_base_url() {
    let mut config = ProviderConfig::new(Provider::Fal, Secret::new(KEY));
    assert_eq!(config.url("queue.fal.run", "/a/b?c=d"), "https://queue.fal.run/a/b?c=d");
    config.base_url = Some("http://127.0.0.1:9/fal/".parse().unwrap());
    assert_eq!(config.url("queue.fal.run", "/a/b?c=d"), "http://127.0.0.1:9/fal/a/b?c=d");
    for base in ["http://127.0.0.1:9", "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/"] {
        config.base_url = Some(base.parse().unwrap());
        assert_eq!(config.url("openai.invalid", "/v1/videos"), "http://127.0.0.1:9/v1/videos");
    }
}

fn key_set(key: &SigningKey) -> Reply {
    let x = data_encoding::BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
    answer(200, "", &json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string())
}

fn signed(key: &SigningKey, body: &[u8], at: Timestamp) -> HeaderMap {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(body));
    let signature = key.sign(format!("r\nu\n{}\n{digest}", at.as_secs()).as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert("x-fal-webhook-request-id", HeaderValue::from_static("r"));
    headers.insert("x-fal-webhook-user-id", HeaderValue::from_static("u"));
    headers.insert("x-fal-webhook-timestamp", at.as_secs().into());
    let signature = data_encoding::HEXLOWER.encode(&signature.to_bytes());
    headers.insert("x-fal-webhook-signature", signature.parse().unwrap());
    headers
}

#[tokio::test]
async fn webhook_keys_are_kept_a_day_and_renewed_when_they_no_longer_fit() {
    let (old, new) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let server = Server::start(vec![key_set(&old), key_set(&old), key_set(&new), key_set(&new)]);
    let client = client(Provider::Fal, &server.url);
    let secrets = CallbackSecrets::new(vec![Secret::new("s")]).unwrap();
    let token = secrets.sign(&Token { job: JobId::from_bytes([1; 16]), attempt: 1, provider: Provider::Fal });
    let token = secrets.verify(&token, Provider::Fal).unwrap();
    let verify = async |key: &SigningKey, after_s: u64| {
        let now = NOW + Duration::from_secs(after_s);
        let body = Bytes::from_static(b"{}");
        let headers = signed(key, &body, now);
        let verified = client.verify_webhook(Provider::Fal, &token, &headers, body, now).await;
        (verified.map(|_| ()), server.read().len())
    };
    assert_eq!(verify(&old, 0).await, (Ok(()), 1), "the first needs the keys");
    assert_eq!(verify(&old, 86_400).await, (Ok(()), 0), "they are kept for a day");
    assert_eq!(verify(&old, 86_401).await, (Ok(()), 1), "and no longer");
    let forged = (Err(VerifyError::BadSignature), 0);
    assert_eq!(verify(&new, 86_460).await, forged, "just fetched: not again within the minute");
    assert_eq!(verify(&new, 86_461).await, (Ok(()), 1), "fetched anew for an unknown signature");
    assert_eq!(verify(&old, 86_462).await, forged, "but not for every one");
    assert_eq!(verify(&old, 86_522).await, (Err(VerifyError::BadSignature), 1), "once a minute");
    assert_eq!(
        verify(&new, 3 * 86_400).await,
        (Err(VerifyError::NoKeys), 0),
        "the keys are no longer served"
    );
}

#[tokio::test]
async fn keys_of_webhooks_are_fetched_without_ours() {
    let server = Server::start(vec![key_set(&SigningKey::from_bytes(&[1; 32]))]);
    assert!(client(Provider::Fal, &server.url).jwks(Provider::Fal, NOW).await.is_some());
    let request = server.read().remove(0);
    assert!(request.starts_with("GET /.well-known/jwks.json HTTP/1.1"), "{request}");
    assert!(!request.contains(KEY) && !request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn a_provider_that_sends_no_webhooks_or_is_not_configured_has_none_verified() {
    let server = Server::start(vec![]);
    let secrets = CallbackSecrets::new(vec![Secret::new("s")]).unwrap();
    let client = client(Provider::Runway, &server.url);
    for &provider in Provider::ALL {
        let token = secrets.sign(&Token { job: JobId::from_bytes([1; 16]), attempt: 1, provider });
        let token = secrets.verify(&token, provider).unwrap();
        let verified = client.verify_webhook(provider, &token, &HeaderMap::new(), Bytes::new(), NOW).await;
        assert_eq!(verified.unwrap_err(), VerifyError::NoWebhooks, "{provider}");
    }
}

/// A request to a known callback URL can trigger a key fetch.
#[tokio::test]
async fn without_any_keys_they_are_asked_for_once_a_minute() {
    let away = || answer(503, "", "");
    let key = SigningKey::from_bytes(&[1; 32]);
    let server = Server::start(vec![away(), away(), key_set(&key)]);
    let client = client(Provider::Fal, &server.url);
    let secrets = CallbackSecrets::new(vec![Secret::new("s")]).unwrap();
    let token = secrets.sign(&Token { job: JobId::from_bytes([1; 16]), attempt: 1, provider: Provider::Fal });
    let token = secrets.verify(&token, Provider::Fal).unwrap();
    let mut asked = Vec::new();
    for after_s in [0, 1, 59, 60, 61, 120, 121] {
        let now = NOW + Duration::from_secs(after_s);
        let body = Bytes::from_static(b"{}");
        let headers = signed(&key, &body, now);
        let verified = client.verify_webhook(Provider::Fal, &token, &headers, body, now).await;
        asked.push((after_s, verified.is_ok(), server.read().len()));
    }
    let want = [
        (0, false, 1),
        (1, false, 0),
        (59, false, 0),
        (60, false, 1),
        (61, false, 0),
        (120, true, 1),
        (121, true, 0),
    ];
    assert_eq!(asked, want);
}

thread_local! {
    /// What this thread has logged.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_call_is_one_line_that_tells_neither_key_nor_prompt() {
    // One listener for all threads: that a thread has none is remembered for every other.
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Lines).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::callsite::rebuild_interest_cache();
    let server = Server::start(vec![answer(401, "", r#"{"detail":"wrong key"}"#)]);
    let client = client(Provider::Fal, &server.url);
    create(&client, Provider::Fal).await;
    let log = String::from_utf8(LINES.take()).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    for part in
        ["provider.called", "\"fal\"", "\"create\"", "status=401", "\"refused\"", "\"auth\"", "duration_ms="]
    {
        assert!(log.contains(part), "{part} in {log}");
    }
    let mark = client.key_mark(Provider::Fal).unwrap().to_string();
    assert!(!log.contains("boat") && !log.contains(KEY) && !log.contains(&mark), "{log}");
    assert!(!format!("{client:?}").contains(KEY));
}
