//! Requests and answers of the processors, as fixtures: one file each.

use std::fs;
use std::path::Path;

use domain::credit::Credits;
use domain::payment::decide::Fact;
use domain::payment::money::Money;
use domain::payment::purchase::{New, Purchase, Session};
use domain::payment::trouble::{Class, Trouble};
use domain::payment::{Method, Mode, Processor, Reference};
use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Answer, Call, Content, entries};
use super::{Said, abacate, paypal, stripe};

#[derive(Deserialize)]
struct Fixture {
    processor: Processor,
    what: String,
    status: u16,
    body: Value,
    expect: Vec<Value>,
}

fn purchase(processor: Processor, method: Method) -> Purchase {
    let new = New {
        id: format!("top_{}", "a".repeat(26)).parse().unwrap(),
        account: "acct_a".parse().unwrap(),
        processor,
        method,
        mode: Mode::Live,
        price: Money { minor: 1_000, currency: "USD".parse().unwrap() },
        credits: Credits::ONE.checked_mul(1_000).unwrap(),
        pack: None,
        return_url: Some("https://shop.example/back".to_owned()),
        digest: String::new(),
    };
    Purchase::new(new, Timestamp::from_secs(1_800_000_000))
}

fn shown(fact: &Fact) -> String {
    match fact {
        Fact::Opened(Session { id, .. }) => format!("opened {id}"),
        Fact::Processing => "processing".to_owned(),
        Fact::Paid { payment, amount, receipt_url } => {
            format!("paid {payment} {amount} {}", receipt_url.as_deref().unwrap_or_default())
        }
        Fact::Failed { code } => format!("failed {code}"),
        Fact::Expired => "expired".to_owned(),
        Fact::Withdrawn { id, cause, amount } => format!("withdrawn {id} {cause:?} {amount}"),
        Fact::Returned { id } => format!("returned {id}"),
    }
}

fn facts(facts: &[Fact]) -> Vec<Value> {
    facts.iter().map(|fact| shown(fact).trim_end().into()).collect()
}

fn listed(all: Result<&[Value], Trouble>, read: impl Fn(&[Value]) -> Vec<Fact>) -> Vec<Value> {
    all.map_or_else(|trouble| failed(&trouble), |all| facts(&read(all)))
}

fn said(said: Result<Said, Trouble>) -> Vec<Value> {
    match said {
        Ok(said) => {
            let mode = said.mode.map_or("no-mode", Mode::name);
            let topup = said.topup.map_or_else(|| "nothing".to_owned(), |topup| topup.to_string());
            [vec![format!("{mode} {topup}").into()], facts(&said.facts)].concat()
        }
        Err(trouble) => failed(&trouble),
    }
}

fn failed(trouble: &Trouble) -> Vec<Value> {
    vec![format!("{} {}", trouble.class.name(), trouble.code).into()]
}

fn about(reference: Option<Reference>) -> Vec<Value> {
    vec![match reference {
        Some(Reference { topup, object }) => {
            let topup = topup.map_or_else(|| "nothing".to_owned(), |topup| topup.to_string());
            format!("{topup} {object}").into()
        }
        None => "ignored".into(),
    }]
}

fn sent(call: Call) -> Vec<Value> {
    let key = call.idempotency_key.unwrap_or_default();
    let head = Value::from(format!("{} {} {key}", call.method, call.path));
    let body = match call.body {
        Content::Nothing => Vec::new(),
        Content::Json(body) => vec![body],
        Content::Form(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.sort();
            fields.into_iter().map(Value::from).collect()
        }
    };
    [vec![head], body].concat()
}

fn opened(session: Result<Session, Trouble>) -> Vec<Value> {
    match session {
        Ok(Session { id, url, pix }) => vec![format!("{id} {}", pix.or(url).unwrap_or_default()).into()],
        Err(trouble) => failed(&trouble),
    }
}

fn result(fixture: &Fixture) -> Vec<Value> {
    let Fixture { processor, what, status, body, .. } = fixture;
    let answer = Answer { status: *status, retry_after: None, body: body.clone() };
    let method =
        if what.contains("checkout") { Method::Hosted } else { *processor.methods().first().unwrap() };
    let purchase = purchase(*processor, method);
    match (processor, what.as_str()) {
        (Processor::Stripe, "open") => sent(stripe::open(&purchase)),
        (Processor::Stripe, "session") => said(stripe::read(body)),
        (Processor::Stripe, "refunds") => listed(entries(body, stripe::LIST), stripe::refunded),
        (Processor::Stripe, "disputes") => {
            listed(entries(body, stripe::LIST), |all| stripe::disputed(all, "usd", 1_000))
        }
        (Processor::Stripe, "event") => about(stripe::reference(body)),
        (Processor::Stripe, "trouble") => failed(&stripe::trouble(&answer)),
        (Processor::Paypal, "open") => sent(paypal::open(&purchase)),
        (Processor::Paypal, "order") => said(paypal::read(body)),
        (Processor::Paypal, "dispute") => facts(&paypal::disputed(body, purchase.price())),
        (Processor::Paypal, "event") => about(paypal::reference(body)),
        (Processor::Paypal, "disputes") => match paypal::ids(body) {
            Ok(ids) => ids.into_iter().map(Value::from).collect(),
            Err(trouble) => failed(&trouble),
        },
        (Processor::Paypal, "events") => match paypal::references(body) {
            Ok(found) => found.flat_map(|reference| about(Some(reference))).collect(),
            Err(trouble) => failed(&trouble),
        },
        (Processor::Paypal, "trouble") => failed(&paypal::trouble(&answer)),
        (Processor::Abacatepay, "open") => sent(abacate::open_code(&purchase)),
        (Processor::Abacatepay, "opened") => opened(abacate::code(&answer)),
        (Processor::Abacatepay, "product") => sent(abacate::product(&purchase)),
        (Processor::Abacatepay, "open checkout") => sent(abacate::open_checkout(&purchase)),
        (Processor::Abacatepay, "opened checkout") => opened(abacate::checkout(&answer, &purchase)),
        (Processor::Abacatepay, "get checkout") => said(abacate::read(&answer, &purchase, "bill_abc123xyz")),
        (Processor::Abacatepay, "check") => said(abacate::read(&answer, &purchase, "char_abc123")),
        (Processor::Abacatepay, "event") => about(abacate::reference(body)),
        (Processor::Abacatepay, "trouble") => failed(&abacate::trouble(&answer)),
        other => panic!("no fixture is of {other:?}"),
    }
}

fn fixtures() -> Vec<(String, Fixture)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/payments");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap())
        })
        .collect()
}

#[test]
fn every_fixture_means_what_it_says() {
    let all = fixtures();
    assert!(all.len() > 50, "{}", all.len());
    for (name, fixture) in all {
        assert_eq!(result(&fixture), fixture.expect, "{name}");
    }
}

/// A buyer who is declined fails alone. What is wrong with the owner's account fails no purchase: it is asked again.
#[test]
fn paypal_refuses_a_buyer_or_the_owner() {
    let class = |status: u16, issue: &str| {
        let body = json!({"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": issue}]});
        paypal::trouble(&Answer { status, retry_after: None, body }).class
    };
    for (status, issue, expected) in [
        (422, "INSTRUMENT_DECLINED", Class::Declined),
        (422, "PAYER_ACCOUNT_LOCKED_OR_CLOSED", Class::Declined),
        (422, "PAYER_ACCOUNT_RESTRICTED", Class::Declined),
        (422, "PAYER_ACTION_REQUIRED", Class::Declined),
        (422, "PAYER_CANNOT_PAY", Class::Declined),
        (422, "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING", Class::Declined),
        (422, "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", Class::Declined),
        (422, "TRANSACTION_BLOCKED_BY_PAYEE", Class::Declined),
        (422, "TRANSACTION_REFUSED", Class::Declined),
        (422, "ORDER_NOT_APPROVED", Class::Declined),
        (422, "PAYEE_ACCOUNT_RESTRICTED", Class::Refused),
        (422, "PAYEE_ACCOUNT_LOCKED_OR_CLOSED", Class::Refused),
        (422, "PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING", Class::Refused),
        (422, "TRANSACTION_RECEIVING_LIMIT_EXCEEDED", Class::Refused),
        (422, "AN_ISSUE_OF_TOMORROW", Class::Refused),
        (400, "INVALID_PARAMETER_VALUE", Class::Refused),
        (408, "REQUEST_TIMEOUT", Class::Unknown),
        (403, "PERMISSION_DENIED", Class::Unauthorized),
        (422, "ORDER_ALREADY_CAPTURED", Class::KeyInUse),
        (422, "ORDER_COMPLETION_IN_PROGRESS", Class::KeyInUse),
        (422, "DUPLICATE_INVOICE_ID", Class::KeyInUse),
    ] {
        assert_eq!(class(status, issue), expected, "{status} {issue}");
    }
}

/// Whatever one field is turned into, nothing panics, and no answer that has lost its payment grants anything.
#[test]
fn any_odd_field_is_read_without_harm() {
    let odd =
        [json!(null), json!(-1), json!(1e300), json!("\u{0}"), json!([]), json!({"a": {}}), json!(true)];
    for (name, fixture) in fixtures() {
        for pointer in pointers(&fixture.body, String::new()) {
            for odd in &odd {
                let mut body = fixture.body.clone();
                *body.pointer_mut(&pointer).unwrap() = odd.clone();
                let odd = Fixture { body, expect: Vec::new(), ..clone(&fixture) };
                let read = result(&odd);
                let grants =
                    |all: &[Value]| all.iter().filter(|one| one.to_string().contains("\"paid ")).count();
                assert!(grants(&read) <= grants(&fixture.expect), "{name} {pointer}: {read:?}");
            }
        }
    }
}

fn clone(fixture: &Fixture) -> Fixture {
    let Fixture { processor, what, status, body, expect } = fixture;
    Fixture {
        processor: *processor,
        what: what.clone(),
        status: *status,
        body: body.clone(),
        expect: expect.clone(),
    }
}

/// The places of all values below a value.
fn pointers(value: &Value, at: String) -> Vec<String> {
    let below: Vec<_> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let below = below.into_iter().flat_map(|(name, value)| {
        let name = name.replace('~', "~0").replace('/', "~1");
        pointers(value, format!("{at}/{name}"))
    });
    std::iter::once(at.clone()).chain(below).collect()
}
