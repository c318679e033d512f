//! Sources as their owner writes them, their URLs, and what their webhooks say.

use domain::id::{EndpointId, EventId};
use http::HeaderName;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "a signing key of more than 32 characters";

fn keys(text: &str) -> TokenKeys {
    TokenKeys::parse(text).unwrap()
}

fn sources(list: &Value) -> Result<Sources, String> {
    Sources::parse(&list.to_string(), keys(KEY))
}

fn account(text: &str) -> AccountId {
    text.parse().unwrap()
}

fn name(text: &str) -> SourceName {
    text.parse().unwrap()
}

#[test]
fn a_source_has_the_kind_of_its_name_or_the_one_that_is_written() {
    let list = json!([
        {"source": "stripe", "account": "acct_anna", "secrets": ["whsec_a", "whsec_b"]},
        {"source": "billing", "kind": "hmac", "account": "acct_anna", "secrets": ["s"]},
        {"source": "stripe", "account": "acct_bert", "secrets": ["whsec_c"]},
    ]);
    let sources = sources(&list).unwrap();
    assert_eq!(sources.len(), 3);
    let kind = |account: &str, source: &str| {
        let (account, source) = (self::account(account), name(source));
        let token = keys(KEY).sign(&account, &source).unwrap();
        let found = sources.find(source.as_str(), &token).unwrap();
        assert_eq!((&found.account, &found.name), (&account, &source));
        found.kind
    };
    assert_eq!(kind("acct_anna", "stripe"), Kind::Stripe);
    assert_eq!(kind("acct_anna", "billing"), Kind::Hmac);
    assert_eq!(kind("acct_bert", "stripe"), Kind::Stripe);
}

#[test]
fn what_is_wrong_with_a_list_is_named_without_a_word_of_a_secret() {
    let of = |change: Value| {
        let mut written = json!({"source": "stripe", "account": "acct_a", "secrets": ["hunter2"]});
        written.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!([{"source": "github", "account": "acct_a", "secrets": ["hunter2"]}, written])
    };
    for (list, named) in [
        (of(json!({"secrets": "hunter2"})), "[1].secrets: "),
        (of(json!({"secrets": ["hunter2", 2]})), "[1].secrets[1]: "),
        (of(json!({"secrets": []})), "[1].secrets: keys and secrets must be present"),
        (of(json!({"secrets": ["hunter2", ""]})), "[1].secrets: keys and secrets must be present"),
        (of(json!({"kind": "sendgrid"})), "[1].secrets: keys and secrets must be present"),
        (of(json!({"source": "Stripe"})), "[1].source: "),
        (of(json!({"source": "billing"})), "[1].kind must be one of: stripe, github, "),
        (of(json!({"kind": "stripe2"})), "[1].kind must be one of: stripe, github, "),
        (of(json!({"account": "anna"})), "[1].account: "),
        (of(json!({"secret": "hunter2"})), "[1].secret: "),
        (of(json!({"deliveries": true})), "[1].deliveries: a source of the kind stripe reports none"),
        (of(json!({"kind": "ses"})), "[1].secrets: keys and secrets must be present"),
        (of(json!({"kind": "paypal", "authorities": "hunter2"})), "[1].secrets: keys and secrets must be"),
        (of(json!({"source": "github"})), "[1].source: the account has one of this name"),
        (json!({"hunter2": []}), ".: "),
        (json!("hunter2"), ".: "),
    ] {
        let wrong = sources(&list).unwrap_err();
        assert!(wrong.starts_with(named) && !wrong.contains("hunter2"), "{list}: {wrong}");
    }
    assert_eq!(Sources::parse("[hunter2", keys(KEY)).unwrap_err(), "is not JSON: line 1");
    let text = format!("{:?}", sources(&of(json!({}))).unwrap());
    assert!(!text.contains("hunter2") && !text.contains(KEY), "{text}");
}

#[test]
fn a_token_is_good_for_its_own_account_and_source_and_survives_a_change_of_keys() {
    let (anna, stripe) = (account("acct_anna"), name("stripe"));
    let old = keys(KEY);
    let token = old.sign(&anna, &stripe).unwrap();
    assert!(token.starts_with("anna.") && token.len() == 5 + 26, "{token}");
    let both = keys(&format!("another key of more than 32 characters, {KEY}"));
    assert_eq!(both.verify(&token, &stripe), Some(anna.clone()));
    assert_ne!(both.sign(&anna, &stripe).unwrap(), token);
    assert_eq!(old.verify(&token, &name("stripe2")), None);
    let mac = token.strip_prefix("anna.").unwrap();
    for other in [
        format!("bert.{mac}"),
        format!("ann.a{mac}"),
        token.to_uppercase(),
        format!("anna.{}", mac.to_uppercase()),
        token[..token.len() - 1].to_owned(),
        format!("{token}.a"),
        format!("{token}="),
        mac.to_owned(),
        "anna.".to_owned(),
        String::new(),
    ] {
        assert_eq!(old.verify(&other, &stripe), None, "{other}");
    }
    assert_eq!(TokenKeys::none().verify(&token, &stripe), None);
    assert!(TokenKeys::parse("short").is_err() && TokenKeys::parse(&format!("{KEY},")).is_err());
    let api = "https://api.example/genmux/".parse().unwrap();
    let url = format!("https://api.example/genmux/v1/inbound/stripe/{token}");
    assert_eq!(old.url(&api, &anna, &stripe), Some(url));
}

/// A source of this kind, whose signature is not asked about.
fn source(kind: Kind) -> Source {
    let signing = Kind::Hmac.signing(&[Secret::new("s")], None).unwrap();
    Source { name: name("ours"), account: account("acct_anna"), kind, deliveries: false, signing }
}

fn content(kind: Kind, headers: &HeaderMap, body: &str) -> Result<Content, Unreadable> {
    read::content(&source(kind), "", headers, body.as_bytes())
}

/// The ids, types and payloads of a webhook.
fn read(kind: Kind, headers: &[(&str, &str)], body: &str) -> Vec<Report> {
    let headers =
        headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
    match content(kind, &headers.collect(), body) {
        Ok(Content::Reports(reports)) => reports,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_kind_gives_the_platforms_id_and_type() {
    let github = [("x-github-event", "pull_request"), ("x-github-delivery", "72d3162e")];
    let shopify = [("x-shopify-topic", "orders/create"), ("x-shopify-webhook-id", "b54557e4")];
    let newer = [("shopify-hmac-sha256", "x"), ("shopify-topic", "orders/paid"), ("shopify-webhook-id", "n")];
    let newer = [&newer[..], &shopify[..]].concat();
    for (kind, headers, body, id, theirs) in [
        (Kind::Stripe, &[][..], r#"{"id": "evt_1", "type": "charge.failed"}"#, "evt_1", "charge.failed"),
        (Kind::Hmac, &[], r#"{"id": "7", "type": "paid"}"#, "7", "paid"),
        (Kind::StandardWebhooks, &[("webhook-id", "msg_1")], r#"{"type": "a.b"}"#, "msg_1", "a.b"),
        (
            Kind::StandardWebhooks,
            &[("webhook-id", "msg_1"), ("svix-id", "msg_2")],
            r#"{"type": "a.b"}"#,
            "msg_2",
            "a.b",
        ),
        (Kind::Github, &github, r#"{"action": "opened"}"#, "72d3162e", "pull_request.opened"),
        (Kind::Github, &github, "{}", "72d3162e", "pull_request"),
        (Kind::Shopify, &shopify, r#"{"id": 820982911946154508}"#, "b54557e4", "orders/create"),
        (Kind::Shopify, &newer, "{}", "n", "orders/paid"),
        (
            Kind::Slack,
            &[],
            r#"{"type": "event_callback", "event_id": "Ev1", "event": {"type": "app_mention"}}"#,
            "Ev1",
            "app_mention",
        ),
        (Kind::Twilio, &[], "MessageSid=SM1&MessageStatus=sent&SmsStatus=x", "SM1.sent", "message.sent"),
        (Kind::Twilio, &[], "SmsSid=SM1&SmsStatus=received&Body=a+b", "SM1.received", "message.received"),
        (Kind::Twilio, &[], "CallSid=CA1&CallStatus=in-progress", "CA1.in-progress", "call.in-progress"),
        (
            Kind::Paypal,
            &[],
            r#"{"id": "WH-1", "event_type": "PAYMENT.CAPTURE.COMPLETED"}"#,
            "WH-1",
            "PAYMENT.CAPTURE.COMPLETED",
        ),
        (
            Kind::Abacatepay,
            &[],
            r#"{"id": "log_1", "event": "checkout.completed", "data": {"checkout": {"id": "bill_1"}}}"#,
            "log_1",
            "checkout.completed",
        ),
        (
            Kind::Abacatepay,
            &[],
            r#"{"event": "transparent.completed", "data": {"transparent": {"id": "char_1", "status": "PAID"}}}"#,
            "char_1.transparent.completed.PAID",
            "transparent.completed",
        ),
    ] {
        let reports = read(kind, headers, body);
        assert_eq!(reports.len(), 1, "{body}");
        assert_eq!((reports[0].id.as_str(), reports[0].kind.as_str()), (id, theirs), "{body}");
    }
}

#[test]
fn an_event_of_ses_is_known_by_the_mail_and_not_by_the_message_that_brings_it() {
    let of = |event: &Value, message: &str| {
        let body = json!({"Type": "Notification", "MessageId": message, "Message": event.to_string()});
        let report = read(Kind::Ses, &[], &body.to_string()).remove(0);
        (report.id, report.kind, report.payload.unwrap())
    };
    let bounce = json!({"eventType": "Bounce", "mail": {"messageId": "m1"}, "bounce": {"feedbackId": "f1"}});
    assert_eq!(of(&bounce, "1"), ("m1.Bounce.f1".to_owned(), "Bounce".to_owned(), bounce.clone()));
    assert_eq!(of(&bounce, "2"), of(&bounce, "1"));
    let delay = json!({"eventType": "DeliveryDelay", "mail": {"messageId": "m1"},
        "deliveryDelay": {"timestamp": "2026-11-29T10:00:00.000Z"}});
    assert_eq!(of(&delay, "1").0, "m1.DeliveryDelay.2026-11-29T10:00:00.000Z");
    let odd = json!({"eventType": "Ü", "mail": {"messageId": "m1"}});
    assert_eq!(of(&odd, "1").0, "m1.Ü");
    // What is of another sender to the same topic.
    let (id, kind, payload) = of(&json!("a text"), "1");
    assert_eq!((&*id, &*kind, &payload["Message"]), ("1", "", &json!("\"a text\"")));
}

#[test]
fn a_subscription_is_confirmed_at_the_host_of_the_topic() {
    let host = "https://sns.eu-central-1.amazonaws.com";
    let body = json!({"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:eu-central-1:1:a",
        "Token": "t&x", "SubscribeURL": "https://evil.example/",
        "SigningCertURL": format!("{host}/SimpleNotificationService-1.pem")});
    let url = format!(
        "{host}/?Action=ConfirmSubscription&TopicArn=arn%3Aaws%3Asns%3Aeu-central-1%3A1%3Aa&Token=t%26x"
    );
    let Ok(Content::Confirm(found)) = content(Kind::Ses, &HeaderMap::new(), &body.to_string()) else {
        panic!("it is to be confirmed")
    };
    assert_eq!(found.as_str(), url);
    let ended = json!({"Type": "UnsubscribeConfirmation"}).to_string();
    assert_eq!(content(Kind::Ses, &HeaderMap::new(), &ended), Ok(Content::Reports(vec![])));
}

#[test]
fn only_a_source_of_the_owners_sender_reports_deliveries() {
    let (event, endpoint) = (EventId::from_bytes([1; 16]), EndpointId::from_bytes([2; 16]));
    let body = json!([{"event": "bounce", "email": "a@b.example", "genmux_id": event, "endpoint": endpoint}]);
    for deliveries in [true, false] {
        let source = Source { deliveries, ..source(Kind::Sendgrid) };
        let found = read::content(&source, "", &HeaderMap::new(), body.to_string().as_bytes());
        let Ok(Content::Reports(reports)) = found else { panic!("{found:?}") };
        assert_eq!(reports[0].delivery.is_some(), deliveries);
    }
}

#[test]
fn a_repeat_of_sendgrid_has_the_same_id_although_its_own_differs() {
    let event = |of: Value| {
        let mut event = json!({"email": "a@b.example", "timestamp": 1_513_299_569, "event": "delivered",
            "sg_message_id": "m1", "sg_event_id": "e1"});
        event.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        event
    };
    let others = [
        json!({}),
        json!({"event": "open"}),
        json!({"timestamp": 1_513_299_570}),
        json!({"sg_message_id": "m2"}),
        json!({"genmux_id": "evt_1"}),
        json!({"email": "c@b.example"}),
        json!({"event": "click", "url": "https://a.example"}),
        json!({"event": "click", "url": "https://b.example"}),
    ];
    let ids = |again: Value| {
        let events: Vec<_> = others
            .iter()
            .map(|of| {
                let mut of = of.clone();
                of.as_object_mut().unwrap().extend(again.as_object().unwrap().clone());
                event(of)
            })
            .collect();
        let reports = read(Kind::Sendgrid, &[], &Value::from(events).to_string());
        reports.into_iter().map(|report| report.id).collect::<Vec<_>>()
    };
    let first = ids(json!({}));
    assert!(first[0].starts_with("m1.delivered.1513299569."), "{first:?}");
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), others.len(), "{first:?}");
    assert_eq!(ids(json!({"sg_event_id": "e2"})), first);
}

#[test]
fn an_event_without_a_usable_id_is_known_by_its_content() {
    let id = |body: &str| read(Kind::Stripe, &[], body).remove(0).id;
    let digest = id(r#"{"a": 1, "b": 2}"#);
    assert_eq!(digest.len(), 64);
    assert_eq!(id(r#"{"b": 2, "a": 1}"#), digest);
    assert_ne!(id(r#"{"a": 1}"#), digest);
    for strange in ["a b", "a\\u0000", &"a".repeat(201)] {
        assert_eq!(id(&format!(r#"{{"id": "{strange}"}}"#)).len(), 64, "{strange}");
    }
    assert_eq!(id(&format!(r#"{{"id": "{}"}}"#, "a".repeat(200))).len(), 200);
    let reports = read(Kind::Twilio, &[], "To=1");
    assert_eq!((reports[0].id.len(), reports[0].kind.as_str()), (64, ""));
}

#[test]
fn a_long_payload_is_left_out() {
    let body = |length: usize| json!({"id": "evt_1", "type": "a", "x": "x".repeat(length)}).to_string();
    assert!(read(Kind::Stripe, &[], &body(15_000))[0].payload.is_some());
    let report = read(Kind::Stripe, &[], &body(16_000)).remove(0);
    assert_eq!((report.id.as_str(), report.payload), ("evt_1", None));
}

#[test]
fn a_form_becomes_an_object_of_texts() {
    let payload = read(Kind::Twilio, &[], "From=%2B1555&Body=a+%26+b&Body=c&=x")[0].payload.clone();
    assert_eq!(payload, Some(json!({"From": "+1555", "Body": "a & b", "": "x"})));
}

#[test]
fn what_is_no_event_is_refused_or_answered() {
    let content = |kind, body: &str| content(kind, &HeaderMap::new(), body);
    let deep = "[".repeat(100_000);
    for body in
        ["", "{", "null", "[]", "7", "\u{feff}{}", r#"{"a": 1e999}"#, &deep, &format!("{{\"a\":{deep}")]
    {
        assert!(content(Kind::Stripe, body).is_err(), "{}", &body[..body.len().min(20)]);
    }
    assert!(content(Kind::Sendgrid, "{}").is_err());
    assert!(content(Kind::Sendgrid, &format!("[{}0]", "0,".repeat(5_000))).is_err());
    assert_eq!(content(Kind::Sendgrid, "[]"), Ok(Content::Reports(vec![])));
    let asked = r#"{"type": "url_verification", "challenge": "abc"}"#;
    assert_eq!(content(Kind::Slack, asked), Ok(Content::Challenge("abc".to_owned())));
    assert!(matches!(content(Kind::Hmac, asked), Ok(Content::Reports(_))));
}
