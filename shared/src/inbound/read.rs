//! What a verified webhook says: the platform's id and type of each event in it, and its content.
//!
//! Headers are not signed by GitHub, Shopify and Slack: an id or a type that comes in one is the
//! platform's word as long as the connection is.

use data_encoding::HEXLOWER;
use domain::delivery::Reported;
use domain::inbound::Inbound;
use domain::time::Timestamp;
use http::HeaderMap;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use super::receipts::reported;
use super::{Kind, Source};

/// Maximum length of a payload as JSON, in bytes: an event has less than 20 kB.
const PAYLOAD_MAX: usize = 16_000;
/// Maximum length of an id, in bytes; a longer one is replaced by its digest.
const ID_MAX: usize = 200;
/// Events in one webhook.
const EVENTS_MAX: usize = 5_000;

/// What a webhook comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Reports(Vec<Report>),
    /// The platform asks whether the URL is ours: the answer repeats this text.
    Challenge(String),
    /// The platform asks whether its messages are wanted: they are, once this URL of its own is called.
    Confirm(Url),
}

/// One event of a platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The platform's id of it, which a repeat has too.
    pub id: String,
    /// The platform's type of it.
    pub kind: String,
    /// `None` if it is too long for an event.
    pub payload: Option<Value>,
    /// What it says of something that we sent.
    pub delivery: Option<Reported>,
}

/// Why a genuine webhook is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub &'static str);

impl Report {
    /// The report as one of a source.
    pub fn of(self, source: &Source, received_at: Timestamp) -> Inbound {
        let Self { id, kind, payload, delivery } = self;
        let (account, name) = (source.account.clone(), source.name.clone());
        Inbound { delivery, ..Inbound::new(account, name, id, &kind, received_at, payload) }
    }
}

pub(super) fn content(
    source: &Source,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Content, Unreadable> {
    let kind = source.kind;
    let payload = match kind {
        Kind::Twilio => form(body),
        _ => serde_json::from_slice(body).map_err(|_quotes| Unreadable("the body is not JSON"))?,
    };
    let report = |payload: &Value, message: &str| {
        let webhook = Webhook { headers, payload, message };
        let delivery = source.deliveries.then(|| reported(kind, query, payload)).flatten();
        Report { delivery, ..webhook.report(kind) }
    };
    if kind == Kind::Sendgrid {
        let Value::Array(events) = &payload else { return Err(Unreadable("the body is not a list")) };
        if events.len() > EVENTS_MAX {
            return Err(Unreadable("the body has too many events"));
        }
        return Ok(Content::Reports(events.iter().map(|event| report(event, "")).collect()));
    }
    if !payload.is_object() {
        return Err(Unreadable("the body is not an object"));
    }
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    match (kind, text("type")) {
        (Kind::Slack, "url_verification") => Ok(Content::Challenge(text("challenge").to_owned())),
        (Kind::Ses, _) => match text("Type") {
            "SubscriptionConfirmation" => Ok(Content::Confirm(confirmation(&payload)?)),
            "UnsubscribeConfirmation" => Ok(Content::Reports(Vec::new())),
            _ => {
                // What is no JSON is not of SES: its message is shown as it is.
                let inner = serde_json::from_str(text("Message")).ok().filter(Value::is_object);
                Ok(Content::Reports(vec![report(inner.as_ref().unwrap_or(&payload), text("MessageId"))]))
            }
        },
        _ => Ok(Content::Reports(vec![report(&payload, "")])),
    }
}

/// By <https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html>. The host is that of the
/// certificate, which is known to be the topic's own.
fn confirmation(message: &Value) -> Result<Url, Unreadable> {
    let text = |name: &str| message[name].as_str().unwrap_or_default();
    let url = Url::parse(text("SigningCertURL")).and_then(|url| url.join("/"));
    let mut url = url.map_err(|_none| Unreadable("the message names no certificate"))?;
    let fields =
        [("Action", "ConfirmSubscription"), ("TopicArn", text("TopicArn")), ("Token", text("Token"))];
    url.query_pairs_mut().extend_pairs(fields);
    Ok(url)
}

/// One event with the headers that it came under.
struct Webhook<'a> {
    headers: &'a HeaderMap,
    payload: &'a Value,
    /// The id of the message that it came in, of SNS.
    message: &'a str,
}

impl Webhook<'_> {
    fn report(&self, kind: Kind) -> Report {
        let json = self.payload.to_string();
        let (id, theirs) = self.names(kind);
        let is_plain = |c: char| !c.is_control() && !c.is_whitespace();
        let id = match id {
            // One without an id is known by its content.
            id if id.is_empty() => digest(&json),
            id if id.len() > ID_MAX || !id.chars().all(is_plain) => digest(&id),
            id => id,
        };
        let payload = (json.len() <= PAYLOAD_MAX).then(|| self.payload.clone());
        Report { id, kind: theirs, payload, delivery: None }
    }

    /// The platform's id, empty if it gives none, and its type.
    fn names(&self, kind: Kind) -> (String, String) {
        let text = |pointer| self.text(pointer).to_owned();
        match kind {
            Kind::Stripe | Kind::Hmac => (text("/id"), text("/type")),
            Kind::StandardWebhooks => (self.header(&["svix-id", "webhook-id"]).to_owned(), text("/type")),
            Kind::Github => {
                let kind = joined(&[self.header(&["x-github-event"]), self.text("/action")]);
                (self.header(&["x-github-delivery"]).to_owned(), kind)
            }
            Kind::Shopify => {
                // Where both sets of headers are there, the newer one counts, as for the signature.
                let is_newer = self.headers.contains_key("shopify-hmac-sha256");
                let names = if is_newer {
                    ["shopify-webhook-id", "shopify-topic"]
                } else {
                    ["x-shopify-webhook-id", "x-shopify-topic"]
                };
                let [id, topic] = names.map(|name| self.header(&[name]).to_owned());
                (id, topic)
            }
            Kind::Slack => {
                let of_event = self.text("/event/type");
                let kind = if of_event.is_empty() { self.text("/type") } else { of_event };
                (text("/event_id"), kind.to_owned())
            }
            Kind::Twilio => self.of_twilio(),
            Kind::Sendgrid => self.of_sendgrid(),
            Kind::Ses => self.of_ses(),
            Kind::Paypal => (text("/id"), text("/event_type")),
            Kind::Abacatepay => self.of_abacatepay(),
        }
    }

    /// SES may publish an event twice, as two messages of SNS.
    fn of_ses(&self) -> (String, String) {
        let (event, mail) = (self.text("/eventType"), self.text("/mail/messageId"));
        if event.is_empty() || mail.is_empty() {
            return (self.message.to_owned(), event.to_owned());
        }
        // What is told of `DeliveryDelay` is in `deliveryDelay`.
        let mut member = event.to_owned();
        if let Some(first) = member.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        let of_event = |name: &str| self.text(&format!("/{member}/{name}")).to_owned();
        let more = [of_event("feedbackId"), of_event("timestamp")].into_iter().find(|text| !text.is_empty());
        (joined(&[mail, event, &more.unwrap_or_default()]).replace(' ', "_"), event.to_owned())
    }

    /// A message or call is reported once for each of its statuses.
    fn of_twilio(&self) -> (String, String) {
        let first = |names: &[&str]| {
            let texts = names.iter().map(|name| self.payload.get(*name).and_then(Value::as_str));
            texts.flatten().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
        };
        let (subject, sid, status) = match first(&["MessageSid", "SmsSid", "SmsMessageSid"]) {
            sid if !sid.is_empty() => ("message", sid, first(&["MessageStatus", "SmsStatus"])),
            _ => ("call", first(&["CallSid"]), first(&["CallStatus"])),
        };
        // Recordings and conferences of one call have no status: each is known by its content.
        let id = if sid.is_empty() || status.is_empty() { String::new() } else { joined(&[&sid, &status]) };
        let kind = if sid.is_empty() { String::new() } else { joined(&[subject, &status]) };
        (id, kind)
    }

    /// `sg_event_id` differs between repeats of one event. Two clicks of one second differ in their URL,
    /// and one message may have several recipients.
    fn of_sendgrid(&self) -> (String, String) {
        let ids = ["/genmux_id", "/sg_message_id", "/smtp-id"].map(|pointer| self.text(pointer));
        let message = ids.into_iter().find(|id| !id.is_empty()).unwrap_or_default();
        let event = self.text("/event");
        let Some(at) = self.payload.get("timestamp").filter(|_| !message.is_empty()) else {
            return (String::new(), event.to_owned());
        };
        let more = digest(&[self.text("/email"), self.text("/url")].join("\n"));
        (joined(&[message, event, &at.to_string(), &more[..16]]), event.to_owned())
    }

    /// An id is promised, and missing in its own examples: else the charge, its event and its status.
    fn of_abacatepay(&self) -> (String, String) {
        let event = self.text("/event");
        let id = match self.text("/id") {
            "" => {
                let objects = ["", "/transparent", "/checkout", "/billing", "/pixQrCode", "/payout"];
                let member = |name: &str| {
                    let found = objects.map(|object| self.text(&format!("/data{object}/{name}")));
                    found.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
                };
                match member("id") {
                    "" => String::new(),
                    charge => joined(&[charge, event, member("status")]),
                }
            }
            id => id.to_owned(),
        };
        (id, event.to_owned())
    }

    fn text(&self, pointer: &str) -> &str {
        self.payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The first of these headers that is there.
    fn header(&self, names: &[&str]) -> &str {
        let value = names.iter().find_map(|name| self.headers.get(*name));
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The parts that are not empty, with dots between them.
fn joined(parts: &[&str]) -> String {
    let parts: Vec<_> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(".")
}

fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

/// A form as an object of texts; the first value of a name counts.
fn form(body: &[u8]) -> Value {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        fields.entry(name).or_insert_with(|| Value::String(value.into_owned()));
    }
    Value::Object(fields)
}
