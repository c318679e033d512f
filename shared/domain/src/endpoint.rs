//! Endpoints: where an account's events are sent, and what each endpoint's answers say of its health.

mod arn;
mod extras;
mod kind;
mod sender;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use strum::EnumString;

use super::delivery::{Fate, Outcome};
use super::event::{Event, EventType, Pattern};
use super::id::{AccountId, EndpointId, EventId};
use super::time::Timestamp;

pub use arn::Arn;
pub use extras::{EXTRAS_MAX, Extras};
pub use kind::{Kind, Need, callback_url};
pub use sender::{Offers, Sender};

/// Endpoints of one account.
pub const ENDPOINTS_MAX: u32 = 20;
/// Consecutive failures after which an endpoint is tried by one delivery at a time.
pub const FAILURES_MAX: u32 = 5;
/// How long an endpoint may fail without one success before it is disabled.
pub const FAILING_MAX: Duration = Duration::from_secs(120 * 3_600);
/// Pause between the tries at a failing endpoint: the first, and the longest.
const PROBE_FIRST: Duration = Duration::from_secs(30);
const PROBE_MAX: Duration = Duration::from_secs(300);
/// A success of a healthy endpoint is recorded this often.
const SUCCESS_EVERY: Duration = Duration::from_secs(3_600);
/// How long no endpoint is made for an address that bounced or complained.
pub const SUPPRESSED_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How long a replaced secret signs as well: by default, and at most.
pub const GRACE: Duration = Duration::from_secs(24 * 3_600);
pub const GRACE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Whether events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    Enabled,
    /// By its owner. Its events are recorded, and can be recovered.
    Paused,
    /// By us. The same holds.
    Disabled,
}

impl Status {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// Why an endpoint was disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No success for [`FAILING_MAX`].
    Failing,
    /// It answered that it no longer exists.
    Gone,
    /// Its reader wants no more: by the link in a mail, or by the vendor's report.
    Unsubscribed,
    /// Its address does not exist, or takes nothing.
    Bounced,
    /// Its reader reported it as spam.
    Complained,
}

impl Reason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Gone => "gone",
            Self::Unsubscribed => "unsubscribed",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
        }
    }

    /// Whether it holds as long as the endpoint has this address.
    const fn is_of_address(self) -> bool {
        matches!(self, Self::Unsubscribed | Self::Bounced | Self::Complained)
    }

    /// Why what became of a mail or a text is the end of its endpoint, if it is.
    pub const fn of(fate: Fate) -> Option<Self> {
        match fate {
            Fate::Bounced => Some(Self::Bounced),
            Fate::Unsubscribed => Some(Self::Unsubscribed),
            Fate::Complained => Some(Self::Complained),
            Fate::Sent | Fate::Delayed | Fate::Failed | Fate::Delivered => None,
        }
    }
}

/// An endpoint, as of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub account: AccountId,
    pub kind: Kind,
    pub address: String,
    pub types: Vec<Pattern>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it is also signed by Ed25519 (`v1a`).
    #[serde(default)]
    pub v1a: bool,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<Reason>,
    #[serde(default)]
    pub secrets: Secrets,
    #[serde(default)]
    pub health: Health,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extras: Option<Extras>,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Which of its secrets are active, at most two. They are derived, not stored: see the function
/// `deliver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    pub version: u32,
    /// Until when the version before signs as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Timestamp>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self { version: 1, previous_until: None }
    }
}

impl Secrets {
    /// A new secret. The last one signs as well for `grace`; without grace, no other one does.
    ///
    /// # Errors
    ///
    /// The time until which the secret before this one signs, if that is still to come: it would be
    /// revoked early.
    pub fn rotated(self, grace: Duration, now: Timestamp) -> Result<Self, Timestamp> {
        let version = self.version.saturating_add(1);
        if grace.is_zero() {
            return Ok(Self { version, previous_until: None });
        }
        match self.previous_until.filter(|until| now < *until) {
            Some(until) => Err(until),
            None => Ok(Self { version, previous_until: Some(now + grace.min(GRACE_MAX)) }),
        }
    }

    /// The versions that sign now, the newest first.
    pub fn active(self, now: Timestamp) -> impl Iterator<Item = u32> {
        let previous = self.previous_until.filter(|until| now < *until).and(self.version.checked_sub(1));
        std::iter::once(self.version).chain(previous)
    }
}

/// What its last answers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Consecutive failures.
    #[serde(default)]
    pub failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// While it is failing: when the next delivery may try it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Timestamp>,
    /// When its owner enabled it again or changed its address: tries from before say nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_from: Option<Timestamp>,
}

impl Health {
    /// Unknown from now on.
    fn anew(self, now: Timestamp) -> Self {
        Self { last_success_at: self.last_success_at, counts_from: Some(now), ..Self::default() }
    }
}

/// Whether a delivery may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    Send,
    /// It is failing: this one delivery may try it, if this version is written.
    Probe(Box<Endpoint>),
    /// It is failing, and another delivery tries it.
    Hold,
    /// It is paused or disabled.
    Skip,
}

impl Endpoint {
    /// The address; without its last part, if that is a secret.
    pub fn shown_address(&self) -> String {
        match self.address.rsplit_once('/').filter(|_| self.kind.has_secret_address()) {
            Some((start, _secret)) => format!("{start}/…"),
            None => self.address.clone(),
        }
    }

    /// What stands for the callback URLs of an account's jobs until its secret is rotated.
    pub fn of_callbacks(account: AccountId) -> Self {
        let long_ago = Timestamp::from_secs(0);
        Self {
            id: EndpointId::callback(),
            account,
            kind: Kind::Webhook,
            address: String::new(),
            types: Vec::new(),
            description: None,
            v1a: false,
            status: Status::Enabled,
            disabled_reason: None,
            secrets: Secrets::default(),
            health: Health::default(),
            extras: None,
            version: 1,
            created_at: long_ago,
            updated_at: long_ago,
        }
    }

    pub fn wants(&self, kind: &str) -> bool {
        self.types.iter().any(|pattern| pattern.matches(kind))
    }

    /// Whether it wants more of a job than its end.
    pub fn wants_moves(&self) -> bool {
        self.wants(EventType::RUNNING)
    }

    /// Whether a delivery may be tried now. A failing endpoint costs one connection per pause, however
    /// many deliveries wait.
    pub fn admit(&self, now: Timestamp) -> Admission {
        if self.status != Status::Enabled {
            return Admission::Skip;
        }
        match self.health.probe_at {
            None => Admission::Send,
            Some(at) if now < at => Admission::Hold,
            Some(_) => {
                let probe_at = Some(now + probe_pause(self.health.failures));
                let health = Health { probe_at, ..self.health };
                Admission::Probe(Box::new(self.changed(now, |next| next.health = health)))
            }
        }
    }

    /// The endpoint after a try that began at `at`; `None` if nothing is worth recording.
    pub fn after(&self, outcome: Outcome, at: Timestamp, now: Timestamp) -> Option<Self> {
        let health = &self.health;
        // What disabled it says more than a try that was under way.
        if self.status == Status::Disabled || health.counts_from.is_some_and(|from| at < from) {
            return None;
        }
        match outcome {
            Outcome::Delivered => {
                let is_known = health.last_success_at.is_some_and(|at| now.since(at) < SUCCESS_EVERY);
                let was_failing = health.failures > 0 || health.failing_since.is_some();
                (was_failing || !is_known).then(|| {
                    let counts_from = health.counts_from;
                    let health = Health { last_success_at: Some(now), counts_from, ..Health::default() };
                    self.changed(now, |next| next.health = health)
                })
            }
            Outcome::Gone => Some(self.changed(now, |next| next.disable(Reason::Gone))),
            Outcome::Later { wait } => {
                let failures = health.failures.saturating_add(1);
                let since = health.failing_since.unwrap_or(now);
                let pause = probe_pause(failures).max(wait.unwrap_or_default());
                let probe_at = (failures >= FAILURES_MAX).then(|| now + pause);
                let health = Health { failures, failing_since: Some(since), probe_at, ..*health };
                Some(self.changed(now, |next| {
                    next.health = health;
                    if now.since(since) >= FAILING_MAX {
                        next.disable(Reason::Failing);
                    }
                }))
            }
            // Of the event or of us, not of the endpoint.
            Outcome::Never | Outcome::Held | Outcome::Lost => None,
        }
    }

    /// The endpoint after a report of what was sent to this address; `None` if it goes on as it is. Of a mail
    /// or a text: all else is ended by its answers.
    pub fn after_report(&self, fate: Fate, address: &str, now: Timestamp) -> Option<Self> {
        let reason = Reason::of(fate)?;
        let is_its = !self.kind.repeats() && self.address.eq_ignore_ascii_case(address);
        (is_its && self.may_be_enabled()).then(|| self.changed(now, |next| next.disable(reason)))
    }

    /// The endpoint with one more event that is sent on request; `None` if those are not counted.
    ///
    /// # Errors
    ///
    /// How long there is no more.
    pub fn extra(&self, now: Timestamp) -> Result<Option<Self>, Duration> {
        if self.kind.repeats() {
            return Ok(None);
        }
        let extras = Extras::with_one_more(self.extras, now)?;
        Ok(Some(self.changed(now, |next| next.extras = Some(extras))))
    }

    /// Whether the change to `next` lets the waiting deliveries go on.
    pub fn recovers_to(&self, next: &Self) -> bool {
        self.health.probe_at.is_some() && next.health.probe_at.is_none() && next.status == Status::Enabled
    }

    /// Whether the change to `next` disables it.
    pub fn is_disabled_by(&self, next: &Self) -> bool {
        self.status != Status::Disabled && next.status == Status::Disabled
    }

    pub const fn disable(&mut self, reason: Reason) {
        self.status = Status::Disabled;
        self.disabled_reason = Some(reason);
    }

    /// Gives it another address. What ended it at the last one is no matter there: it is paused then.
    pub fn move_to(&mut self, address: &str) {
        if self.address == address {
            return;
        }
        address.clone_into(&mut self.address);
        if !self.may_be_enabled() {
            self.status = Status::Paused;
            self.disabled_reason = None;
        }
    }

    /// Whether it may be enabled: not at an address that refuses it.
    pub fn may_be_enabled(&self) -> bool {
        !self.disabled_reason.is_some_and(Reason::is_of_address)
    }

    /// What the account's other endpoints are sent when this version of it is disabled.
    pub fn disabled_event(&self) -> Event {
        let id = EventId::of(&[self.id.as_str(), "disabled", &self.version.to_string()]);
        let data = json!({
            "endpoint": self.id,
            "reason": self.disabled_reason.map_or("unknown", Reason::name),
            "failing_since": self.health.failing_since.map(|at| at.to_string()),
            "failures": self.health.failures,
            "last_success_at": self.health.last_success_at.map(|at| at.to_string()),
        });
        let event = Event::new(id, self.account.clone(), EventType::DISABLED, &data, self.updated_at);
        Event { except: Some(self.id.clone()), ..event }
    }

    /// The next version, with a change of its owner or of ours.
    #[must_use]
    pub fn changed(&self, now: Timestamp, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = Self { version: self.version + 1, updated_at: now, ..self.clone() };
        change(&mut next);
        let is_enabled = self.status != Status::Enabled && next.status == Status::Enabled;
        if is_enabled {
            next.disabled_reason = None;
        }
        if is_enabled || self.address != next.address {
            next.health = next.health.anew(now);
        }
        next
    }
}

/// 30 s, 1, 2, 4, then 5 minutes.
fn probe_pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FAILURES_MAX).min(16);
    PROBE_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(PROBE_MAX)
}

#[cfg(test)]
mod tests;
