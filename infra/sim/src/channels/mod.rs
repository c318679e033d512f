//! Simulated vendors of channels: all on one port, each with its own paths.
//!
//! They check what is sent as the vendors do, and keep it in memory. Some addresses are always answered in
//! a certain way: see `docs/simulator.md`. A test says by [`Channels::play`] how the next call is answered.

mod apns;
mod aws;
mod discord;
mod google;
mod platforms;
mod sendgrid;
mod server;
mod slack;
mod telegram;
#[cfg(test)]
mod tests;
mod twilio;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::time::Timestamp;
use http::StatusCode;
use http::request::Parts;
use serde_json::Value;

use crate::frame::clock::Clock;
use crate::frame::simulator::lock;
use crate::frame::wire::Inbound;

/// Whether a call of a service of AWS is signed with the key of the local stack.
pub fn is_signed(now: Timestamp, parts: Parts, body: Bytes, service: &str) -> bool {
    aws::is_signed(now, &Inbound { parts, body }, service) == Some(true)
}

/// A message that a vendor took.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Of the vendor, as `telegram`.
    pub channel: &'static str,
    pub to: String,
    pub text: String,
    /// What was sent.
    pub body: Value,
}

/// How a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// The vendor's rate limit, for so many seconds.
    Busy(u32),
    /// The address does not exist any more.
    Gone,
    /// The sender's credentials are refused.
    Unauthorized,
    /// The vendor is down.
    Down,
    /// The message is taken, and the answer comes this late.
    Slow(Duration),
    /// The message is taken, and the connection ends without an answer.
    Lost,
}

/// What a vendor refuses a call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Busy(u32),
    Gone,
    Unauthorized,
    Down,
}

/// What a vendor takes, with its answer; or the answer to a call that it refuses.
type Took = Result<(Option<Taken>, Response), Box<Response>>;

/// One vendor's wire format.
trait Channel: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;

    /// Whether a call is for this vendor.
    fn is_for(&self, call: &Inbound) -> bool;

    /// An answer without a message is one to a call that sends none.
    fn take(&self, channels: &Channels, call: &Inbound) -> Took;

    fn refusal(&self, refusal: Refusal) -> Response;

    /// What its clients are given, by variable.
    fn credentials(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

const ALL: [&dyn Channel; 16] = [
    &slack::Slack,
    &discord::Discord,
    &telegram::Telegram,
    &sendgrid::Sendgrid,
    &twilio::Twilio,
    &aws::Ses,
    &aws::Sns,
    &aws::Sqs,
    &aws::Eventbridge,
    &aws::Lambda,
    &apns::Apns,
    &google::Tokens,
    &google::Fcm,
    &google::Pubsub,
    &google::CloudRun,
    &platforms::Platforms,
];

/// All vendors.
#[derive(Debug, Clone)]
pub struct Channels(Arc<State>);

#[derive(Debug)]
struct State {
    clock: Clock,
    taken: Mutex<Vec<Taken>>,
    plays: Mutex<Vec<(&'static str, Play)>>,
    /// When the token was issued that Apple's service was last called with, in Unix seconds.
    provider_token: Mutex<Option<i64>>,
}

impl Channels {
    pub fn new(clock: Clock) -> Self {
        let (taken, plays, provider_token) = <(_, _, _)>::default();
        Self(Arc::new(State { clock, taken, plays, provider_token }))
    }

    /// What was taken, the oldest first.
    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.0.taken).clone()
    }

    /// The texts that one vendor took.
    pub fn texts(&self, channel: &str) -> Vec<String> {
        let taken = self.taken().into_iter();
        taken.filter(|one| one.channel == channel).map(|one| one.text).collect()
    }

    /// Answers the next call of one vendor so. Several are played one after another.
    pub fn play(&self, channel: &'static str, play: Play) {
        assert!(ALL.iter().any(|one| one.name() == channel), "there is no {channel}");
        lock(&self.0.plays).push((channel, play));
    }

    /// What the senders of a stack are given, by variable.
    pub fn credentials() -> Vec<(&'static str, String)> {
        ALL.iter().flat_map(|channel| channel.credentials()).collect()
    }

    fn next_play(&self, channel: &str) -> Option<Play> {
        let mut plays = lock(&self.0.plays);
        let index = plays.iter().position(|(of, _)| *of == channel)?;
        Some(plays.remove(index).1)
    }

    /// A number that no message before has.
    fn next_number(&self) -> usize {
        lock(&self.0.taken).len() + 1
    }
}

fn json(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap_or_default(), Json(body)).into_response()
}

fn text(status: u16, body: &'static str) -> Response {
    (StatusCode::from_u16(status).unwrap_or_default(), body).into_response()
}
