//! What the simulators' tests share: a provider on a port, a clock turned by hand, a receiver of
//! webhooks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};
use shared::boot::Clock;
use shared::domain::time::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Options, Provider, Simulator, lock};

pub(super) const VEO: &str = "/fal-ai/veo3.1/fast";

pub(super) struct Bench {
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
    pub(super) async fn fal() -> Self {
        Self::open(Provider::Fal, None, Clock::manual(Timestamp::from_secs(1_700_000_000))).await
    }

    pub(super) async fn runway() -> Self {
        Self::open(Provider::Runway, None, Clock::manual(Timestamp::from_secs(1_700_000_000))).await
    }

    /// Remote jobs run for 60 s where the prompt does not say.
    pub(super) async fn open(provider: Provider, file: Option<&Path>, clock: Clock) -> Self {
        let options = Options { latency: Duration::from_secs(60), ..Options::default() };
        let simulator = Simulator::open(provider, file, clock.clone(), options).unwrap();
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
        Self { simulator, clock, base, http, server }
    }

    pub(super) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A call as an adapter makes it, with a good key.
    pub(super) fn call(&self, method: Method, address: &str) -> reqwest::RequestBuilder {
        let url =
            if address.starts_with('/') { format!("{}{address}", self.base) } else { address.to_owned() };
        let call = self.http.request(method, url);
        match self.simulator.provider {
            Provider::Fal => call.header("Authorization", "Key id:secret"),
            Provider::Runway => {
                call.header("Authorization", "Bearer secret").header("X-Runway-Version", "2024-11-06")
            }
        }
    }

    pub(super) async fn get(&self, address: &str) -> (u16, Value) {
        read(self.call(Method::GET, address).send().await.unwrap()).await
    }

    pub(super) async fn post(&self, address: &str, body: &Value) -> (u16, Value) {
        read(self.call(Method::POST, address).json(body).send().await.unwrap()).await
    }

    /// Makes a job of this prompt and gives the create answer.
    pub(super) async fn create(&self, prompt: &str) -> Value {
        let (code, body) = match self.simulator.provider {
            Provider::Fal => self.post(VEO, &json!({"prompt": prompt, "duration": "4s"})).await,
            Provider::Runway => self.post("/v1/text_to_video", &gen45(prompt)).await,
        };
        assert_eq!(code, 200, "{body}");
        body
    }

    /// Makes a fal job of this prompt with a webhook.
    pub(super) async fn create_with(&self, receiver: &Receiver, prompt: &str) -> Value {
        let address = format!("{VEO}?fal_webhook={}", receiver.url);
        let (code, body) = self.post(&address, &json!({"prompt": prompt})).await;
        assert_eq!(code, 200, "{body}");
        body
    }
}

pub(super) async fn read(response: reqwest::Response) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

pub(super) fn gen45(prompt: &str) -> Value {
    json!({"model": "gen4.5", "promptText": prompt, "ratio": "1280:720", "duration": 4})
}

pub(super) fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}"))
}

/// A customer of fal's: keeps what it gets, answers what it is told to.
pub(super) struct Receiver {
    pub(super) url: String,
    inbox: Arc<Inbox>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Inbox {
    letters: Mutex<Vec<(HeaderMap, Bytes)>>,
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

    pub(super) fn letters(&self) -> Vec<(HeaderMap, Bytes)> {
        lock(&self.inbox.letters).clone()
    }

    /// The bodies, parsed.
    pub(super) fn bodies(&self) -> Vec<Value> {
        self.letters().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    lock(&inbox.letters).push((headers, body));
    lock(&inbox.answers).pop_front().unwrap_or(StatusCode::OK)
}
