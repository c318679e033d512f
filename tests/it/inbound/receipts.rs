//! What vendors report of mails and texts, from their webhook to the delivery and its endpoint.

use std::collections::BTreeMap;

use domain::endpoint::SUPPRESSED_FOR;
use sim::channels::Play;

use super::*;
use crate::events::while_drained;

/// A sender with what reports for it: the vendor, its endpoint's kind and address, and the sender's name.
const SENDERS: [(&str, &str, &str, &str); 3] = [
    ("sendgrid", "email", "Anna@mail.example", "sendgrid"),
    ("ses", "email", "Anna@mail.example", "ses"),
    ("twilio", "sms", "+4915123456789", "twilio"),
];

/// A world that sends with one vendor, whose reports come to a source of the operator's.
struct Story {
    world: World,
    receiver: Receiver,
    platform: Platform,
    address: &'static str,
    endpoint: String,
}

/// Something sent: the event, and what the vendor was given to report with.
struct Sent {
    event: String,
    query: String,
}

impl Story {
    async fn new((vendor, kind, address, sender): (&'static str, &str, &'static str, &str)) -> Self {
        let platform = Platform::new(vendor, 1);
        let mut source = source("acct_operator", vendor, &[&platform]);
        source["deliveries"] = true.into();
        let list = json!([source]).to_string();
        let env = [("INBOUND_SOURCES", list.as_str()), ("SENDERS", sender)];
        let world = World::with(|options| options.env = Env::from_pairs(env)).await;
        let receiver = Receiver::start().await;
        listen(&world, &receiver, "/others", &["endpoint.disabled"]).await;
        let endpoint = new_endpoint(&world, kind, address).await;
        Self { world, receiver, platform, address, endpoint }
    }

    /// Sends a test event, and reads at the vendor how it may report it.
    async fn send(&self) -> Sent {
        let path = format!("/v1/endpoints/{}/test", self.endpoint);
        let tested = while_drained(&self.world, self.world.call(Method::POST, &path, &[], None)).await;
        assert_eq!(tested.text("/status"), "delivered", "{tested:?}");
        let event = tested.text("/event").to_owned();
        let body = self.world.stack.channels.taken().pop().expect("it was sent").body;
        let query = match self.platform.kind {
            "twilio" => body["StatusCallback"].as_str().unwrap().split_once('?').unwrap().1.to_owned(),
            "sendgrid" => {
                let of = json!({"genmux_id": event, "endpoint": self.endpoint});
                assert_eq!(body["custom_args"], of);
                String::new()
            }
            _ => {
                assert_eq!(body["ConfigurationSetName"], "genmux");
                let tag = |name: &str, value: &str| json!({"Name": name, "Value": value});
                assert_eq!(body["EmailTags"], json!([tag("endpoint", &self.endpoint), tag("event", &event)]));
                String::new()
            }
        };
        Sent { event, query }
    }

    /// The body of a report, in the vendor's own words.
    fn report(&self, sent: &Sent, fate: &str, at: i64) -> String {
        match self.platform.kind {
            "sendgrid" => {
                let event = match fate {
                    "sent" => "processed",
                    "bounced" => "bounce",
                    "complained" => "spamreport",
                    "unsubscribed" => "unsubscribe",
                    other => other,
                };
                json!([{"event": event, "email": self.address, "timestamp": at, "sg_message_id": "m",
                    "genmux_id": sent.event, "endpoint": self.endpoint}])
                .to_string()
            }
            "twilio" => {
                let (status, code) = match fate {
                    "bounced" => ("undelivered", "30005"),
                    "unsubscribed" => ("failed", "21610"),
                    other => (other, ""),
                };
                format!(
                    "MessageSid=SM{at}&MessageStatus={status}&ErrorCode={code}&To=%2B{}",
                    &self.address[1..]
                )
            }
            _ => {
                let (event, more) = match fate {
                    "sent" => ("Send", json!({})),
                    "delivered" => ("Delivery", json!({})),
                    "absent" => ("Bounce", json!({"bounceType": "Transient", "bounceSubType": "General"})),
                    "bounced" => ("Bounce", json!({"bounceType": "Permanent", "bounceSubType": "General"})),
                    "complained" => ("Complaint", json!({"complaintFeedbackType": "abuse"})),
                    other => panic!("SES does not report {other}"),
                };
                self.platform.notification(&json!({"eventType": event, event.to_lowercase(): more,
                    "mail": {"messageId": at.to_string(), "destination": [self.address],
                        "tags": {"endpoint": [self.endpoint], "event": [sent.event]}}}))
            }
        }
    }

    async fn post(&self, sent: &Sent, fate: &str, at: i64) -> Answer {
        let base = path(&self.world, "acct_operator", self.platform.kind);
        let path = if sent.query.is_empty() { base } else { format!("{base}?{}", sent.query) };
        let url = format!("{}{path}", self.world.stack.api_url);
        let (body, at_s) = (self.report(sent, fate, at), self.world.clock.now().as_secs());
        let platform = &self.platform;
        Webhook { platform, path, url, id: "", theirs: "", body, at_s }.send(&self.world).await
    }

    async fn reports(&self, sent: &Sent, fate: &str, at: i64) {
        let answer = self.post(sent, fate, at).await;
        assert_eq!(answer.status, StatusCode::OK, "{fate}: {answer:?}");
        self.world.drain().await;
    }

    async fn receipt(&self, sent: &Sent) -> String {
        let path = format!("/v1/events/{}/deliveries", sent.event);
        let found = self.world.call(Method::GET, &path, &[], None).await;
        assert_eq!(found.text("/deliveries/0/status"), "delivered", "{found:?}");
        found.text("/deliveries/0/receipt/status").to_owned()
    }

    async fn shown(&self) -> Value {
        self.world.call(Method::GET, &format!("/v1/endpoints/{}", self.endpoint), &[], None).await.body
    }

    /// No endpoint is made for its address, and none is moved there.
    async fn is_suppressed_for_90_days(&self, kind: &str) {
        let address = self.address.replace("Anna", "anna");
        let new = json!({"kind": kind, "to": address, "types": ["job.*"]}).to_string();
        let other = self.world.call(Method::POST, "/v1/endpoints", &[], Some(&new)).await;
        let moved = self.change(json!({"to": address})).await;
        for refused in [other, moved] {
            assert_eq!(
                (refused.status.as_u16(), refused.text("/errors/0/field")),
                (422, "to"),
                "{refused:?}"
            );
        }
        self.world.clock.advance(SUPPRESSED_FOR);
        new_endpoint(&self.world, kind, &address).await;
    }

    async fn change(&self, change: Value) -> Answer {
        let path = format!("/v1/endpoints/{}", self.endpoint);
        self.world.call(Method::PATCH, &path, &[], Some(&change.to_string())).await
    }
}

async fn new_endpoint(world: &World, kind: &str, address: &str) -> String {
    let body = json!({"kind": kind, "to": address, "types": ["job.*"]}).to_string();
    let made = world.call(Method::POST, "/v1/endpoints", &[], Some(&body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.text("/id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_move_a_delivery_forward_and_the_end_of_an_address_disables_its_endpoint() {
    for sender in SENDERS {
        let story = Story::new(sender).await;
        let vendor = story.platform.kind;
        let sent = story.send().await;
        assert_eq!(story.receipt(&sent).await, "", "{vendor}");
        for (fate, known) in [("delivered", "delivered"), ("sent", "delivered"), ("delivered", "delivered")] {
            story.reports(&sent, fate, 1).await;
            assert_eq!(story.receipt(&sent).await, known, "{vendor}: {fate}");
        }
        if vendor == "ses" {
            // An absent reader's note comes after the arrival.
            story.reports(&sent, "absent", 2).await;
            assert_eq!(story.receipt(&sent).await, "delivered");
        }
        assert_eq!(story.shown().await["status"], "enabled", "{vendor}");

        let end = if vendor == "twilio" { "unsubscribed" } else { "complained" };
        for fate in ["bounced", end, "delivered", "bounced", end] {
            story.reports(&sent, fate, 3).await;
        }
        assert_eq!(story.receipt(&sent).await, end, "{vendor}");
        let shown = story.shown().await;
        assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("bounced")));
        assert_eq!(types(&story.receiver, "/others"), ["endpoint.disabled"], "{vendor}");
        assert_eq!(story.receiver.at("/others")[0].json()["data"]["reason"], "bounced");

        // At another address, what comes late of the first one changes nothing.
        let refused = story.change(json!({"status": "enabled"})).await;
        assert_eq!(refused.text("/errors/0/field"), "status", "{refused:?}");
        let other = if vendor == "twilio" { "+4915123456780" } else { "bert@mail.example" };
        let moved = story.change(json!({"to": other})).await;
        assert_eq!(moved.text("/status"), "paused", "{moved:?}");
        assert_eq!(story.change(json!({"status": "enabled"})).await.text("/status"), "enabled");
        story.reports(&sent, end, 4).await;
        assert_eq!(story.shown().await["status"], "enabled", "{vendor}");
        story.is_suppressed_for_90_days(sender.1).await;
        story.world.audit().await;
    }
}

/// The endpoint was moved, or deleted, before its reader complained.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_complaint_ends_the_address_without_its_endpoint() {
    for is_deleted in [false, true] {
        let story = Story::new(SENDERS[0]).await;
        let sent = story.send().await;
        if is_deleted {
            let path = format!("/v1/endpoints/{}", story.endpoint);
            let deleted = story.world.call(Method::DELETE, &path, &[], None).await;
            assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{deleted:?}");
        } else {
            story.change(json!({"to": "bert@mail.example"})).await;
        }
        story.reports(&sent, "bounced", 1).await;
        let new = json!({"kind": SENDERS[0].1, "to": story.address, "types": ["job.*"]}).to_string();
        let refused = story.world.call(Method::POST, "/v1/endpoints", &[], Some(&new)).await;
        assert_eq!(refused.text("/errors/0/field"), "to", "{is_deleted}: {refused:?}");
        story.world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_survives_a_crash_a_failure_and_a_lost_answer_at_every_effect() {
    let story = Story::new(SENDERS[0]).await;
    let bounced = async |at: i64| {
        // Another address each time: the last one has bounced; and in another hour.
        story.world.clock.advance(Duration::from_secs(3_600));
        let to = format!("reader{at}@mail.example");
        let moved = story.change(json!({"to": to, "status": "enabled"})).await;
        assert_eq!(moved.text("/status"), "enabled", "{moved:?}");
        let sent = story.send().await;
        let report = json!([{"event": "bounce", "email": to, "timestamp": at, "genmux_id": sent.event,
            "endpoint": story.endpoint}]);
        (sent, report.to_string())
    };
    let play = async |body: String| {
        let base = Webhook::to(&story.world, &story.platform, "sendgrid", "", "");
        let path = path(&story.world, "acct_operator", "sendgrid");
        let url = format!("{}{path}", story.world.stack.api_url);
        let webhook = Webhook { path, url, body, ..base };
        // As SendGrid does, until it is taken.
        while webhook.send(&story.world).await.status != StatusCode::OK {}
        let before = story.receiver.count("/others");
        for _ in 0..20 {
            story.world.drain().await;
            if story.receiver.count("/others") > before {
                break;
            }
            story.world.advance(Duration::from_secs(60)).await;
            story.world.reconcile().await;
        }
    };
    let (_, body) = bounced(1).await;
    play(body).await;
    let (_, body) = bounced(2).await;
    story.world.wire.reset();
    play(body).await;
    let effects = story.world.wire.effects();
    assert!(effects >= 5, "{effects}");
    let mut at = 2;
    for k in 0..effects {
        for moment in [Some(Moment::Before), Some(Moment::After), None] {
            at += 1;
            let (sent, body) = bounced(at).await;
            story.world.wire.reset();
            match moment {
                Some(moment) if at % 2 == 0 => story.world.wire.crash_at(k, moment),
                Some(moment) => story.world.wire.fail_at(k, moment),
                None => story.world.wire.lose_answer_at(k),
            }
            play(body).await;
            story.world.wire.reset();
            let case = format!("effect {k} {moment:?}");
            assert_eq!(story.receipt(&sent).await, "bounced", "{case}");
            let shown = story.shown().await;
            assert_eq!(
                (&shown["status"], &shown["disabled_reason"]),
                (&json!("disabled"), &json!("bounced"))
            );
        }
    }
    // One event for each time that it was disabled, however often it came.
    let events = story.receiver.at("/others").into_iter();
    let ids: BTreeMap<_, _> = events.map(|one| (one.header("webhook-id").to_owned(), one.body)).collect();
    assert_eq!(ids.len(), usize::try_from(at).unwrap());
    story.world.audit().await;
}

/// The vendor is faster than our own record of the try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_overtakes_the_record_of_its_try_is_kept_and_so_is_the_try() {
    let story = Story::new(SENDERS[0]).await;
    for fate in ["delivered", "complained"] {
        story.world.stack.channels.play("sendgrid", Play::Slow(Duration::from_millis(300)));
        let sending = story.send();
        let reporting = async {
            let before = story.world.stack.channels.taken().len();
            while story.world.stack.channels.taken().len() == before {
                tokio::task::yield_now().await;
            }
            let body = story.world.stack.channels.taken().pop().unwrap().body;
            let event = body["custom_args"]["genmux_id"].as_str().unwrap().to_owned();
            let sent = Sent { event, query: String::new() };
            assert_eq!(story.post(&sent, fate, 1).await.status, StatusCode::OK);
            sent
        };
        let (sent, _) = tokio::join!(sending, reporting);
        story.world.drain().await;
        assert_eq!(story.receipt(&sent).await, fate);
        let path = format!("/v1/events/{}/deliveries", sent.event);
        let found = story.world.call(Method::GET, &path, &[], None).await;
        assert_eq!(found.body["deliveries"][0]["tries"].as_array().unwrap().len(), 1, "{found:?}");
        assert_eq!(found.text("/deliveries/0/tries/0/error"), "", "{found:?}");
    }
    assert_eq!(story.shown().await["disabled_reason"], "complained");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_at_the_same_time_and_in_reverse_change_nothing() {
    let story = Story::new(SENDERS[0]).await;
    let sent = story.send().await;
    story.world.wire.reset();
    story.world.wire.double();
    for (at, fate) in ["sent", "delivered", "complained", "delivered"].into_iter().enumerate() {
        story.reports(&sent, fate, i64::try_from(at).unwrap()).await;
    }
    let before = (story.receipt(&sent).await, story.shown().await);
    assert_eq!((before.0.as_str(), &before.1["disabled_reason"]), ("complained", &json!("complained")));
    for (function, event) in story.world.wire.invocations().into_iter().rev() {
        if ["notify", "deliver"].contains(&function.as_str()) {
            let _answer = story.world.stack.host.invoke(&function, event).await;
        }
    }
    story.world.drain().await;
    assert_eq!((story.receipt(&sent).await, story.shown().await), before);
    assert_eq!(story.receiver.count("/others"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_customers_own_sender_reports_moves_nothing_of_ours() {
    let platform = Platform::new("sendgrid", 1);
    let world = world(vec![source(ACCOUNT, "sendgrid", &[&platform])]).await;
    let endpoint = new_endpoint(&world, "email", "anna@mail.example").await;
    let test = format!("/v1/endpoints/{endpoint}/test");
    let tested = while_drained(&world, world.call(Method::POST, &test, &[], None)).await;
    let event = tested.text("/event");
    let body = json!([{"event": "spamreport", "email": "anna@mail.example", "timestamp": 1,
        "genmux_id": event, "endpoint": endpoint}]);
    let webhook = Webhook { body: body.to_string(), ..Webhook::new(&world, &platform, "", "") };
    webhook.is_taken(&world).await;
    world.drain().await;
    let found = world.call(Method::GET, &format!("/v1/events/{event}/deliveries"), &[], None).await;
    assert_eq!(found.body["deliveries"][0]["receipt"], Value::Null);
    let shown = world.call(Method::GET, &format!("/v1/endpoints/{endpoint}"), &[], None).await;
    assert_eq!(shown.text("/status"), "enabled");
}
