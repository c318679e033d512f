//! Test support: a simulator on a port, a manual clock, a receiver of webhooks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::frame::clock::Clock;
use crate::frame::simulator::{Definition, Options, Outward, Simulator, lock};
use crate::frame::wire::Wire;
use crate::providers::is_own;

/// How a provider is called, by its own tests and by those of the frame.
pub(crate) struct Client {
    pub(crate) provider: Provider,
    pub(crate) wire: &'static dyn Wire,
    /// What every call carries.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// The create of a video of this prompt, with a webhook where there is an address for it.
    pub(crate) create: fn(&Bench, &str, Option<&str>) -> RequestBuilder,
    /// The poll of the job that the create answered so.
    pub(crate) poll: fn(&Bench, &Value) -> RequestBuilder,
    /// Where a poll's answer has its status word.
    pub(crate) word: &'static str,
    /// The words for queued, running and succeeded.
    pub(crate) words: [&'static str; 3],
    /// The address of the video of a finished job that the create answered so.
    pub(crate) video: for<'a> fn(&'a Bench, &'a Value) -> BoxFuture<'a, String>,
}

pub(crate) struct Bench {
    pub(crate) client: &'static Client,
    pub(crate) simulator: Simulator,
    pub(crate) clock: ManualClock,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    server: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A clock that is turned by hand. Clones share one time.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicI64>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(Timestamp::from_secs(1_700_000_000).as_millis())))
    }
}

impl ManualClock {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The clock of a simulator that reads this one.
    pub(crate) fn read(&self) -> Clock {
        let clock = self.clone();
        Clock::new(move || clock.now())
    }
}

/// Without a network: no image is there, but for names that are reserved for documents.
pub(crate) fn outward() -> Outward {
    Outward::new(Arc::new(|_, _| std::future::ready(false).boxed())).unwrap()
}

impl Bench {
    pub(crate) async fn of(client: &'static Client) -> Self {
        Self::open(client, None, ManualClock::default()).await
    }

    /// Remote jobs run for 60 s where the prompt does not say.
    pub(crate) async fn open(client: &'static Client, file: Option<&Path>, clock: ManualClock) -> Self {
        let options = Options { latency: Duration::from_secs(60), ..Options::default() };
        let definition = Definition { provider: client.provider, wire: client.wire, is_own };
        let simulator = Simulator::open(definition, file, clock.read(), options, outward()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = simulator.clone();
        let server =
            tokio::spawn(async move { serving.serve(listener, std::future::pending()).await.unwrap() });
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { client, simulator, clock, base, http, server }
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A call as an adapter makes it, with a good key.
    pub(crate) fn call(&self, method: Method, address: &str) -> RequestBuilder {
        let url =
            if address.starts_with('/') { format!("{}{address}", self.base) } else { address.to_owned() };
        let call = self.http.request(method, url);
        self.client.headers.iter().fold(call, |call, (name, value)| call.header(*name, *value))
    }

    pub(crate) async fn get(&self, address: &str) -> (u16, Value) {
        read(self.call(Method::GET, address).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, address: &str, body: &Value) -> (u16, Value) {
        read(self.call(Method::POST, address).json(body).send().await.unwrap()).await
    }

    /// Makes a job of this prompt and gives the create answer.
    pub(crate) async fn create(&self, prompt: &str) -> Value {
        self.made(prompt, None).await
    }

    /// Makes a job of this prompt with a webhook.
    pub(crate) async fn create_with(&self, receiver: &Receiver, prompt: &str) -> Value {
        self.made(prompt, Some(&receiver.url)).await
    }

    async fn made(&self, prompt: &str, callback: Option<&str>) -> Value {
        let (code, body) = read((self.client.create)(self, prompt, callback).send().await.unwrap()).await;
        assert!((200..300).contains(&code), "{body}");
        body
    }
}

pub(crate) async fn read(response: reqwest::Response) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

pub(crate) fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}"))
}

/// A webhook receiver: stores the payloads and answers with the given codes.
pub(crate) struct Receiver {
    pub(crate) url: String,
    inbox: Arc<Inbox>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Inbox {
    payloads: Mutex<Vec<(HeaderMap, Bytes)>>,
    answers: Mutex<VecDeque<StatusCode>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    /// Answers these codes first, then 200.
    pub(crate) async fn answering(codes: &[u16]) -> Self {
        let inbox = Arc::new(Inbox::default());
        *lock(&inbox.answers) = codes.iter().map(|code| StatusCode::from_u16(*code).unwrap()).collect();
        let router = Router::new().fallback(take).with_state(inbox.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inbox, server }
    }

    pub(crate) fn payloads(&self) -> Vec<(HeaderMap, Bytes)> {
        lock(&self.inbox.payloads).clone()
    }

    /// The bodies, parsed.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.payloads().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Bytes) {
    lock(&inbox.payloads).push((headers, body.clone()));
    (lock(&inbox.answers).pop_front().unwrap_or(StatusCode::OK), body)
}
