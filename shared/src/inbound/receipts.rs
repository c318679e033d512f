//! What a platform reports of a mail or a text of ours: which one, and what became of it.

use domain::delivery::{Fate, Reported};
use serde_json::Value;
use url::form_urlencoded;

use super::Kind;

/// Numbers that take no texts: by <https://www.twilio.com/docs/api/errors>, they are malformed, no mobile phones,
/// or unknown. 30006 is not among them: it is a landline, or a carrier that our own number cannot reach.
const BAD_NUMBERS: [&str; 5] = ["21211", "21217", "21614", "21635", "30005"];
/// A reader who answered STOP.
const UNSUBSCRIBED: &str = "21610";

/// `query` is of the URL that was called. `None` for what is not about something of ours, or says nothing of
/// what became of it.
pub(super) fn reported(kind: Kind, query: &str, payload: &Value) -> Option<Reported> {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let named = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    let of_query = |name: &str| named(name).map(|(_, value)| value.into_owned()).unwrap_or_default();
    let (event, endpoint, address, fate) = match kind {
        Kind::Sendgrid => {
            let fate = of_sendgrid(text("/event"), text("/type"), text("/reason"))?;
            (text("/genmux_id").to_owned(), text("/endpoint").to_owned(), text("/email"), fate)
        }
        Kind::Ses => {
            let tag = |name: &str| text(&format!("/mail/tags/{name}/0")).to_owned();
            (tag("event"), tag("endpoint"), text("/mail/destination/0"), of_ses(payload)?)
        }
        Kind::Twilio => {
            let fate = of_twilio(text("/MessageStatus"), text("/ErrorCode"))?;
            (of_query("event"), of_query("endpoint"), text("/To"), fate)
        }
        _ => return None,
    };
    let (event, endpoint) = (event.parse().ok()?, endpoint.parse().ok()?);
    Some(Reported { event, endpoint, address: address.to_owned(), fate })
}

/// By <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>. What is dropped was not sent
/// because of what SendGrid knows of the address.
fn of_sendgrid(event: &str, kind: &str, reason: &str) -> Option<Fate> {
    Some(match event {
        "processed" => Fate::Sent,
        "deferred" => Fate::Delayed,
        "delivered" | "open" | "click" => Fate::Delivered,
        "bounce" if kind == "blocked" => Fate::Failed,
        "bounce" => Fate::Bounced,
        "dropped" => match reason {
            "Bounced Address" => Fate::Bounced,
            "Unsubscribed Address" => Fate::Unsubscribed,
            "Spam Reporting Address" => Fate::Complained,
            _ => Fate::Failed,
        },
        "spamreport" => Fate::Complained,
        "unsubscribe" | "group_unsubscribe" => Fate::Unsubscribed,
        _ => return None,
    })
}

/// By <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>. A bounce that is
/// not permanent may be the note of an absent reader.
fn of_ses(payload: &Value) -> Option<Fate> {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
    Some(match text("/eventType")? {
        "Send" => Fate::Sent,
        "DeliveryDelay" => Fate::Delayed,
        "Delivery" | "Open" | "Click" => Fate::Delivered,
        "Bounce" if text("/bounce/bounceType") == Some("Permanent") => Fate::Bounced,
        "Bounce" | "Reject" | "Rendering Failure" => Fate::Failed,
        // A reader may also say that it is none.
        "Complaint" if text("/complaint/complaintFeedbackType") == Some("not-spam") => return None,
        "Complaint" => Fate::Complained,
        _ => return None,
    })
}

/// By <https://www.twilio.com/docs/messaging/api/message-resource#message-status-values>.
fn of_twilio(status: &str, code: &str) -> Option<Fate> {
    Some(match status {
        "accepted" | "scheduled" | "queued" | "sending" | "sent" => Fate::Sent,
        "delivered" | "partially_delivered" | "read" => Fate::Delivered,
        "undelivered" | "failed" if code == UNSUBSCRIBED => Fate::Unsubscribed,
        "undelivered" | "failed" if BAD_NUMBERS.contains(&code) => Fate::Bounced,
        "undelivered" | "failed" | "canceled" => Fate::Failed,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use domain::id::{EndpointId, EventId};
    use serde_json::json;

    use super::*;

    fn fate(kind: Kind, query: &str, payload: &Value) -> Option<Fate> {
        let found = reported(kind, query, payload)?;
        assert_eq!(found.event, EventId::from_bytes([1; 16]));
        assert_eq!(found.endpoint, EndpointId::from_bytes([2; 16]));
        assert_eq!(found.address, "anna@a.example");
        Some(found.fate)
    }

    fn ids() -> (String, String) {
        (EventId::from_bytes([1; 16]).to_string(), EndpointId::from_bytes([2; 16]).to_string())
    }

    #[test]
    fn each_event_of_sendgrid_has_its_meaning() {
        let (event, endpoint) = ids();
        let of = |name: &str, kind: &str, reason: &str| {
            let payload = json!({"event": name, "type": kind, "reason": reason, "email": "anna@a.example",
                "genmux_id": event, "endpoint": endpoint, "timestamp": 1});
            fate(Kind::Sendgrid, "", &payload)
        };
        for (name, kind, reason, fate) in [
            ("processed", "", "", Some(Fate::Sent)),
            ("deferred", "", "", Some(Fate::Delayed)),
            ("delivered", "", "", Some(Fate::Delivered)),
            ("open", "", "", Some(Fate::Delivered)),
            ("bounce", "bounce", "550 5.1.1 unknown", Some(Fate::Bounced)),
            ("bounce", "blocked", "421 try again", Some(Fate::Failed)),
            ("dropped", "", "Bounced Address", Some(Fate::Bounced)),
            ("dropped", "", "Unsubscribed Address", Some(Fate::Unsubscribed)),
            ("dropped", "", "Spam Reporting Address", Some(Fate::Complained)),
            ("dropped", "", "Recipient List over Package Quota", Some(Fate::Failed)),
            ("spamreport", "", "", Some(Fate::Complained)),
            ("group_unsubscribe", "", "", Some(Fate::Unsubscribed)),
            ("group_resubscribe", "", "", None),
            ("account_status_change", "", "", None),
        ] {
            assert_eq!(of(name, kind, reason), fate, "{name} {kind} {reason}");
        }
        // A mail of another system of the same account.
        assert_eq!(
            reported(Kind::Sendgrid, "", &json!({"event": "bounce", "email": "anna@a.example"})),
            None
        );
    }

    #[test]
    fn each_event_of_ses_has_its_meaning() {
        let (event, endpoint) = ids();
        let of = |name: &str, more: Value| {
            let mut payload = json!({"eventType": name, "mail": {"destination": ["anna@a.example"],
                "tags": {"event": [event], "endpoint": [endpoint], "ses:caller-identity": ["a"]}}});
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            fate(Kind::Ses, "", &payload)
        };
        let bounce = |kind: &str| json!({"bounce": {"bounceType": kind, "bounceSubType": "General"}});
        for (name, more, fate) in [
            ("Send", json!({}), Some(Fate::Sent)),
            ("DeliveryDelay", json!({}), Some(Fate::Delayed)),
            ("Delivery", json!({}), Some(Fate::Delivered)),
            ("Bounce", bounce("Permanent"), Some(Fate::Bounced)),
            ("Bounce", bounce("Transient"), Some(Fate::Failed)),
            ("Bounce", bounce("Undetermined"), Some(Fate::Failed)),
            ("Reject", json!({}), Some(Fate::Failed)),
            ("Rendering Failure", json!({}), Some(Fate::Failed)),
            ("Complaint", json!({"complaint": {"complaintFeedbackType": "abuse"}}), Some(Fate::Complained)),
            ("Complaint", json!({"complaint": {}}), Some(Fate::Complained)),
            ("Complaint", json!({"complaint": {"complaintFeedbackType": "not-spam"}}), None),
            ("Subscription", json!({}), None),
        ] {
            assert_eq!(of(name, more.clone()), fate, "{name} {more}");
        }
        assert_eq!(reported(Kind::Ses, "", &json!({"notificationType": "Bounce"})), None);
    }

    #[test]
    fn each_status_of_twilio_has_its_meaning() {
        let (event, endpoint) = ids();
        let query = format!("event={event}&endpoint={endpoint}");
        let of = |status: &str, code: &str| {
            let payload = json!({"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": code,
                "To": "anna@a.example"});
            fate(Kind::Twilio, &query, &payload)
        };
        for (status, code, fate) in [
            ("queued", "", Some(Fate::Sent)),
            ("sent", "", Some(Fate::Sent)),
            ("delivered", "", Some(Fate::Delivered)),
            ("read", "", Some(Fate::Delivered)),
            ("undelivered", "30003", Some(Fate::Failed)),
            ("undelivered", "30005", Some(Fate::Bounced)),
            ("undelivered", "21610", Some(Fate::Unsubscribed)),
            ("failed", "", Some(Fate::Failed)),
            ("canceled", "", Some(Fate::Failed)),
            ("received", "", None),
        ] {
            assert_eq!(of(status, code), fate, "{status} {code}");
        }
        let payload = json!({"MessageStatus": "failed", "To": "anna@a.example"});
        for query in ["", "event=a&endpoint=b", &format!("event={event}")] {
            assert_eq!(reported(Kind::Twilio, query, &payload), None, "{query}");
        }
        assert_eq!(reported(Kind::Stripe, &query, &payload), None);
    }
}
