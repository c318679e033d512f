//! Keys that are exchanged, images that go as bytes, files that come in an answer.

use std::time::Duration;

use url::Url;

use super::server::{NOW, Reply, Server, answer};
use crate::outside::google_key::file;
use crate::provider::fetch::{DownloadError, Downloader};
use crate::provider::{CreateOrder, CredentialId, Outcome, ProviderClient, ProviderConfig, Timeouts};
use domain::catalog::Catalog;
use domain::provider::Provider;
use domain::public_url::{PublicUrl, Reach};
use domain::request::JobRequest;
use domain::verdict::{Billed, ErrorClass, Fault};
use signatures::Secret;

const IMAGE: &str = "RIFF____WEBPVP8 a picture";

fn client(provider: Provider, key: Secret, base_url: &Url) -> ProviderClient {
    let config = ProviderConfig { base_url: Some(base_url.clone()), ..ProviderConfig::new(provider, key) };
    ProviderClient::new(vec![config], Timeouts::default()).unwrap()
}

fn token(text: &str) -> Reply {
    answer(200, "", &format!(r#"{{"access_token":"{text}","expires_in":3599,"token_type":"Bearer"}}"#))
}

fn well() -> Reply {
    answer(200, "", r#"{"name":"publishers/google/models/veo-3.1-generate-001"}"#)
}

/// The first lines of the requests, with the bearer of each.
fn bearers(server: &Server) -> Vec<String> {
    let bearer = |text: &String| {
        let line = text.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
        format!("{} {}", text.split(' ').nth(1).unwrap(), line.unwrap_or("-"))
    };
    server.read().iter().map(bearer).collect()
}

#[tokio::test]
async fn a_key_is_exchanged_once_an_hour_and_when_its_token_is_not_taken() {
    let server = Server::start(vec![
        token("first"),
        well(),
        well(),
        token("second"),
        answer(401, "", "{}"),
        token("third"),
        well(),
    ]);
    let client = client(Provider::Vertex, file(), &server.url);
    let ping = async |after_s: u64| client.ping(Provider::Vertex, NOW + Duration::from_secs(after_s)).await.0;
    let model = "/v1/publishers/google/models/veo-3.1-generate-001";
    assert_eq!(ping(0).await, Ok(()));
    assert_eq!(ping(3_400).await, Ok(()));
    assert_eq!(bearers(&server), ["/token -".to_owned(), format!("{model} first"), format!("{model} first")]);
    assert!(ping(3_500).await.is_err());
    assert_eq!(bearers(&server), ["/token -".to_owned(), format!("{model} second")]);
    assert_eq!(ping(3_501).await, Ok(()));
    assert_eq!(bearers(&server), ["/token -".to_owned(), format!("{model} third")]);
}

#[tokio::test]
async fn two_keys_at_one_provider_share_neither_call_nor_token() {
    let server = Server::start(vec![
        token("ours"),
        well(),
        token("theirs"),
        answer(401, "", "{}"),
        well(),
        token("theirs-anew"),
        well(),
    ]);
    let account = CredentialId::of_account("acct_anna".parse().unwrap(), Provider::Vertex);
    let config = |credential| ProviderConfig {
        base_url: Some(server.url.clone()),
        ..ProviderConfig::new(credential, file())
    };
    let configs = vec![config(CredentialId::deployment(Provider::Vertex)), config(account.clone())];
    let client = ProviderClient::new(configs, Timeouts::default()).unwrap();
    assert_eq!(client.ping(Provider::Vertex, NOW).await.0, Ok(()));
    assert!(client.ping(account.clone(), NOW).await.0.is_err());
    assert_eq!(client.ping(Provider::Vertex, NOW).await.0, Ok(()));
    assert_eq!(client.ping(account, NOW).await.0, Ok(()));
    let sent: Vec<_> =
        bearers(&server).iter().map(|line| line.split(' ').next_back().unwrap().to_owned()).collect();
    assert_eq!(sent, ["-", "ours", "-", "theirs", "ours", "-", "theirs-anew"]);
    let other = CredentialId::of_account("acct_bert".parse().unwrap(), Provider::Vertex);
    assert_eq!(client.ping(other, NOW).await.0.unwrap_err().code.as_deref(), Some("not_configured"));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let refused = || answer(400, "", r#"{"error":"invalid_grant"}"#);
    for (reply, class) in [
        (refused(), "auth"),
        (answer(503, "", ""), "provider_unavailable"),
        (Reply::Cut, "provider_unavailable"),
        (answer(302, "location: https://elsewhere.example/\r\n", ""), "provider_unavailable"),
    ] {
        let server = Server::start(vec![reply, well()]);
        let created = create(Provider::Vertex, file(), &server.url, None).await;
        assert_eq!(created.summary(), ("not_sent", class));
        assert_eq!(bearers(&server), ["/token -"]);
    }
    let server = Server::start(vec![well()]);
    let created = create(Provider::Vertex, Secret::new("AIza-no-key-file"), &server.url, None).await;
    assert_eq!(created.summary(), ("not_sent", "auth"));
    assert_eq!(server.read(), Vec::<String>::new());
}

async fn create(provider: Provider, key: Secret, base_url: &Url, image: Option<&Url>) -> Outcome {
    let catalog = Catalog::for_providers(&[provider]);
    let route = &catalog.models().next().unwrap().routes[0];
    let request = JobRequest {
        prompt: "a boat".to_owned(),
        image_url: image.map(|url| PublicUrl::parse(url.as_str(), Reach::Loopback).unwrap()),
        duration_s: Some(6),
        aspect_ratio: Some("16:9".to_owned()),
        resolution: "720p".to_owned(),
        ..JobRequest::default()
    };
    let order = CreateOrder::new(&request, route, "job_a.1");
    let mut config =
        ProviderConfig { base_url: Some(base_url.clone()), ..ProviderConfig::new(provider, key) };
    config.settings = [
        ("GOOGLE_CLOUD_LOCATION", "us-central1".to_owned()),
        ("VERTEX_STORAGE_URI", "gs://bucket/x".to_owned()),
    ]
    .into_iter()
    .collect();
    let client = ProviderClient::new(vec![config], Timeouts::default()).unwrap();
    client.create(&Downloader::new(Reach::Loopback).unwrap(), provider, &order, NOW).await
}

#[tokio::test]
async fn an_image_is_fetched_without_the_key_and_goes_as_bytes() {
    let images = Server::start(vec![answer(200, "", IMAGE)]);
    let server = Server::start(vec![answer(200, "", r#"{"id":"v1_a","status":"queued"}"#)]);
    let created = create(Provider::Gemini, Secret::new("a-key"), &server.url, Some(&images.url)).await;
    assert_eq!(created.summary().0, "accepted");
    let fetched = images.read();
    assert!(fetched.len() == 1 && !fetched[0].contains("a-key"), "{fetched:?}");
    let sent = server.read().remove(0);
    assert!(sent.contains("x-goog-api-key: a-key\r\n"));
    let data = data_encoding::BASE64.encode(IMAGE.as_bytes());
    assert!(sent.contains("image/webp") && sent.contains(&data), "{sent}");
}

/// Its server may reach what the caller cannot: it is never given a URL of the caller's.
#[tokio::test]
async fn an_own_server_gets_the_image_itself_and_no_url() {
    let images = Server::start(vec![answer(200, "", IMAGE)]);
    let server = Server::start(vec![answer(200, "", r#"{"id":"video_a","status":"queued"}"#)]);
    let created = create(Provider::Openai, Secret::new("a-key"), &server.url, Some(&images.url)).await;
    assert_eq!(created.summary().0, "accepted");
    let sent = server.read().remove(0);
    let data = data_encoding::BASE64.encode(IMAGE.as_bytes());
    assert!(sent.contains(&format!("\"image_url\":\"data:image/webp;base64,{data}\"")), "{sent}");
    assert!(!sent.contains(images.url.as_str()), "{sent}");
}

#[tokio::test]
async fn without_its_image_nothing_is_sent() {
    let long = format!("{IMAGE}{}", "x".repeat(10 << 20));
    for (reply, code) in [
        (answer(404, "", ""), "image_unavailable"),
        (Reply::Cut, "image_unavailable"),
        (answer(302, "location: http://169.254.169.254/\r\n", ""), "image_unavailable"),
        (answer(200, "", "<html>Log in</html>"), "image_of_unknown_kind"),
        (answer(200, "", &long), "image_too_large"),
    ] {
        let images = Server::start(vec![reply]);
        let server = Server::start(vec![answer(200, "", r#"{"id":"v1_a"}"#)]);
        let created = create(Provider::Gemini, Secret::new("a-key"), &server.url, Some(&images.url)).await;
        let fault = Fault::new(ErrorClass::InvalidRequest, Some(code), Billed::No);
        assert_eq!(created, Outcome::NotSent(fault));
        assert_eq!(server.read(), Vec::<String>::new(), "{code}");
    }
}

#[tokio::test]
async fn a_video_inside_an_answer_is_taken_out_of_it() {
    use futures_util::StreamExt;
    let json = "content-type: application/json; charset=UTF-8\r\n";
    let step = r#"{"type":"model_output","content":[{"type":"video","data":"dmlkZW8="}]}"#;
    let server = Server::start(vec![
        answer(200, json, &format!(r#"{{"id":"v1_a","status":"completed","steps":[{step}]}}"#)),
        answer(200, json, r#"{"id":"v1_a","status":"completed","steps":[]}"#),
        answer(404, json, "{}"),
        answer(403, json, "{}"),
        answer(401, json, "{}"),
    ]);
    let (client, downloads) = (
        client(Provider::Gemini, Secret::new("a-key"), &server.url),
        Downloader::new(Reach::Loopback).unwrap(),
    );
    let url = "https://generativelanguage.googleapis.com/v1beta/interactions/v1_a";
    let open = async || client.download(&downloads, Provider::Gemini, url, NOW).await;
    let mut file = open().await.unwrap();
    assert_eq!(file.length, Some(5));
    assert_eq!(file.body.next().await.unwrap().unwrap(), "video");
    assert!(file.body.next().await.is_none());
    assert!(matches!(open().await, Err(DownloadError::NotTheFile)));
    assert!(matches!(open().await, Err(DownloadError::Gone(404))));
    // A paid file is not lost because our key was not taken.
    assert!(matches!(open().await, Err(DownloadError::Later(_))));
    assert!(matches!(open().await, Err(DownloadError::Later(_))));
    assert!(server.read().iter().all(|request| request.contains("x-goog-api-key: a-key\r\n")));
}

#[tokio::test]
async fn a_file_whose_server_says_when_to_come_again_is_busy() {
    let busy = |status| answer(status, "retry-after: 90\r\n", "");
    let (later, gone) = (answer(503, "", ""), answer(404, "retry-after: 90\r\n", ""));
    let server = Server::start(vec![busy(429), busy(503), later, gone, busy(429)]);
    let client = client(Provider::Gemini, Secret::new("a-key"), &server.url);
    let downloads = Downloader::new(Reach::Loopback).unwrap();
    let plain = async || downloads.open(server.url.as_str(), NOW).await.unwrap_err();
    for _ in [429, 503] {
        assert!(matches!(plain().await, DownloadError::Busy(wait) if wait == Duration::from_secs(90)));
    }
    assert!(matches!(plain().await, DownloadError::Later(_)));
    assert!(matches!(plain().await, DownloadError::Gone(404)));
    let url = "https://generativelanguage.googleapis.com/v1beta/interactions/v1_a";
    let downloaded = client.download(&downloads, Provider::Gemini, url, NOW).await;
    assert!(matches!(downloaded, Err(DownloadError::Busy(wait)) if wait == Duration::from_secs(90)));
}

#[test]
fn a_key_mark_changes_with_key_and_origin_alone() {
    let mark = |key: &str, origin: Option<&str>| {
        let base_url = origin.map(|origin| origin.parse().unwrap());
        let config = ProviderConfig { base_url, ..ProviderConfig::new(Provider::Fal, Secret::new(key)) };
        let client = ProviderClient::new(vec![config], Timeouts::default()).unwrap();
        assert_eq!(client.key_mark(Provider::Runway), None);
        client.key_mark(Provider::Fal).unwrap()
    };
    let marks = [
        mark("a key", None),
        mark("another key", None),
        mark("a key", Some("http://127.0.0.1:9")),
        mark("a key", Some("http://127.0.0.1:10")),
    ];
    for (index, given) in marks.iter().enumerate() {
        assert!(!marks[..index].contains(given), "{marks:?}");
    }
    assert_eq!(mark("a key", None), marks[0]);
    assert_eq!(mark("a key", Some("http://127.0.0.1:9/")), marks[2]);
}
