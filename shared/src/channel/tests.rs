//! The guarded client against servers that misbehave.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::delivery::Outcome;
use domain::endpoint::{Endpoint, Kind};
use domain::public_url::Reach;
use domain::time::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use signatures::Secret;
use signatures::own::Master;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::Answer;
use super::{Channels, Envelope, Senders, Sent};
use crate::outside::guard::Guard;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Outcome = Outcome::Later { wait: None };

/// An answer of a vendor.
pub(super) fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
    Answer {
        status: http::StatusCode::from_u16(status).unwrap(),
        headers: headers.collect(),
        body: body.as_bytes().to_vec(),
    }
}

/// An endpoint of this kind and address.
pub(super) fn endpoint(kind: Kind, address: &str) -> Endpoint {
    let callbacks = Endpoint::of_callbacks("acct_anna".parse().unwrap());
    Endpoint { kind, address: address.to_owned(), ..callbacks }
}

async fn send(reach: Reach, address: &str) -> Sent {
    let master = Master::new(Secret::new("m".repeat(32))).unwrap();
    let channels = Channels::new(reach, master, Senders::default()).unwrap();
    channels.send(&endpoint(Kind::Webhook, address), Envelope { id: "evt_a", body: "{}" }, NOW).await
}

/// Answers one connection with these bytes, and then closes it.
async fn server(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _request = stream.read(&mut [0; 4096]).await;
        let _sent = stream.write_all(&answer).await;
    });
    url
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let hidden = server(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret".to_vec()).await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {hidden}\r\ncontent-length: 0\r\n\r\n");
    let sent = send(Reach::Loopback, &server(answer.into_bytes()).await).await;
    assert_eq!((sent.outcome, sent.status, sent.answer), (LATER, Some(302), None));
}

#[tokio::test]
async fn of_an_endless_answer_little_is_read_and_less_is_kept() {
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
    answer.extend(std::iter::repeat_n(b'x', 4_000_000));
    let sent = send(Reach::Loopback, &server(answer).await).await;
    assert_eq!((sent.outcome, sent.status), (Outcome::Delivered, Some(200)));
    assert_eq!(sent.answer.unwrap().len(), 1024);
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_its_status_is_that_status() {
    let sent = send(Reach::Loopback, &server(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await).await;
    assert_eq!(sent.outcome, Outcome::Delivered);
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf\0\x1b".to_vec();
    let sent = send(Reach::Loopback, &server(cut).await).await;
    assert_eq!((sent.outcome, sent.answer.as_deref()), (Outcome::Delivered, Some("half")));
}

#[tokio::test]
async fn bytes_that_are_no_text_stay_within_what_is_kept() {
    let mut answer = b"HTTP/1.1 500 Broken\r\ncontent-length: 5000\r\n\r\n".to_vec();
    answer.extend([0xff; 5_000]);
    let kept = send(Reach::Loopback, &server(answer).await).await.answer.unwrap();
    assert!((1_000..=1_024).contains(&kept.len()), "{}", kept.len());
}

/// The status is there, and then a byte a second.
#[expect(clippy::disallowed_methods, reason = "the server is slow")]
#[tokio::test]
async fn a_body_that_drips_does_not_hold_up_its_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _request = stream.read(&mut [0; 4096]).await;
        let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let sent = send(Reach::Loopback, &url).await;
    assert_eq!((sent.outcome, sent.status), (Outcome::Delivered, Some(200)));
    // All 50 bytes would take longer than the whole call may.
    assert!(sent.answer.unwrap().len() < 10);
}

#[tokio::test]
async fn no_answer_is_a_failure_with_its_cause() {
    let sent = send(Reach::Loopback, &server(Vec::new()).await).await;
    assert_eq!((sent.outcome, sent.status, sent.error), (LATER, None, Some("connection_broken")));
    let sent = send(Reach::Loopback, "http://127.0.0.1:1/").await;
    assert_eq!(sent.error, Some("no_connection"));
    let sent = send(Reach::Public, "https://no-such-host.invalid-name.example/").await;
    assert!(matches!(sent.error, Some("unknown_host" | "timeout" | "no_connection")), "{sent:?}");
}

#[tokio::test]
async fn an_address_that_is_not_public_is_not_called() {
    let forbidden = include_str!("../../domain/src/public_url/forbidden_addresses.txt");
    for address in forbidden.lines() {
        let sent = send(Reach::Public, address).await;
        assert_eq!(sent.outcome, LATER, "{address}");
        assert!(matches!(sent.error, Some("address_not_allowed" | "not_a_url")), "{address}: {sent:?}");
    }
    assert_eq!(send(Reach::Public, "no url").await.error, Some("not_a_url"));
}

/// A name whose address is another each time that it is asked for: a public one first, then this machine's.
#[derive(Debug, Clone, Default)]
struct Rebinding(Arc<AtomicUsize>);

impl Resolve for Rebinding {
    fn resolve(&self, _: Name) -> Resolving {
        let ip: IpAddr = match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Ipv4Addr::new(93, 184, 216, 34).into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        Box::pin(async move { Ok(Box::new(std::iter::once(SocketAddr::new(ip, 0))) as Addrs) })
    }
}

#[tokio::test]
async fn a_name_that_turns_to_this_machine_after_it_was_checked_is_not_called() {
    let names = Rebinding::default();
    let guard = Guard::with_names(Reach::Public, names.clone());
    let name = || "rebind.example".parse::<Name>().unwrap();
    let checked: Vec<_> = guard.resolve(name()).await.unwrap().collect();
    assert_eq!(checked.len(), 1, "at first it is public");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://rebind.example:{}/", listener.local_addr().unwrap().port());
    let master = Master::new(Secret::new("m".repeat(32))).unwrap();
    let channels =
        Channels::with_resolver(Reach::Public, master, Senders::default(), Arc::new(guard)).unwrap();
    let envelope = Envelope { id: "evt_a", body: "{}" };
    let sent = channels.send(&endpoint(Kind::Webhook, &address), envelope, NOW).await;
    assert_eq!((sent.outcome, sent.error), (LATER, Some("address_not_allowed")));
    assert_eq!(names.0.load(Ordering::SeqCst), 2);
    let came = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(came.is_err(), "it was called");
}

#[tokio::test]
async fn retry_after_is_kept_and_410_is_the_end() {
    let busy = b"HTTP/1.1 503 Busy\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n".to_vec();
    let sent = send(Reach::Loopback, &server(busy).await).await;
    assert_eq!(sent.outcome, Outcome::Later { wait: Some(Duration::from_secs(120)) });
    let gone = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n".to_vec();
    assert_eq!(send(Reach::Loopback, &server(gone).await).await.outcome, Outcome::Gone);
}
