//! Stripe in test mode: Checkout Sessions, `PaymentIntents`, charges, refunds, disputes and events.
//! <https://docs.stripe.com/api>

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use domain::payment::Processor;
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::books::{Books, Event};
use super::server::Reply;
use super::{Pay, pages};
use crate::frame::wire::Inbound;

const KEY: &str = "sk_test_simulated";
const SECRET: &str = "whsec_simulated";
const VERSION: &str = "2026-10-28.endive";
pub(super) const KEYS: &[(&str, &str)] = &[("STRIPE_SECRET_KEY", KEY)];
pub(super) const PROOFS: &[(&str, &str)] = &[("STRIPE_WEBHOOK_SECRET", SECRET)];
/// Objects of a list without a limit.
const PAGE: usize = 10;

pub(super) fn answer(books: &mut Books, base: &str, call: &Inbound, now: Timestamp) -> Reply {
    if call.authorization("Bearer ") != Some(KEY) {
        return error(401, "invalid_request_error", None, "Invalid API Key provided");
    }
    expire(books, now);
    let steps: Vec<_> = call.path().trim_matches('/').split('/').collect();
    match (&call.parts.method, &steps[..]) {
        (&Method::POST, ["v1", "checkout", "sessions"]) => {
            once(books, call, |books| create(books, base, call, now))
        }
        (&Method::POST, ["v1", "refunds"]) => once(books, call, |books| asked_refund(books, call, now)),
        (&Method::GET, ["v1", "checkout", "sessions"]) => listed(books, call, "cs_"),
        (&Method::GET, ["v1", "refunds"]) => listed(books, call, "re_"),
        (&Method::GET, ["v1", "disputes"]) => listed(books, call, "du_"),
        (&Method::GET, ["v1", "events"]) => events(books, call),
        (
            &Method::GET,
            ["v1", "checkout", "sessions", id]
            | ["v1", "payment_intents" | "charges" | "refunds" | "disputes", id],
        ) => match books.objects.get(*id) {
            Some(object) => (200, expanded(books, object, expand(call).as_deref())),
            None => missing(id),
        },
        _ => error(404, "invalid_request_error", None, "Unrecognized request URL"),
    }
}

fn missing(id: &str) -> Reply {
    error(404, "invalid_request_error", Some("resource_missing"), &format!("No such object: '{id}'"))
}

/// The first path to expand: clients number the members of a list, or do not.
fn expand(call: &Inbound) -> Option<String> {
    let query = call.parts.uri.query().unwrap_or_default().as_bytes();
    let mut paths = url::form_urlencoded::parse(query).filter(|(name, _)| name.starts_with("expand["));
    paths.next().map(|(_, path)| path.into_owned())
}

/// A session with its payment in it, if that is asked for.
fn expanded(books: &Books, object: &Value, expand: Option<&str>) -> Value {
    let mut object = object.clone();
    let path = expand.map(|path| path.trim_start_matches("data.")).unwrap_or_default();
    let mut at = &mut object;
    for step in path.split('.').filter(|step| ["payment_intent", "latest_charge"].contains(step)) {
        let Some(below) = at[step].as_str().and_then(|id| books.objects.get(id)) else { break };
        at[step] = below.clone();
        at = &mut at[step];
    }
    object
}

/// Carries a request out once for each `Idempotency-Key`.
fn once(books: &mut Books, call: &Inbound, carry_out: impl FnOnce(&mut Books) -> Reply) -> Reply {
    let Some(key) = call.header("idempotency-key").map(|key| format!("stripe {key}")) else {
        return carry_out(books);
    };
    if let Some((request, status, body)) = books.answered.get(&key) {
        return match request[..] == call.body[..] {
            true => (*status, body.clone()),
            false => {
                let text = "Keys for idempotent requests can only be used with the same parameters";
                error(400, "idempotency_error", None, text)
            }
        };
    }
    let (status, body) = carry_out(books);
    // A request that was refused before it was carried out may be repeated with other parameters.
    if status < 300 {
        books.answered.insert(key, (call.body.to_vec(), status, body.clone()));
    }
    (status, body)
}

fn form(call: &Inbound) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&call.body).into_owned().collect()
}

fn wrong(parameter: &str, code: &str) -> Reply {
    let (status, mut body) = error(400, "invalid_request_error", Some(code), "Invalid parameter");
    body["error"]["param"] = parameter.into();
    (status, body)
}

fn create(books: &mut Books, base: &str, call: &Inbound, now: Timestamp) -> Reply {
    let fields = form(call);
    let field = |name: &str| fields.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let item = "line_items[0]";
    if let Some(name) = fields.keys().find(|name| !is_known(name)) {
        return wrong(name, "parameter_unknown");
    }
    if field("mode") != Some("payment") || field(&format!("{item}[quantity]")) != Some("1") {
        return wrong("mode", "parameter_missing");
    }
    let currency = field(&format!("{item}[price_data][currency]")).unwrap_or_default().to_owned();
    let amount = field(&format!("{item}[price_data][unit_amount]")).and_then(|text| text.parse::<u64>().ok());
    let Some(amount) = amount.filter(|amount| *amount <= 99_999_999) else {
        return wrong("line_items[0][price_data][unit_amount]", "parameter_invalid_integer");
    };
    if currency.len() != 3 || field(&format!("{item}[price_data][product_data][name]")).is_none() {
        return wrong("line_items[0][price_data][currency]", "parameter_invalid_string");
    }
    if currency == "usd" && amount < 50 {
        return wrong("line_items[0][price_data][unit_amount]", "amount_too_small");
    }
    let Some(success_url) = field("success_url") else { return wrong("success_url", "parameter_missing") };
    let lasts = match field("expires_at") {
        Some(text) => text.parse::<i64>().unwrap_or(0) - now.as_secs(),
        None => 86_400,
    };
    if !(1_800..=86_400).contains(&lasts) {
        return wrong("expires_at", "parameter_invalid_integer");
    }
    if field("client_reference_id").is_some_and(|id| id.len() > 200) {
        return wrong("client_reference_id", "parameter_invalid_string");
    }
    let id = books.id("cs_test_");
    let session = json!({
        "id": id, "object": "checkout.session", "amount_total": amount, "amount_subtotal": amount,
        "currency": currency, "client_reference_id": field("client_reference_id"),
        "created": now.as_secs(), "expires_at": now.as_secs() + lasts, "livemode": false,
        "metadata": metadata(&fields, "metadata"),
        "simulated_metadata": metadata(&fields, "payment_intent_data[metadata]"),
        "mode": "payment", "payment_intent": null, "payment_status": "unpaid", "status": "open",
        "success_url": success_url, "cancel_url": field("cancel_url"), "ui_mode": "hosted_page",
        "url": format!("{base}{}{id}", pages::PATH),
    });
    books.objects.insert(id, session.clone());
    (200, session)
}

/// The parameters of a session that are known here.
fn is_known(name: &str) -> bool {
    let plain = ["mode", "client_reference_id", "success_url", "cancel_url", "expires_at"];
    let nested = ["line_items[0][", "metadata[", "payment_intent_data[metadata]["];
    plain.contains(&name) || nested.iter().any(|begin| name.starts_with(begin))
}

fn metadata(fields: &BTreeMap<String, String>, of: &str) -> Map<String, Value> {
    let own = fields.iter().filter_map(|(name, value)| {
        let key = name.strip_prefix(of)?.strip_prefix('[')?.strip_suffix(']')?;
        Some((key.to_owned(), Value::from(value.as_str())))
    });
    own.collect()
}

fn expire(books: &mut Books, now: Timestamp) {
    let late = books.objects.values_mut().filter(|session| {
        session["status"] == "open" && session["expires_at"].as_i64().is_some_and(|at| now.as_secs() >= at)
    });
    let expired: Vec<_> = late
        .map(|session| {
            session["status"] = "expired".into();
            session["url"] = Value::Null;
            session.clone()
        })
        .collect();
    for session in expired {
        record(books, "checkout.session.expired", session, now);
    }
}

/// The buyer pays the session.
pub(super) fn pay(books: &mut Books, id: &str, pay: Pay, now: Timestamp) -> bool {
    expire(books, now);
    let Some(session) = books.objects.get(id).filter(|session| session["status"] == "open").cloned() else {
        return false;
    };
    if pay == Pay::Declined {
        // The page says so, and the session stays open.
        return true;
    }
    let (intent_id, mut session) = (books.id("pi_"), session);
    let is_now = pay == Pay::Now;
    let intent = json!({
        "id": intent_id, "object": "payment_intent", "amount": session["amount_total"],
        "currency": session["currency"], "livemode": false, "metadata": session["simulated_metadata"],
        "latest_charge": null, "last_payment_error": null,
        "status": if is_now { "succeeded" } else { "processing" },
    });
    session["status"] = "complete".into();
    session["url"] = Value::Null;
    session["payment_intent"] = intent_id.as_str().into();
    session["payment_status"] = if is_now { "paid" } else { "unpaid" }.into();
    books.objects.insert(intent_id.clone(), intent);
    books.objects.insert(id.to_owned(), session.clone());
    if is_now {
        charge(books, &intent_id, now);
    }
    record(books, "checkout.session.completed", session, now);
    true
}

fn charge(books: &mut Books, intent_id: &str, now: Timestamp) {
    let id = books.id("ch_");
    let intent = books.objects.get_mut(intent_id).expect("the payment exists");
    intent["latest_charge"] = id.as_str().into();
    let charge = json!({
        "id": id, "object": "charge", "amount": intent["amount"], "amount_refunded": 0,
        "currency": intent["currency"], "livemode": false, "metadata": intent["metadata"],
        "payment_intent": intent_id, "refunded": false, "disputed": false, "created": now.as_secs(),
        "receipt_url": format!("https://receipts.example/{intent_id}"),
    });
    books.objects.insert(id, charge);
}

/// What became of a delayed payment.
pub(super) fn clear(books: &mut Books, id: &str, is_paid: bool, now: Timestamp) {
    let session = books.objects.get_mut(id).expect("the session exists");
    session["payment_status"] = if is_paid { "paid" } else { "unpaid" }.into();
    let session = session.clone();
    let intent_id = session["payment_intent"].as_str().unwrap_or_default().to_owned();
    let intent = books.objects.get_mut(&intent_id).expect("the payment exists");
    if is_paid {
        intent["status"] = "succeeded".into();
        charge(books, &intent_id, now);
        record(books, "checkout.session.async_payment_succeeded", session, now);
    } else {
        intent["status"] = "requires_payment_method".into();
        intent["last_payment_error"] = json!({"code": "payment_intent_payment_attempt_failed"});
        record(books, "checkout.session.async_payment_failed", session, now);
    }
}

fn asked_refund(books: &mut Books, call: &Inbound, now: Timestamp) -> Reply {
    let fields = form(call);
    let payment = fields.get("payment_intent").cloned().unwrap_or_default();
    let Some(intent) = books.objects.get(&payment).filter(|_| payment.starts_with("pi_")) else {
        return missing(&payment);
    };
    let whole = intent["amount"].as_u64().unwrap_or(0);
    let minor = fields.get("amount").map_or(Some(whole), |text| text.parse().ok());
    let refunded: u64 =
        books.having("re_", "payment_intent", &payment).filter_map(|one| one["amount"].as_u64()).sum();
    match minor.filter(|minor| *minor > 0 && refunded + minor <= whole) {
        Some(minor) => {
            let id = refund(books, &payment, minor, now);
            (200, books.objects[&id].clone())
        }
        None => wrong("amount", "charge_already_refunded"),
    }
}

pub(super) fn refund(books: &mut Books, payment: &str, minor: u64, now: Timestamp) -> String {
    let id = books.id("re_");
    let charge_id = books.objects[payment]["latest_charge"].as_str().unwrap_or_default().to_owned();
    let charge = books.objects.get_mut(&charge_id).expect("the payment was charged");
    let sum = charge["amount_refunded"].as_u64().unwrap_or(0) + minor;
    charge["amount_refunded"] = sum.into();
    charge["refunded"] = (charge["amount"].as_u64() == Some(sum)).into();
    let charge = charge.clone();
    let refund = json!({
        "id": id, "object": "refund", "amount": minor, "currency": charge["currency"], "charge": charge_id,
        "payment_intent": payment, "metadata": {}, "status": "succeeded", "created": now.as_secs(),
    });
    books.objects.insert(id.clone(), refund.clone());
    record(books, "refund.created", refund, now);
    record(books, "charge.refunded", charge, now);
    id
}

pub(super) fn fail_refund(books: &mut Books, refund: &str, now: Timestamp) {
    let failed = books.objects.get_mut(refund).expect("the refund exists");
    failed["status"] = "failed".into();
    let failed = failed.clone();
    record(books, "refund.failed", failed, now);
}

pub(super) fn dispute(books: &mut Books, payment: &str, now: Timestamp) -> String {
    let id = books.id("du_");
    let intent = &books.objects[payment];
    let dispute = json!({
        "id": id, "object": "dispute", "amount": intent["amount"], "currency": intent["currency"],
        "payment_intent": payment, "charge": intent["latest_charge"], "status": "needs_response",
        "livemode": false, "metadata": {}, "created": now.as_secs(),
        // With the fee, in the currency of the payout.
        "balance_transactions": [{"amount": -2_500, "currency": "usd", "type": "adjustment"}],
    });
    books.objects.insert(id.clone(), dispute.clone());
    record(books, "charge.dispute.created", dispute.clone(), now);
    record(books, "charge.dispute.funds_withdrawn", dispute, now);
    id
}

pub(super) fn win(books: &mut Books, dispute: &str, now: Timestamp) {
    let won = books.objects.get_mut(dispute).expect("the dispute exists");
    won["status"] = "won".into();
    let moves = won["balance_transactions"].as_array_mut().expect("a list");
    moves.push(json!({"amount": 2_500, "currency": "usd", "type": "adjustment"}));
    let won = won.clone();
    record(books, "charge.dispute.funds_reinstated", won.clone(), now);
    record(books, "charge.dispute.closed", won, now);
}

fn record(books: &mut Books, kind: &str, object: Value, now: Timestamp) {
    let id = books.id("evt_");
    let body = json!({
        "id": id, "object": "event", "api_version": VERSION, "created": now.as_secs(), "livemode": false,
        "type": kind, "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null},
        "data": {"object": object},
    });
    books.record(Event { processor: Processor::Stripe, id, at: now, kind: kind.to_owned(), body });
}

/// The newest first, by pages.
fn page(call: &Inbound, newest: Vec<Value>) -> Reply {
    let limit = call.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).min(100);
    let after = call.query("starting_after");
    let after = after.and_then(|after| newest.iter().position(|one| one["id"] == after.as_str()));
    let rest = &newest[after.map_or(0, |at| at + 1)..];
    let data = &rest[..rest.len().min(limit)];
    (200, json!({"object": "list", "url": call.path(), "data": data, "has_more": rest.len() > limit}))
}

fn listed(books: &Books, call: &Inbound, prefix: &str) -> Reply {
    let payment = call.query("payment_intent").unwrap_or_default();
    let expand = expand(call);
    let found = books.having(prefix, "payment_intent", &payment);
    let mut found: Vec<_> = found.map(|object| expanded(books, object, expand.as_deref())).collect();
    found.reverse();
    page(call, found)
}

fn events(books: &Books, call: &Inbound) -> Reply {
    let time = |name: &str| call.query(name).and_then(|text| text.parse::<i64>().ok());
    let (since, until) = (time("created[gte]").unwrap_or(0), time("created[lt]").unwrap_or(i64::MAX));
    let query = call.parts.uri.query().unwrap_or_default().as_bytes();
    let kinds: Vec<_> =
        url::form_urlencoded::parse(query).filter(|(name, _)| name.starts_with("types[")).collect();
    let is_asked = |event: &&Event| {
        let at = event.at.as_secs();
        event.processor == Processor::Stripe
            && (since..until).contains(&at)
            && (kinds.is_empty() || kinds.iter().any(|(_, kind)| *kind == event.kind))
    };
    page(call, books.events.iter().rev().filter(is_asked).map(|event| event.body.clone()).collect())
}

pub(super) fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Reply {
    (status, json!({"error": {"type": kind, "code": code, "message": message}}))
}

/// With a signature of an old scheme and one of another secret, as Stripe sends while a secret is rolled.
pub(super) fn signature(body: &str, now: Timestamp) -> Vec<(&'static str, String)> {
    let at = now.as_secs();
    let sign = |secret: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
        mac.update(format!("{at}.{body}").as_bytes());
        HEXLOWER.encode(&mac.finalize().into_bytes())
    };
    let (old, own) = (sign("whsec_rolled"), sign(SECRET));
    vec![("stripe-signature", format!("t={at},v1={old},v1={own},v0=00"))]
}
