//! Webhooks: signed when they are sent, and retried for three days until a 2xx.

use std::time::Duration;

use domain::payment::Processor;
use domain::time::Timestamp;

use super::books::Event;
use super::{Payments, abacate, paypal, stripe};
use crate::frame::simulator::lock;

/// The pauses between tries, in minutes: three days in all.
const PAUSES_MIN: [u64; 12] = [1, 5, 30, 60, 120, 300, 600, 600, 600, 600, 720, 720];

/// How webhooks are disordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disorder {
    #[default]
    None,
    /// The newest first.
    Reversed,
    /// Each is sent twice.
    Doubled,
    /// None is ever sent.
    Lost,
}

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) api: String,
    pub(super) disorder: Disorder,
    waiting: Vec<Waiting>,
}

#[derive(Debug, Clone)]
struct Waiting {
    event: Event,
    due: Timestamp,
    tries: usize,
    copies: u8,
}

impl Outgoing {
    pub(super) fn add(&mut self, events: Vec<Event>, now: Timestamp) {
        if self.disorder == Disorder::Lost || self.api.is_empty() {
            return;
        }
        let copies = if self.disorder == Disorder::Doubled { 2 } else { 1 };
        self.waiting.extend(events.into_iter().map(|event| Waiting { event, due: now, tries: 0, copies }));
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|one| one.due).min()
    }

    pub(super) fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what is due.
    fn due(&mut self, now: Timestamp) -> Vec<Waiting> {
        let (mut due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|one| one.due <= now);
        self.waiting = rest;
        if self.disorder == Disorder::Reversed {
            due.reverse();
        }
        due
    }

    /// Plans the next try of one that was not taken, or its copy.
    fn again(&mut self, mut one: Waiting, is_taken: bool, now: Timestamp) {
        if is_taken {
            one.copies -= 1;
            one.due = now;
            self.waiting.extend((one.copies > 0).then_some(one));
            return;
        }
        if let Some(pause) = PAUSES_MIN.get(one.tries) {
            one.due = now + Duration::from_secs(pause * 60);
            one.tries += 1;
            self.waiting.push(one);
        }
    }
}

pub(super) async fn deliver_due(payments: &Payments) -> usize {
    let now = payments.0.clock.now();
    let (api, due) = {
        let mut outgoing = lock(&payments.0.outgoing);
        (outgoing.api.clone(), outgoing.due(now))
    };
    let count = due.len();
    for one in due {
        let is_taken = send(payments, &api, &one.event, now).await;
        lock(&payments.0.outgoing).again(one, is_taken, now);
    }
    count
}

/// Sends one event, signed now; whether it was taken.
async fn send(payments: &Payments, api: &str, event: &Event, now: Timestamp) -> bool {
    let body = event.body.to_string();
    let name = event.processor.name();
    let (query, headers) = match event.processor {
        Processor::Stripe => (String::new(), stripe::signature(&body, now)),
        Processor::Paypal => (String::new(), paypal::signature(&event.id, &body, now)),
        Processor::Abacatepay => (abacate::query(), abacate::signature(&body)),
    };
    let url = format!("{api}/v1/payments/{name}{query}");
    let mut call = payments.0.http.post(url).header("content-type", "application/json");
    for (name, value) in headers {
        call = call.header(name, value);
    }
    match call.body(body).send().await {
        Ok(answer) => answer.status().is_success(),
        // The URL has a secret.
        Err(error) => {
            tracing::debug!(error = %error.without_url(), "a simulated webhook did not arrive");
            false
        }
    }
}
