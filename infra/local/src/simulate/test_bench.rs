//! Test support: a simulator on a port, a manual clock, a receiver of webhooks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use shared::boot::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::wire::Wire;
use super::{Options, Outward, Simulator, lock};

/// How a provider is called, by its own tests and by those of the frame.
pub(super) struct Client {
    pub(super) provider: Provider,
    pub(super) wire: &'static dyn Wire,
    /// What every call carries.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// The create of a video of this prompt, with a webhook where there is an address for it.
    pub(super) create: fn(&Bench, &str, Option<&str>) -> RequestBuilder,
    /// The poll of the job that the create answered so.
    pub(super) poll: fn(&Bench, &Value) -> RequestBuilder,
    /// Where a poll's answer has its status word.
    pub(super) word: &'static str,
    /// The words for queued, running and succeeded.
    pub(super) words: [&'static str; 3],
    /// The address of the video of a finished job that the create answered so.
    pub(super) video: for<'a> fn(&'a Bench, &'a Value) -> BoxFuture<'a, String>,
}

pub(super) struct Bench {
    pub(super) client: &'static Client,
    pub(super) simulator: Simulator,
    pub(super) clock: Clock,
    pub(super) base: String,
    pub(super) http: reqwest::Client,
    server: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Bench {
    pub(super) async fn of(client: &'static Client) -> Self {
        Self::open(client, None, Clock::manual(Timestamp::from_secs(1_700_000_000))).await
    }

    /// Remote jobs run for 60 s where the prompt does not say.
    pub(super) async fn open(client: &'static Client, file: Option<&Path>, clock: Clock) -> Self {
        let options = Options { latency: Duration::from_secs(60), ..Options::default() };
        let outward = Outward::new().unwrap();
        let simulator =
            Simulator::open_on(client.wire, client.provider, file, clock.clone(), options, outward).unwrap();
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

    pub(super) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A call as an adapter makes it, with a good key.
    pub(super) fn call(&self, method: Method, address: &str) -> RequestBuilder {
        let url =
            if address.starts_with('/') { format!("{}{address}", self.base) } else { address.to_owned() };
        let call = self.http.request(method, url);
        self.client.headers.iter().fold(call, |call, (name, value)| call.header(*name, *value))
    }

    pub(super) async fn get(&self, address: &str) -> (u16, Value) {
        read(self.call(Method::GET, address).send().await.unwrap()).await
    }

    pub(super) async fn post(&self, address: &str, body: &Value) -> (u16, Value) {
        read(self.call(Method::POST, address).json(body).send().await.unwrap()).await
    }

    /// Makes a job of this prompt and gives the create answer.
    pub(super) async fn create(&self, prompt: &str) -> Value {
        self.made(prompt, None).await
    }

    /// Makes a job of this prompt with a webhook.
    pub(super) async fn create_with(&self, receiver: &Receiver, prompt: &str) -> Value {
        self.made(prompt, Some(&receiver.url)).await
    }

    async fn made(&self, prompt: &str, callback: Option<&str>) -> Value {
        let (code, body) = read((self.client.create)(self, prompt, callback).send().await.unwrap()).await;
        assert!((200..300).contains(&code), "{body}");
        body
    }
}

pub(super) async fn read(response: reqwest::Response) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

pub(super) fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}"))
}

/// A webhook receiver: stores the payloads and answers with the given codes.
pub(super) struct Receiver {
    pub(super) url: String,
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
    pub(super) async fn answering(codes: &[u16]) -> Self {
        let inbox = Arc::new(Inbox::default());
        *lock(&inbox.answers) = codes.iter().map(|code| StatusCode::from_u16(*code).unwrap()).collect();
        let router = Router::new().fallback(take).with_state(inbox.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inbox, server }
    }

    pub(super) fn payloads(&self) -> Vec<(HeaderMap, Bytes)> {
        lock(&self.inbox.payloads).clone()
    }

    /// The bodies, parsed.
    pub(super) fn bodies(&self) -> Vec<Value> {
        self.payloads().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Bytes) {
    lock(&inbox.payloads).push((headers, body.clone()));
    (lock(&inbox.answers).pop_front().unwrap_or(StatusCode::OK), body)
}
