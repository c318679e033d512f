//! The guarded client: for addresses that came from outside.
//!
//! It connects to no address that is not public, follows no redirect, sends no credentials, and reads
//! little of the answer.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::delivery::{Outcome, RETRY_AFTER_MAX};
use domain::endpoint::{Endpoint, Kind};
use domain::public_url::Reach;
use domain::time::Timestamp;
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use signatures::own::Master;
use url::Url;

use super::{discord, slack, webhook};
use crate::outside::guard::{Guard, is_forbidden};
use crate::outside::retry_after::retry_after;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For the whole call, the answer included.
pub const CALL_MAX: Duration = Duration::from_secs(20);
/// For the body of the answer, which nothing depends on: a slow one must not hold up other deliveries.
const BODY_MAX: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read; the connection is closed after those.
const ANSWER_MAX: usize = 64 * 1024;
/// Bytes of an answer that are kept.
const ANSWER_KEPT: usize = 1024;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The event's id: the same for each try.
    pub id: &'a str,
    pub body: &'a str,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub outcome: Outcome,
    pub status: Option<u16>,
    /// Why there is no answer.
    pub error: Option<&'static str>,
    /// The begin of the answer.
    pub answer: Option<String>,
}

/// The answer of a server: its status, headers, and the begin of its body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends events to endpoints of every kind.
#[derive(Debug, Clone)]
pub struct Channels {
    http: reqwest::Client,
    reach: Reach,
    master: Master,
}

impl Channels {
    pub fn new(reach: Reach, master: Master) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent("Genmux")
            .connect_timeout(CONNECT_MAX)
            .timeout(CALL_MAX)
            .dns_resolver(Arc::new(Guard(reach)))
            .build()?;
        Ok(Self { http, reach, master })
    }

    /// One try to send an event to an endpoint.
    pub async fn send(&self, endpoint: &Endpoint, envelope: Envelope<'_>, now: Timestamp) -> Sent {
        let Some(url) = Url::parse(&endpoint.address).ok() else { return Sent::without("not_a_url") };
        if self.reach.check(&url).is_err() {
            return Sent::without("address_not_allowed");
        }
        let request = match endpoint.kind {
            Kind::Webhook => webhook::request(self.http.post(url), endpoint, envelope, &self.master, now),
            Kind::Slack => slack::request(self.http.post(url), envelope),
            Kind::Discord => discord::request(&self.http, url, envelope),
        };
        match answer(request).await {
            Ok(answer) => {
                let outcome = match endpoint.kind {
                    Kind::Webhook => webhook::outcome(&answer, now),
                    Kind::Slack => slack::outcome(&answer, now),
                    Kind::Discord => discord::outcome(&answer, now),
                };
                Sent {
                    outcome,
                    status: Some(answer.status.as_u16()),
                    error: None,
                    answer: begin_of(&answer.body),
                }
            }
            Err(error) => Sent::without(cause(&error)),
        }
    }
}

impl Sent {
    const fn without(cause: &'static str) -> Self {
        let outcome = Outcome::Later { wait: None };
        Self { outcome, status: None, error: Some(cause), answer: None }
    }
}

impl Answer {
    /// `Retry-After`, at most a day.
    pub(super) fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(&self.headers, RETRY_AFTER_MAX, now)
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let mut response = request.send().await?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let body = if status.is_informational() { Vec::new() } else { begin(response).await };
    Ok(Answer { status, headers, body })
}

/// The first [`ANSWER_MAX`] bytes that come within [`BODY_MAX`]. The status is the answer: a body that
/// breaks off changes nothing.
async fn begin(mut response: Response) -> Vec<u8> {
    let mut body: Vec<u8> = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let chunk: Bytes = chunk;
            let room = ANSWER_MAX - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == ANSWER_MAX {
                break;
            }
        }
    };
    let _is_whole = tokio::time::timeout(BODY_MAX, read).await;
    body
}

/// The begin of a body as text of at most [`ANSWER_KEPT`] bytes, without control characters.
fn begin_of(body: &[u8]) -> Option<String> {
    // What is not UTF-8 grows when it is replaced, so that the text is cut as well.
    let text = String::from_utf8_lossy(&body[..body.len().min(ANSWER_KEPT)]);
    let shown = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    let mut kept = String::new();
    for c in shown {
        if kept.len() + c.len_utf8() > ANSWER_KEPT {
            break;
        }
        kept.push(c);
    }
    (!kept.is_empty()).then_some(kept)
}

/// Why there was no answer, in a word.
fn cause(error: &reqwest::Error) -> &'static str {
    if is_forbidden(error).is_some() {
        return "address_not_allowed";
    }
    if error.is_timeout() {
        return "timeout";
    }
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if text.contains("certificate") {
            return "bad_certificate";
        }
        if text.contains("dns error") {
            return "unknown_host";
        }
        source = error.source();
    }
    if error.is_connect() { "no_connection" } else { "connection_broken" }
}
