//! The guarded client: for addresses that came from outside, and for the vendors of channels.
//!
//! It connects to no address that is not public, follows no redirect, and reads little of the answer. Only
//! a vendor's own host is sent the owner's credentials.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::delivery::{Outcome, RETRY_AFTER_MAX};
use domain::endpoint::{Endpoint, Kind, Need};
use domain::public_url::Reach;
use domain::time::Timestamp;
use http::{HeaderMap, StatusCode};
use reqwest::dns::Resolve;
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, RequestBuilder, Response};
use serde_json::Value;
use signatures::own::Master;
use url::Url;

use super::aws::{push, targets};
use super::senders::{NO_SENDER, NO_TOKEN, SENDER_REFUSED, SenderRefused, Senders};
use super::{apns, cloud_run, discord, email, fcm, pubsub, slack, sms, telegram, webhook};
use crate::outside::client;
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
    /// Why there is no answer, or what is wrong beside it.
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
    /// For the one vendor that speaks nothing else, and wants its connections kept.
    http2: Option<reqwest::Client>,
    reach: Reach,
    master: Master,
    senders: Senders,
}

impl Channels {
    pub fn new(reach: Reach, master: Master, senders: Senders) -> Result<Self, reqwest::Error> {
        Self::with_resolver(reach, master, senders, Arc::new(Guard::new(reach)))
    }

    /// With another resolver, which must be a guard.
    pub(super) fn with_resolver(
        reach: Reach,
        master: Master,
        senders: Senders,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, reqwest::Error> {
        let with = |builder: ClientBuilder| {
            builder
                .redirect(Policy::none())
                .referer(false)
                .user_agent("Genmux")
                .connect_timeout(CONNECT_MAX)
                .timeout(CALL_MAX)
                .dns_resolver(Arc::clone(&resolver))
        };
        // A kept connection may be dead after a pause of the instance, and a mail on it counts as sent.
        let http = with(client::builder()).pool_max_idle_per_host(0).build()?;
        let http2 = senders.apns.as_ref().map(|_| with(client::http2()).build()).transpose()?;
        Ok(Self { http, http2, reach, master, senders })
    }

    /// One try to send an event to an endpoint.
    pub async fn send(&self, endpoint: &Endpoint, envelope: Envelope<'_>, now: Timestamp) -> Sent {
        let request = match self.request(endpoint, envelope, now).await {
            Ok(request) => request,
            Err(cause) => return Sent::without(cause),
        };
        match answer(request).await {
            Ok(answer) => self.read(endpoint.kind, &answer, now),
            // It was not sent, or the call is made again all the same.
            Err(error) if error.is_connect() || error.is_builder() || endpoint.kind.repeats() => {
                Sent::without(cause(&error))
            }
            // It may have arrived.
            Err(error) => Sent { outcome: Outcome::Delivered, ..Sent::without(cause(&error)) },
        }
    }

    /// The one request, or why there is none.
    async fn request(
        &self,
        endpoint: &Endpoint,
        envelope: Envelope<'_>,
        now: Timestamp,
    ) -> Result<RequestBuilder, &'static str> {
        let address = endpoint.address.as_str();
        Ok(match endpoint.kind {
            Kind::Webhook => {
                webhook::request(self.http.post(self.url(address)?), endpoint, envelope, &self.master, now)
            }
            Kind::Slack => slack::request(self.http.post(self.url(address)?), envelope),
            Kind::Discord => discord::request(&self.http, self.url(address)?, envelope),
            Kind::Telegram => telegram::request(self, address, envelope)?,
            Kind::Email => email::request(self, endpoint, envelope, now).await?,
            Kind::Sms => sms::request(self, endpoint, envelope, now).await?,
            Kind::Sns | Kind::Sqs | Kind::Eventbridge | Kind::Lambda => {
                targets::request(self, endpoint, envelope, now).await?
            }
            Kind::Fcm => fcm::request(self, address, envelope, now).await?,
            Kind::Apns => apns::request(self, address, envelope, now)?,
            Kind::SnsPush => push::request(self, address, envelope, now).await?,
            Kind::Pubsub => pubsub::request(self, address, envelope, now).await?,
            Kind::CloudRun => cloud_run::request(self, self.url(address)?, endpoint, envelope, now).await?,
            // By [`super::SocketGateway`], to each connection.
            Kind::Websocket => return Err(NO_SENDER),
        })
    }

    /// An address that a customer named.
    fn url(&self, address: &str) -> Result<Url, &'static str> {
        let url = Url::parse(address).map_err(|_not_one| "not_a_url")?;
        self.reach.check(&url).map_err(|_why| "address_not_allowed")?;
        Ok(url)
    }

    /// A URL of a vendor, at its host or at the simulators'.
    pub(super) fn vendor(&self, host: &str, path: &str) -> String {
        match &self.senders.base_url {
            Some(base) => format!("{}{path}", base.as_str().trim_end_matches('/')),
            None => format!("https://{host}{path}"),
        }
    }

    /// A call of a vendor.
    pub(super) fn post(&self, host: &str, path: &str) -> RequestBuilder {
        self.http.post(self.vendor(host, path))
    }

    pub(super) const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(super) const fn http2(&self) -> Option<&reqwest::Client> {
        self.http2.as_ref()
    }

    pub(super) const fn senders(&self) -> &Senders {
        &self.senders
    }

    pub(super) const fn master(&self) -> &Master {
        &self.master
    }

    /// What an answer means.
    fn read(&self, kind: Kind, answer: &Answer, now: Timestamp) -> Sent {
        let outcome = match kind {
            Kind::Webhook | Kind::CloudRun | Kind::Websocket => Ok(webhook::outcome(answer, now)),
            Kind::Slack => Ok(slack::outcome(answer, now)),
            Kind::Discord => Ok(discord::outcome(answer, now)),
            Kind::Telegram => telegram::outcome(answer, now),
            Kind::Sms => sms::outcome(self.senders.sms.as_ref(), answer, now),
            Kind::Sns | Kind::Sqs | Kind::Eventbridge | Kind::Lambda => targets::outcome(answer, now),
            Kind::Fcm => fcm::outcome(answer, now),
            Kind::Apns => apns::outcome(answer, now),
            Kind::SnsPush => push::outcome(answer, now),
            Kind::Pubsub => pubsub::outcome(answer, now),
            Kind::Email => {
                email::outcome(self.senders.email.as_ref().map(|mailer| &mailer.service), answer, now)
            }
        };
        let status = answer.status.as_u16();
        // A gateway gave up waiting: it may have arrived.
        let is_unknown = status == 504 && !kind.repeats();
        let refused = outcome.is_err().then_some(SENDER_REFUSED);
        if refused.is_some() {
            tracing::error!(kind = kind.name(), status, "sender.refused");
        }
        Sent {
            outcome: match outcome {
                _ if is_unknown => Outcome::Delivered,
                Ok(outcome) => outcome,
                Err(SenderRefused) => Outcome::Later { wait: None },
            },
            status: Some(status),
            error: refused,
            // What a vendor says of the owner's account is not for customers.
            answer: begin_of(&answer.body).filter(|_| kind.needs() == Need::Nothing),
        }
    }
}

impl Sent {
    const fn without(cause: &'static str) -> Self {
        let outcome = Outcome::Later { wait: None };
        Self { outcome, status: None, error: Some(cause), answer: None }
    }

    /// Whether it failed by what the owner sends with, which says nothing of the endpoint.
    pub fn is_by_sender(&self) -> bool {
        matches!(self.error, Some(SENDER_REFUSED | NO_SENDER | NO_TOKEN))
    }
}

impl Answer {
    /// `Retry-After`, at most a day.
    pub(super) fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(&self.headers, RETRY_AFTER_MAX, now)
    }

    /// Its body, or null if that is no JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A wait that its body tells: seconds, perhaps with a fraction. Rounded up, and at most a day.
    pub(super) fn wait(seconds: &Value) -> Option<Duration> {
        let seconds = seconds.as_f64().filter(|seconds| *seconds >= 0.0)?;
        Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(RETRY_AFTER_MAX).min(RETRY_AFTER_MAX))
    }
}

pub(super) async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
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
