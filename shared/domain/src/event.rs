//! Events: what happened, for those who asked to be notified. Written in the transaction that makes them
//! true.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::budget::Standing;
use super::credit::Credits;
use super::decide::Transition;
use super::endpoint::Endpoint;
use super::id::{AccountId, EndpointId, EventId, JobId};
use super::inbound::{self, SourceName};
use super::job::{Job, Notifies, State};
use super::payment::purchase::Purchase;
use super::provider::Provider;
use super::time::Timestamp;

/// How long an event is kept and listed, in seconds.
pub const KEPT_S: i64 = 30 * 24 * 3_600;

/// The types of events, beside those of [`inbound`] sources. The last ten go to the operator.
pub const TYPES: [&str; 25] = [
    EventType::RUNNING,
    "job.succeeded",
    "job.failed",
    "job.canceled",
    EventType::GRANTED,
    EventType::LOW,
    EventType::BUDGET,
    EventType::TOPUP_PAID,
    EventType::TOPUP_FAILED,
    EventType::TOPUP_EXPIRED,
    EventType::TOPUP_REFUNDED,
    EventType::TOPUP_DISPUTED,
    EventType::TOPUP_REINSTATED,
    EventType::DISABLED,
    EventType::TEST,
    EventType::DEGRADED,
    EventType::DOWN,
    EventType::RECOVERED,
    EventType::ATTENTION,
    EventType::OVERDUE,
    EventType::MISMATCH,
    EventType::DEAD_LETTERS,
    EventType::SUCCESS_RATE,
    EventType::LATENCY,
    EventType::SPEND,
];

/// The type of an event, as `job.succeeded`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventType(String);

impl EventType {
    pub const RUNNING: &'static str = "job.running";
    pub const GRANTED: &'static str = "credits.granted";
    pub const LOW: &'static str = "credits.low";
    pub const BUDGET: &'static str = "budget.reached";
    pub const TOPUP_PAID: &'static str = "topup.paid";
    pub const TOPUP_FAILED: &'static str = "topup.failed";
    pub const TOPUP_EXPIRED: &'static str = "topup.expired";
    pub const TOPUP_REFUNDED: &'static str = "topup.refunded";
    pub const TOPUP_DISPUTED: &'static str = "topup.disputed";
    pub const TOPUP_REINSTATED: &'static str = "topup.reinstated";
    pub const DISABLED: &'static str = "endpoint.disabled";
    pub const TEST: &'static str = "endpoint.test";
    /// For operators.
    pub const DEGRADED: &'static str = "provider.degraded";
    /// For operators.
    pub const DOWN: &'static str = "provider.down";
    /// For operators.
    pub const RECOVERED: &'static str = "provider.recovered";
    /// For operators: no retry helps, such as a refused key.
    pub const ATTENTION: &'static str = "provider.needs_attention";
    /// For operators.
    pub const OVERDUE: &'static str = "jobs.overdue";
    /// For operators.
    pub const MISMATCH: &'static str = "ledger.mismatch";
    /// For operators.
    pub const DEAD_LETTERS: &'static str = "queue.dead_letters";
    /// For operators.
    pub const SUCCESS_RATE: &'static str = "success_rate.low";
    /// For operators.
    pub const LATENCY: &'static str = "latency.high";
    /// For operators.
    pub const SPEND: &'static str = "spend.high";

    pub(crate) fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// `inbound.<source>.<type>`, for the type as the source's platform names it.
    pub fn inbound(source: &SourceName, theirs: &str) -> Self {
        Self(format!("{}{source}.{}", inbound::FAMILY, inbound::type_name(theirs)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for EventType {
    fn from(name: &'static str) -> Self {
        Self::known(name)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The types that an endpoint wants: one (`job.failed`), a family (`job.*`), or all but `inbound.*` (`*`).
///
/// It is read from the table unchecked: a newer release may know more types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

/// A pattern that matches no type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a type of event, a family such as `job.*`, or `*`")]
pub struct BadPattern;

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let pattern = Self(text.to_owned());
        let is_known = TYPES.iter().any(|name| pattern.matches(name)) || inbound::is_pattern(text);
        if is_known { Ok(pattern) } else { Err(BadPattern) }
    }
}

impl Pattern {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            // What other platforms report is wanted by name: it may be about what we sent, without end.
            Some("") => !name.starts_with(inbound::FAMILY),
            Some(family) => family.ends_with('.') && name.starts_with(family),
            None => self.0 == name,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub account: AccountId,
    #[serde(rename = "type")]
    pub kind: EventType,
    pub created_at: Timestamp,
    /// The job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The body of its deliveries: JSON. `None` until `notify` has rendered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The one endpoint that it is for; `None` for all that want its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<EndpointId>,
    /// The one endpoint that it is not for: it is about that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<EndpointId>,
}

impl Event {
    /// An event of this type that is not about a job.
    pub fn new(
        id: EventId,
        account: AccountId,
        kind: impl Into<EventType>,
        data: &Value,
        now: Timestamp,
    ) -> Self {
        let kind = kind.into();
        let body = Some(body(kind.as_str(), now, data));
        Self { id, account, kind, created_at: now, job: None, body, only: None, except: None }
    }

    /// An alert for the operator. The same one within an hour is the same event.
    fn alert(kind: &'static str, about: &[&str], data: &Value, now: Timestamp) -> Self {
        let hour = now.as_secs().div_euclid(3_600).to_string();
        let id = EventId::of(&[&[kind], about, &[&hour]].concat());
        Self::new(id, AccountId::operator(), kind, data, now)
    }

    /// A provider that a retry does not help. `class` and `reason` are those of the log.
    pub fn of_attention(provider: Provider, class: &str, reason: Option<&str>, now: Timestamp) -> Self {
        let data = json!({"provider": provider, "class": class, "reason": reason});
        Self::alert(EventType::ATTENTION, &[provider.name(), class, reason.unwrap_or_default()], &data, now)
    }

    /// A provider that refuses our key or has no balance, since its circuit breaker opened: one event for each
    /// opening, whoever writes it.
    pub fn of_refusal(provider: Provider, class: &str, since: Timestamp) -> Self {
        let data = json!({"provider": provider, "class": class, "reason": null});
        Self::of_alarm(
            EventType::ATTENTION,
            &[provider.name(), class, &since.as_millis().to_string()],
            &data,
            since,
        )
    }

    /// What an alarm says. `about` names the alarm and the version of what it is stored in: one event for each.
    pub fn of_alarm(kind: &'static str, about: &[&str], data: &Value, now: Timestamp) -> Self {
        Self::new(EventId::of(&[&[kind], about].concat()), AccountId::operator(), kind, data, now)
    }

    /// A job that is this long past its check.
    pub fn of_overdue(longest: Duration, now: Timestamp) -> Self {
        Self::alert(EventType::OVERDUE, &[], &json!({"longest_s": longest.as_secs()}), now)
    }

    /// A job whose money does not match its state.
    pub fn of_mismatch(job: &JobId, now: Timestamp) -> Self {
        Self::alert(EventType::MISMATCH, &[job.as_str()], &json!({"job": job}), now)
    }

    /// Credits were granted to an account.
    pub fn of_grant(account: &AccountId, grant: &str, amount: Credits, now: Timestamp) -> Self {
        let id = EventId::of(&[EventType::GRANTED, account.as_str(), grant]);
        let data = json!({"id": grant, "micro_credits": amount.micros()});
        Self::new(id, account.clone(), EventType::GRANTED, &data, now)
    }

    /// A purchase has moved: one event for each version.
    pub fn of_topup(kind: &'static str, purchase: &Purchase) -> Self {
        let id = EventId::of(&["topup", purchase.id().as_str(), &purchase.version().to_string()]);
        Self::new(id, purchase.account().clone(), kind, &purchase.shown(), purchase.updated_at())
    }

    /// This job's charge took the balance below the account's mark.
    pub fn of_low(job: &Job, balance: Credits, mark: Credits) -> Self {
        let id = EventId::of(&[EventType::LOW, job.id().as_str()]);
        let data =
            json!({"balance_micro_credits": balance.micros(), "low_below_micro_credits": mark.micros()});
        let account = job.account().clone();
        Self::new(id, account, EventType::LOW, &data, job.created_at())
    }

    /// This job's charge was the first to reach this share of a budget, in percent.
    pub fn of_budget(job: &Job, reached: &Standing, mark: u8) -> Self {
        let counter = reached.budget.counter.to_string();
        // Of another limit, the same share is another event.
        let (limit, share) = (reached.budget.limit.micros().to_string(), mark.to_string());
        let id = EventId::of(&[EventType::BUDGET, job.account().as_str(), &counter, &limit, &share]);
        let data = json!({"percent": mark, "budget": reached.json()});
        Self::new(id, job.account().clone(), EventType::BUDGET, &data, job.created_at())
    }

    /// Whether it is for this endpoint.
    pub fn is_for(&self, endpoint: &Endpoint) -> bool {
        match &self.only {
            Some(only) => *only == endpoint.id,
            None => endpoint.wants(self.kind.as_str()) && self.except.as_ref() != Some(&endpoint.id),
        }
    }

    /// Whether it is the end of a job.
    pub fn is_end(&self) -> bool {
        ["job.succeeded", "job.failed", "job.canceled"].contains(&self.kind.as_str())
    }

    /// When it may be deleted, in seconds since the epoch.
    pub const fn expires_at(&self) -> i64 {
        self.created_at.as_secs() + KEPT_S
    }
}

/// The body of an event's deliveries, in the form of Standard Webhooks.
pub fn body(kind: &str, at: Timestamp, data: &impl Serialize) -> String {
    json!({"type": kind, "timestamp": at.to_string(), "data": data}).to_string()
}

impl Transition {
    /// The event of this move, if anyone wants to know of the job.
    pub fn occurrence(&self) -> Option<Event> {
        let (before, after) = (self.before(), self.after());
        let kind = match after.state() {
            State::Running => EventType::RUNNING,
            State::Succeeded => "job.succeeded",
            State::Failed => "job.failed",
            State::Canceled => "job.canceled",
            State::Queued | State::Dispatching | State::Settling | State::Other(_) => return None,
        };
        let wants = match after.notifies() {
            Notifies::Nothing => false,
            Notifies::Ends => after.state().is_terminal(),
            Notifies::Moves => true,
        };
        (wants && before.state() != after.state()).then(|| Event {
            id: EventId::of_job(after.id(), after.version()),
            account: after.account().clone(),
            kind: EventType::known(kind),
            created_at: after.updated_at(),
            job: Some(after.id().clone()),
            body: None,
            only: None,
            except: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_one_type_a_family_or_all() {
        let matches = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().matches(name);
        for (pattern, name) in [("*", "job.failed"), ("job.*", "job.failed"), ("job.failed", "job.failed")] {
            assert!(matches(pattern, name), "{pattern}");
        }
        for (pattern, name) in [
            ("job.*", "jobs.failed"),
            ("job.failed", "job.fail"),
            ("provider.*", "job.failed"),
            ("*", "inbound.a.b"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_refused() {
        for text in [
            "",
            "job",
            "job*",
            "job.f*",
            "jobsx.*",
            "**",
            "job.failed ",
            "*.failed",
            "inbound.",
            "inbound..a",
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(BadPattern), "{text}");
        }
    }

    #[test]
    fn an_alert_is_one_event_an_hour() {
        let at = |secs| Event::of_attention(Provider::Fal, "auth", None, Timestamp::from_secs(secs)).id;
        assert_eq!(at(7_200), at(10_799));
        assert_ne!(at(7_200), at(10_800));
        let now = Timestamp::from_secs(7_200);
        let ids = [
            at(7_200),
            Event::of_attention(Provider::Fal, "auth", Some("x"), now).id,
            Event::of_attention(Provider::Runway, "auth", None, now).id,
            Event::of_overdue(Duration::ZERO, now).id,
            Event::of_mismatch(&JobId::from_bytes([0; 16]), now).id,
        ];
        let refused = |secs| Event::of_refusal(Provider::Fal, "auth", Timestamp::from_secs(secs)).id;
        assert_ne!(refused(7_200), refused(7_201), "each opening of a breaker");
        assert_eq!(refused(7_200), refused(7_200));
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }
}
