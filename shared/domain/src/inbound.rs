//! Inbound sources: other platforms whose signed webhooks become events of the type
//! `inbound.<source>.<type>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::delivery::Reported;
use super::event::{Event, EventType};
use super::id::{AccountId, EventId};
use super::time::Timestamp;

/// What every type of an inbound event begins with.
pub(crate) const FAMILY: &str = "inbound.";
/// The type of an event whose platform names none that can be read.
const UNKNOWN: &str = "unknown";
/// Maximum length of a type, without family and source, in characters.
const TYPE_MAX: usize = 100;

/// The name of a source, as its owner chose it: 1 to 32 of a-z, 0-9 and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(String);

/// A text that cannot name a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a source has a name of 1 to {max} of a-z, 0-9 and `_`", max = SourceName::MAX)]
pub struct BadSourceName;

impl SourceName {
    const MAX: usize = 32;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceName {
    type Err = BadSourceName;

    fn from_str(text: &str) -> Result<Self, BadSourceName> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(is_allowed);
        if is_name { Ok(Self(text.to_owned())) } else { Err(BadSourceName) }
    }
}

impl TryFrom<String> for SourceName {
    type Error = BadSourceName;

    fn try_from(text: String) -> Result<Self, BadSourceName> {
        text.parse()
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a platform reported, once its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// The id of our event of it.
    pub event: EventId,
    pub account: AccountId,
    pub source: SourceName,
    /// The platform's id of it: a repeat has the same.
    pub id: String,
    pub kind: EventType,
    pub received_at: Timestamp,
    /// What the platform sent; `None` if it is too long for an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// What it says of something that we sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Reported>,
}

impl Inbound {
    /// A report of a source, with the platform's id and type of it.
    pub fn new(
        account: AccountId,
        source: SourceName,
        id: String,
        theirs: &str,
        received_at: Timestamp,
        payload: Option<Value>,
    ) -> Self {
        let event = EventId::of(&[account.as_str(), source.as_str(), &id]);
        let kind = EventType::inbound(&source, theirs);
        Self { event, account, source, id, kind, received_at, payload, delivery: None }
    }

    /// The event of it. All repeats have the same id.
    pub fn event(self) -> Event {
        let mut data = json!({
            "source": self.source,
            "id": self.id,
            "type": self.kind,
            "received_at": self.received_at.to_string(),
            "payload": self.payload,
        });
        if self.payload.is_none() {
            data["payload_omitted"] = json!(true);
        }
        Event::new(self.event, self.account, self.kind, &data, self.received_at)
    }
}

/// The type of an event of a platform as words of `[a-zA-Z0-9_]`, joined by dots: `orders/create` is
/// `orders.create`, and what is not allowed becomes `_`. At most 100 characters; `unknown` for nothing.
pub fn type_name(theirs: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let words = theirs.split(['.', '/']).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(|word| word.chars().map(clean).collect()).collect();
    // ASCII from here on, so that it can be cut anywhere.
    let mut name = words.join(".");
    name.truncate(TYPE_MAX);
    let name = name.trim_end_matches('.');
    if name.is_empty() { UNKNOWN.to_owned() } else { name.to_owned() }
}

/// Whether a pattern can match an inbound event: `inbound.*`, `inbound.<source>.*`, one type of a source, or
/// a family of them. Which sources there are is the owner's configuration, and no matter of the pattern.
pub(crate) fn is_pattern(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(FAMILY) else { return false };
    let Some((source, types)) = rest.split_once('.') else { return rest == "*" };
    let is_type = |types: &str| types.len() <= TYPE_MAX && type_name(types) == types;
    let is_family = types == "*" || types.strip_suffix(".*").is_some_and(is_type);
    source.parse::<SourceName>().is_ok() && (is_family || is_type(types))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(account: &str, source: &str, id: &str, payload: Option<Value>) -> Inbound {
        let (account, source) = (account.parse().unwrap(), source.parse().unwrap());
        let at = Timestamp::from_secs(1_795_342_600);
        Inbound::new(account, source, id.to_owned(), "orders/create", at, payload)
    }

    #[test]
    fn a_report_becomes_one_event_however_often_it_comes() {
        let event = report("acct_a", "shop", "1", Some(json!({"a": 1}))).event();
        assert_eq!(event.kind.as_str(), "inbound.shop.orders.create");
        let body: Value = serde_json::from_str(event.body.as_deref().unwrap()).unwrap();
        assert_eq!(
            body["data"],
            json!({
                "source": "shop", "id": "1", "type": "inbound.shop.orders.create",
                "received_at": event.created_at.to_string(), "payload": {"a": 1},
            })
        );
        let again = report("acct_a", "shop", "1", None).event();
        assert_eq!(again.id, event.id);
        let body: Value = serde_json::from_str(again.body.as_deref().unwrap()).unwrap();
        assert_eq!(
            (&body["data"]["payload"], &body["data"]["payload_omitted"]),
            (&Value::Null, &json!(true))
        );
        for other in [
            report("acct_b", "shop", "1", None),
            report("acct_a", "s", "1", None),
            report("acct_a", "shop", "2", None),
        ] {
            assert_ne!(other.event, event.id);
        }
    }

    #[test]
    fn a_source_has_a_short_plain_name() {
        for text in ["stripe", "our_billing_2", &"a".repeat(32)] {
            assert_eq!(text.parse::<SourceName>().unwrap().to_string(), text);
        }
        for text in ["", "Stripe", "a.b", "a-b", "a/b", "ä", "a ", &"a".repeat(33)] {
            assert_eq!(text.parse::<SourceName>(), Err(BadSourceName), "{text}");
        }
    }

    #[test]
    fn a_type_is_words_joined_by_dots() {
        for (theirs, ours) in [
            ("checkout.session.completed", "checkout.session.completed"),
            ("orders/create", "orders.create"),
            ("PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.COMPLETED"),
            ("pull-request", "pull_request"),
            ("a..b./c.", "a.b.c"),
            ("zahlung für*\n", "zahlung_f_r__"),
            ("", "unknown"),
            ("./..", "unknown"),
        ] {
            assert_eq!(type_name(theirs), ours, "{theirs}");
        }
        assert_eq!(type_name(&"ab.".repeat(60)).len(), 100);
        assert_eq!(type_name(&"a.".repeat(60)).len(), 99);
        assert_eq!(type_name(&"é.".repeat(10_000)).len(), 99);
    }

    #[test]
    fn a_pattern_names_all_sources_one_or_a_type_of_it() {
        for text in [
            "inbound.*",
            "inbound.stripe.*",
            "inbound.stripe.checkout.*",
            "inbound.stripe.checkout.session.completed",
            "inbound.shop_2.orders.create",
        ] {
            assert!(is_pattern(text), "{text}");
        }
        let long = format!("inbound.stripe.{}", "a".repeat(101));
        for text in [
            "inbound",
            "inbound.",
            "inbound..a",
            "inbound.stripe",
            "inbound.stripe.",
            "inbound.Stripe.a",
            "inbound.st*",
            "inbound.stripe.a*",
            "inbound.stripe..*",
            "inbound.stripe.*.a",
            "inbound.stripe.a b",
            "inbound.*.a",
            &long,
        ] {
            assert!(!is_pattern(text), "{text}");
        }
    }
}
