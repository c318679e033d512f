//! `PayPal`: Orders v2, Payments v2, Disputes v1 and Webhooks v1, in the sandbox's form.
//! <https://developer.paypal.com/docs/api/orders/v2/>

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use data_encoding::BASE64;
use domain::payment::Processor;
use domain::payment::money::{Currency, Money};
use domain::time::Timestamp;
use http::Method;
use serde_json::{Map, Value, json};

use super::books::{Books, Event};
use super::server::Reply;
use super::{Pay, pages};
use crate::frame::wire::Inbound;

const ID: &str = "simulated-client";
const SECRET: &str = "simulated-secret";
const TOKEN: &str = "A21AA-simulated";
const WEBHOOK_ID: &str = "WH-SIMULATED";
const CERTIFICATE: &str = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-simulated";
const KEY_OF_CERTIFICATE: &str =
    include_str!("../../../../shared/signatures/fixtures/paypal/throw_away_test_key.pem");
pub(super) const KEYS: &[(&str, &str)] = &[("PAYPAL_CLIENT_ID", ID), ("PAYPAL_CLIENT_SECRET", SECRET)];
pub(super) const PROOFS: &[(&str, &str)] = &[
    ("PAYPAL_WEBHOOK_ID", WEBHOOK_ID),
    ("PAYPAL_AUTHORITIES", include_str!("../../../../shared/signatures/fixtures/paypal/authority.pem")),
];
const CAPTURES: &str = "/purchase_units/0/payments/captures/0";
const PAGE: usize = 10;

pub(super) fn answer(books: &mut Books, base: &str, call: &Inbound, now: Timestamp) -> Reply {
    if call.path() == "/v1/oauth2/token" {
        return token(call);
    }
    if call.authorization("Bearer ") != Some(TOKEN) {
        return error(401, "AUTHENTICATION_FAILURE", None);
    }
    let steps: Vec<_> = call.path().trim_matches('/').split('/').collect();
    match (&call.parts.method, &steps[..]) {
        (&Method::POST, ["v2", "checkout", "orders"]) => once(books, call, |books| create(books, base, call)),
        (&Method::GET, ["v2", "checkout", "orders", id]) => shown(books, id, "ORDER-"),
        (&Method::POST, ["v2", "checkout", "orders", id, "capture"]) => {
            let id = (*id).to_owned();
            once(books, call, |books| capture(books, &id, now))
        }
        (&Method::POST, ["v2", "payments", "captures", id, "refund"]) => {
            let id = (*id).to_owned();
            once(books, call, |books| asked_refund(books, call, &id, now))
        }
        (&Method::GET, ["v2", "payments", "captures", id]) => shown(books, id, "CAPTURE-"),
        (&Method::GET, ["v1", "customer", "disputes"]) => {
            let of = call.query("disputed_transaction_id").unwrap_or_default();
            let items: Vec<_> = books
                .having("PP-D-", "capture", &of)
                .map(|one| json!({"dispute_id": one["dispute_id"], "status": one["status"]}))
                .collect();
            (200, json!({"items": items, "links": []}))
        }
        (&Method::GET, ["v1", "customer", "disputes", id]) => shown(books, id, "PP-D-"),
        (&Method::GET, ["v1", "notifications", "webhooks-events"]) => events(books, base, call),
        _ => error(404, "RESOURCE_NOT_FOUND", None),
    }
}

fn token(call: &Inbound) -> Reply {
    let basic = BASE64.encode(format!("{ID}:{SECRET}").as_bytes());
    if call.authorization("Basic ") != Some(&*basic) {
        return (
            401,
            json!({"error": "invalid_client", "error_description": "Client Authentication failed"}),
        );
    }
    if &*call.body != b"grant_type=client_credentials" {
        return (400, json!({"error": "unsupported_grant_type"}));
    }
    (200, json!({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 32_400}))
}

/// Carries a request out once for each `PayPal-Request-Id`.
fn once(books: &mut Books, call: &Inbound, carry_out: impl FnOnce(&mut Books) -> Reply) -> Reply {
    let Some(key) = call.header("paypal-request-id").map(|id| format!("paypal {} {id}", call.path())) else {
        return carry_out(books);
    };
    if let Some((_, status, body)) = books.answered.get(&key) {
        return (*status, body.clone());
    }
    let (status, body) = carry_out(books);
    if status < 300 {
        books.answered.insert(key, (Vec::new(), status, body.clone()));
    }
    (status, body)
}

fn shown(books: &Books, id: &str, prefix: &str) -> Reply {
    match books.objects.get(id).filter(|_| id.starts_with(prefix)) {
        Some(object) => (200, object.clone()),
        None => error(404, "RESOURCE_NOT_FOUND", Some("INVALID_RESOURCE_ID")),
    }
}

fn create(books: &mut Books, base: &str, call: &Inbound) -> Reply {
    let Ok(body) = call.object() else {
        return error(400, "INVALID_REQUEST", Some("MALFORMED_REQUEST_JSON"));
    };
    if let Some(issue) = problem(&body) {
        return error(422, "UNPROCESSABLE_ENTITY", Some(issue));
    }
    let id = books.id("ORDER-");
    let mut order = Value::Object(body);
    order["id"] = id.as_str().into();
    order["status"] = "PAYER_ACTION_REQUIRED".into();
    let link = |rel: &str, href: String| json!({"rel": rel, "href": href, "method": "GET"});
    order["links"] = json!([
        link("self", format!("{base}/v2/checkout/orders/{id}")),
        link("payer-action", format!("{base}{}{id}", pages::PATH)),
    ]);
    books.objects.insert(id, order.clone());
    (200, order)
}

/// The field rules of the published API description.
fn problem(body: &Map<String, Value>) -> Option<&'static str> {
    let known = ["intent", "purchase_units", "payment_source", "processing_instruction"];
    if body.keys().any(|name| !known.contains(&name.as_str())) {
        return Some("INVALID_PARAMETER_SYNTAX");
    }
    if body.get("intent") != Some(&json!("CAPTURE")) {
        return Some("INVALID_PARAMETER_VALUE");
    }
    let units = body.get("purchase_units").and_then(Value::as_array)?;
    let [unit] = &units[..] else { return Some("UNSUPPORTED_INTENT") };
    let limits = [("reference_id", 256), ("custom_id", 127), ("invoice_id", 127), ("description", 127)];
    let is_long = |(name, most): (&str, usize)| unit[name].as_str().is_some_and(|text| text.len() > most);
    if limits.into_iter().any(is_long) {
        return Some("INVALID_STRING_MAX_LENGTH");
    }
    let currency = unit["amount"]["currency_code"].as_str().and_then(|code| code.parse::<Currency>().ok());
    match money(&unit["amount"]) {
        None => Some(match currency.map(Currency::exponent) {
            None => "INVALID_CURRENCY_CODE",
            Some(0) => "DECIMALS_NOT_SUPPORTED",
            Some(_) => "DECIMAL_PRECISION",
        }),
        Some(amount) if unit["amount"]["value"] != amount.decimal() => Some("DECIMALS_NOT_SUPPORTED"),
        Some(amount) if amount.minor == 0 => Some("CANNOT_BE_ZERO_OR_NEGATIVE"),
        Some(_) => None,
    }
}

pub(super) fn money(amount: &Value) -> Option<Money> {
    let currency: Currency = amount["currency_code"].as_str()?.parse().ok()?;
    Money::from_decimal(amount["value"].as_str()?, currency)
}

/// The buyer approves the order, and may be declined when it is captured.
pub(super) fn approve(books: &mut Books, id: &str, pay: Pay, now: Timestamp) -> bool {
    let Some(order) = books.objects.get_mut(id) else { return false };
    order["status"] = "APPROVED".into();
    order["simulated_pay"] = format!("{pay:?}").into();
    let order = order.clone();
    record(books, "CHECKOUT.ORDER.APPROVED", order, now);
    true
}

fn capture(books: &mut Books, id: &str, now: Timestamp) -> Reply {
    let Some(order) = books.objects.get(id).cloned() else {
        return error(404, "RESOURCE_NOT_FOUND", Some("INVALID_RESOURCE_ID"));
    };
    let issue = match order["status"].as_str() {
        Some("APPROVED") if order["simulated_pay"] == "Declined" => Some("INSTRUMENT_DECLINED"),
        Some("APPROVED") => None,
        Some("COMPLETED") => Some("ORDER_ALREADY_CAPTURED"),
        _ => Some("ORDER_NOT_APPROVED"),
    };
    if issue.is_some() {
        return error(422, "UNPROCESSABLE_ENTITY", issue);
    }
    let capture_id = books.id("CAPTURE-");
    let unit = &order["purchase_units"][0];
    let capture = json!({
        "id": capture_id, "status": "COMPLETED", "amount": unit["amount"], "custom_id": unit["custom_id"],
        "invoice_id": unit["invoice_id"], "final_capture": true, "create_time": now.to_string(),
        "supplementary_data": {"related_ids": {"order_id": id}},
    });
    let mut order = order;
    order["status"] = "COMPLETED".into();
    order["purchase_units"][0]["payments"] = json!({"captures": [capture], "refunds": []});
    books.objects.insert(id.to_owned(), order.clone());
    books.objects.insert(capture_id, capture.clone());
    record(books, "PAYMENT.CAPTURE.COMPLETED", capture, now);
    (201, order)
}

fn asked_refund(books: &mut Books, call: &Inbound, payment: &str, now: Timestamp) -> Reply {
    let Some(capture) = books.objects.get(payment).filter(|_| payment.starts_with("CAPTURE-")) else {
        return error(404, "RESOURCE_NOT_FOUND", Some("INVALID_RESOURCE_ID"));
    };
    let whole = money(&capture["amount"]).expect("an amount");
    let asked = call.object().ok().and_then(|body| money(body.get("amount")?)).unwrap_or(whole);
    if capture["status"] != "COMPLETED" || asked.currency != whole.currency || asked.minor > whole.minor {
        return error(422, "UNPROCESSABLE_ENTITY", Some("REFUND_AMOUNT_EXCEEDED"));
    }
    let id = refund(books, payment, asked.minor, now);
    let amount = json!({"currency_code": asked.currency, "value": asked.decimal()});
    (201, json!({"id": id, "status": "COMPLETED", "amount": amount, "links": []}))
}

pub(super) fn refund(books: &mut Books, payment: &str, minor: u64, now: Timestamp) -> String {
    let id = books.id("REFUND-");
    let order_id = order_of(books, payment);
    let order = books.objects.get_mut(&order_id).expect("the order exists");
    let capture = order.pointer_mut(CAPTURES).expect("it is captured");
    let whole = money(&capture["amount"]).expect("an amount");
    capture["status"] = if minor < whole.minor { "PARTIALLY_REFUNDED" } else { "REFUNDED" }.into();
    let capture = capture.clone();
    let amount = json!({"currency_code": whole.currency, "value": Money { minor, ..whole }.decimal()});
    let up = format!("https://api.sandbox.paypal.com/v2/payments/captures/{payment}");
    let links = json!([{"rel": "up", "href": up, "method": "GET"}]);
    let refund = json!({"id": id, "status": "COMPLETED", "amount": amount, "links": links});
    let refunds = order.pointer_mut("/purchase_units/0/payments/refunds").and_then(Value::as_array_mut);
    refunds.expect("a list").push(refund.clone());
    books.objects.insert(payment.to_owned(), capture);
    record(books, "PAYMENT.CAPTURE.REFUNDED", refund, now);
    id
}

pub(super) fn fail_refund(books: &mut Books, refund: &str, now: Timestamp) {
    let mut changed = None;
    for order in books.objects.values_mut() {
        let Some(Value::Array(refunds)) = order.pointer_mut("/purchase_units/0/payments/refunds") else {
            continue;
        };
        for one in refunds.iter_mut().filter(|one| one["id"] == refund) {
            one["status"] = "FAILED".into();
            changed = Some(one.clone());
        }
    }
    record(books, "PAYMENT.REFUND.FAILED", changed.expect("the refund exists"), now);
}

fn order_of(books: &Books, payment: &str) -> String {
    let order = books.objects[payment].pointer("/supplementary_data/related_ids/order_id");
    order.and_then(Value::as_str).expect("the capture names its order").to_owned()
}

/// Decided for the buyer at once: that is when the money leaves.
pub(super) fn dispute(books: &mut Books, payment: &str, now: Timestamp) -> String {
    let id = books.id("PP-D-");
    let capture = books.objects[payment].clone();
    let transaction = json!({"seller_transaction_id": payment, "custom": capture["custom_id"]});
    let dispute = json!({
        "dispute_id": id, "capture": payment, "status": "RESOLVED", "reason": "UNAUTHORISED",
        "disputed_transactions": [transaction], "dispute_amount": capture["amount"],
        "dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR", "amount_refunded": capture["amount"]},
    });
    books.objects.insert(id.clone(), dispute.clone());
    record(books, "CUSTOMER.DISPUTE.RESOLVED", dispute, now);
    id
}

pub(super) fn win(books: &mut Books, dispute: &str, now: Timestamp) {
    let won = books.objects.get_mut(dispute).expect("the dispute exists");
    won["dispute_outcome"] = json!({"outcome_code": "RESOLVED_SELLER_FAVOUR"});
    let won = won.clone();
    record(books, "CUSTOMER.DISPUTE.UPDATED", won, now);
}

fn record(books: &mut Books, kind: &str, resource: Value, now: Timestamp) {
    let id = books.id("WH-");
    let body = json!({
        "id": id, "event_version": "1.0", "create_time": now.to_string(), "event_type": kind,
        "resource": resource,
    });
    books.record(Event { processor: Processor::Paypal, id, at: now, kind: kind.to_owned(), body });
}

fn events(books: &Books, base: &str, call: &Inbound) -> Reply {
    let time = |name: &str| call.query(name).as_deref().and_then(Timestamp::parse);
    let (Some(since), Some(until)) = (time("start_time"), time("end_time")) else {
        return error(400, "VALIDATION_ERROR", None);
    };
    let size = call.query("page_size").and_then(|size| size.parse().ok()).unwrap_or(PAGE);
    let skip: usize = call.query("skip").and_then(|skip| skip.parse().ok()).unwrap_or(0);
    let of_span = books.events.iter().filter(|event| event.processor == Processor::Paypal);
    let of_span: Vec<_> = of_span.filter(|event| since <= event.at && event.at < until).collect();
    let page: Vec<_> = of_span.iter().skip(skip).take(size).map(|event| event.body.clone()).collect();
    let mut links = Vec::new();
    if skip + size < of_span.len() {
        let next = format!("start_time={since}&end_time={until}&page_size={size}&skip={}", skip + size);
        links.push(json!({"rel": "next", "href": format!("{base}/v1/notifications/webhooks-events?{next}")}));
    }
    (200, json!({"count": of_span.len(), "events": page, "links": links}))
}

pub(super) fn error(status: u16, name: &str, issue: Option<&str>) -> Reply {
    let details: Vec<_> = issue.iter().map(|issue| json!({"issue": issue})).collect();
    (status, json!({"name": name, "message": "simulated", "debug_id": "0", "details": details}))
}

/// The RSA signature by the key of the certificate at [`CERTIFICATE`].
pub(super) fn signature(id: &str, body: &str, now: Timestamp) -> Vec<(&'static str, String)> {
    let time = now.to_string();
    let text = format!("{id}|{time}|{WEBHOOK_ID}|{}", crc32fast::hash(body.as_bytes()));
    let lines: String = KEY_OF_CERTIFICATE.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = BASE64.decode(lines.as_bytes()).expect("a key in PEM");
    let pair = RsaKeyPair::from_pkcs8(&der).expect("a key in PKCS#8");
    let mut signature = vec![0; pair.public_modulus_len()];
    let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
    signed.expect("a signature");
    vec![
        ("paypal-transmission-id", id.to_owned()),
        ("paypal-transmission-time", time),
        ("paypal-transmission-sig", BASE64.encode(&signature)),
        ("paypal-cert-url", CERTIFICATE.to_owned()),
        ("paypal-auth-algo", "SHA256withRSA".to_owned()),
    ]
}
