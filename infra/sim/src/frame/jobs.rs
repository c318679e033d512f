//! A remote job and its state at a given time.
//!
//! Nothing runs: the state is computed from the stored job and the clock, so a restart does not affect
//! it.

use std::time::Duration;

use domain::provider::Provider;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::play::{Failure, Play, StatusPlay, WebhookPlay};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

#[derive(Debug, Clone)]
pub struct RemoteJobView {
    pub id: String,
    pub provider: Provider,
    /// What the provider calls its model or endpoint.
    pub endpoint: String,
    pub state: RemoteState,
    /// Whether the provider bills it in its current state.
    pub bills: bool,
    pub prompt: String,
    /// Its callback URL.
    pub webhook_url: Option<String>,
    pub created_at: Timestamp,
    pub ends_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RemoteJob {
    pub(crate) id: String,
    /// What the provider calls its model or endpoint.
    pub(crate) endpoint: String,
    pub(crate) prompt: String,
    pub(crate) medium: Medium,
    /// Width and height, as a ratio.
    pub(crate) aspect: (u32, u32),
    /// Further data of the provider.
    pub(crate) extra: Value,
    pub(crate) created_at: Timestamp,
    pub(crate) latency: Duration,
    pub(crate) play: Play,
    pub(crate) canceled_at: Option<Timestamp>,
    pub(crate) deleted: bool,
    pub(crate) webhook: Option<Webhook>,
    /// Result calls since the end.
    pub(crate) results: u32,
    /// Media calls since the end.
    pub(crate) downloads: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Medium {
    #[serde(rename = "Film")]
    Video { seconds: u32 },
    /// One picture.
    #[serde(rename = "Still")]
    Image,
}

/// The callback URL of a create, and which webhooks the provider sends to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Callback {
    pub(crate) url: String,
    /// One when the run starts, which is tried once, besides the one at the end.
    pub(crate) start: bool,
    /// One when the job is canceled; without it, a canceled job sends none.
    pub(crate) cancel: bool,
}

/// The progress of the delivery of a job's webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) callback: Callback,
    /// The time whose state the next webhook reports.
    #[serde(rename = "tells")]
    pub(crate) state_at: Timestamp,
    /// When to send it next; `None` if nothing is left to send.
    pub(crate) due: Option<Timestamp>,
    /// Tries of the present copy.
    pub(crate) tries: u32,
    /// Copies that are not yet accepted.
    pub(crate) copies: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    Throttled,
    Queued,
    /// With the share of the run that has passed, 0 to 1.
    Running(f64),
    Succeeded,
    Failed(Failure),
    Canceled,
}

impl RemoteJob {
    /// The phase that a poll reports now.
    pub(crate) fn phase(&self, now: Timestamp) -> Phase {
        if self.canceled_at.is_some() {
            return Phase::Canceled;
        }
        if now >= self.ends_at() {
            return self.play.fail.map_or(Phase::Succeeded, Phase::Failed);
        }
        if now < self.starts_at() {
            return Phase::Throttled;
        }
        let share = now.since(self.starts_at()).as_secs_f64() / self.latency.as_secs_f64();
        let back = self.play.status == Some(StatusPlay::Backwards) && self.is_middle(now);
        if back || now < self.at(QUEUED) { Phase::Queued } else { Phase::Running(share) }
    }

    /// The fault of a poll now, if any.
    pub(crate) fn spoilt(&self, now: Timestamp) -> Option<StatusPlay> {
        let running = matches!(self.phase(now), Phase::Queued | Phase::Running(_));
        self.play.status.filter(|_| running && self.is_middle(now))
    }

    /// Whether polls and cancels do not find it now.
    pub(crate) fn is_hidden(&self, now: Timestamp) -> bool {
        let (from, span) = match self.play.status {
            Some(StatusPlay::Invisible(span)) => (self.created_at, span),
            Some(StatusPlay::Missing(span)) => (self.at(MIDDLE_FROM), span),
            _ => return false,
        };
        now >= from && now < from + span
    }

    /// Whether it is billed, as it is at a time. What was stopped in the queue never is;
    /// `stopped` is whether a run that was stopped later is billed.
    pub(crate) fn bills(&self, at: Timestamp, stopped: bool) -> bool {
        match self.phase(at) {
            Phase::Succeeded => true,
            Phase::Failed(_) => self.play.fail_bills,
            Phase::Canceled => stopped && self.ends_at() >= self.at(QUEUED),
            Phase::Throttled | Phase::Queued | Phase::Running(_) => false,
        }
    }

    /// When the run ends by itself, or was canceled.
    pub(crate) fn ends_at(&self) -> Timestamp {
        self.canceled_at.unwrap_or_else(|| self.starts_at() + self.latency)
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends_at()
    }

    pub(crate) fn state(&self, now: Timestamp) -> RemoteState {
        match self.phase(now) {
            Phase::Throttled | Phase::Queued => RemoteState::Queued,
            Phase::Running(_) => RemoteState::Running,
            Phase::Succeeded => RemoteState::Succeeded,
            Phase::Failed(_) => RemoteState::Failed,
            Phase::Canceled => RemoteState::Canceled,
        }
    }

    /// The next time at which a poll would see something else.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let ends_at = self.ends_at();
        let changes = [self.starts_at(), self.at(QUEUED), self.at(MIDDLE_FROM), self.at(MIDDLE_TO), ends_at];
        changes.into_iter().filter(|change| *change > now && *change <= ends_at).min()
    }

    /// Schedules the webhooks of the callback at the times that the directives give.
    pub(crate) fn request_webhook(&mut self, callback: Callback) {
        let first = if callback.start { self.at(QUEUED) } else { self.ends_at() };
        self.plan_webhook(callback, first);
    }

    /// Schedules the webhook for the state at a time.
    pub(crate) fn plan_webhook(&mut self, callback: Callback, state_at: Timestamp) {
        let (due, copies) = match self.play.webhook {
            WebhookPlay::Lost => (None, 0),
            WebhookPlay::Twice => (Some(state_at), 2),
            WebhookPlay::Late(span) => (Some(state_at + span), 1),
            WebhookPlay::Punctual
            | WebhookPlay::Early
            | WebhookPlay::BadSignature
            | WebhookPlay::Unsigned => (Some(state_at), 1),
        };
        self.webhook = Some(Webhook { callback, state_at, due, tries: 0, copies });
    }

    /// Stops the run now, and with it its webhook, unless the play lets it run on.
    pub(crate) fn cancel(&mut self, now: Timestamp) {
        if self.play.cancel_ignored {
            return;
        }
        self.canceled_at = Some(now);
        match self.webhook.take() {
            Some(webhook) if webhook.callback.cancel => self.plan_webhook(webhook.callback, now),
            webhook => self.webhook = webhook.map(|webhook| Webhook { due: None, ..webhook }),
        }
    }

    fn starts_at(&self) -> Timestamp {
        self.created_at + self.play.throttled
    }

    fn at(&self, (part, whole): (u32, u32)) -> Timestamp {
        self.starts_at() + self.latency * part / whole
    }

    fn is_middle(&self, now: Timestamp) -> bool {
        now >= self.at(MIDDLE_FROM) && now < self.at(MIDDLE_TO)
    }
}

/// The first fifth of a run is spent in the queue.
const QUEUED: (u32, u32) = (1, 5);
const MIDDLE_FROM: (u32, u32) = (1, 3);
const MIDDLE_TO: (u32, u32) = (2, 3);
