//! A customer's server: it keeps what it receives, and answers as the test sets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use signatures::{Secret, Signing, StandardWebhooks, verify_signed};

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

type Answers = Mutex<BTreeMap<String, (u16, HeaderMap, String)>>;

#[derive(Debug, Clone)]
pub struct Receiver {
    pub base: String,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Answers>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("visible text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body in JSON")
    }

    /// Whether this secret signed it; `whpk_` for the public key of `v1a`.
    pub fn is_signed_by(&self, key: &str) -> bool {
        let scheme = match key.starts_with("whpk_") {
            true => StandardWebhooks::ed25519(&[key]),
            false => StandardWebhooks::new(&[Secret::new(key)]),
        };
        let signing = Signing::StandardWebhooks(scheme.expect("a well-formed key"));
        let at = self.header("webhook-timestamp").parse().expect("a number");
        verify_signed(&signing, "", &self.headers, self.body.clone(), at).is_ok()
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let receiver = Self { base, received: Arc::default(), answers: Arc::default() };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sets the answer of this path; without this, it is 200.
    pub fn answers(&self, path: &str, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| {
            let name = axum::http::HeaderName::from_static(name);
            (name, value.parse().expect("a header"))
        });
        let answer = (status, headers.collect(), body.to_owned());
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), answer);
    }

    /// What came to this path, in order.
    pub fn at(&self, path: &str) -> Vec<Received> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().filter(|one| one.path == path).cloned().collect()
    }

    pub fn count(&self, path: &str) -> usize {
        self.at(path).len()
    }
}

async fn take(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let answer = receiver.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
    let one = Received { path, headers, body };
    receiver.received.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    let (status, headers, body) = answer.unwrap_or((200, HeaderMap::new(), String::new()));
    (StatusCode::from_u16(status).expect("a status"), headers, body).into_response()
}
