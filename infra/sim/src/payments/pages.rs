//! The pages that a buyer sees: what can be paid, a button to pay it, and one to be declined. What is paid can be
//! paid back there, too.

use std::fmt::Write;

use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Pay, Payments, paypal};
use crate::frame::simulator::lock;
use crate::frame::wire::Inbound;

/// Below it is the page of each session, order and code; it lists those that can be paid.
pub(super) const PATH: &str = "/pay/";
/// The status of the payment of an order.
const PAYPALS_PAYMENT: &str = "/purchase_units/0/payments/captures/0/status";
/// The ids of what has a page.
const PREFIXES: [&str; 4] = ["cs_", "ORDER-", "char_", "bill_"];

/// `None` for a call that is not of a page.
pub(super) fn answer(payments: &Payments, call: &Inbound) -> Option<Response> {
    let id = call.path().strip_prefix(PATH)?;
    if id.is_empty() {
        return Some(index(payments));
    }
    let object = lock(&payments.0.books).objects.get(id).cloned();
    let Some(object) = object else { return Some(StatusCode::NOT_FOUND.into_response()) };
    Some(if call.is(&Method::POST) { pay(payments, id, &object, call) } else { page(payments, id) })
}

/// Paid, and nothing of it paid back so far.
pub(super) fn is_paid(payments: &Payments, id: &str) -> bool {
    let Some(payment) = payments.payment_of(id) else { return false };
    let books = lock(&payments.0.books);
    let object = &books.objects[id];
    let charge =
        books.objects.get(&payment).and_then(|payment| books.objects.get(payment["latest_charge"].as_str()?));
    match charge {
        Some(charge) => charge["amount_refunded"] == 0,
        None => object["status"] == "PAID" || object.pointer(PAYPALS_PAYMENT) == Some(&"COMPLETED".into()),
    }
}

fn is_open(object: &Value) -> bool {
    let open = ["open", "CREATED", "PAYER_ACTION_REQUIRED", "PENDING"];
    open.iter().any(|status| object["status"] == *status)
}

fn pay(payments: &Payments, id: &str, object: &Value, call: &Inbound) -> Response {
    let asked = |button: &str| call.body.starts_with(button.as_bytes());
    if asked("refunded") {
        if let Some(payment) = payments.payment_of(id).filter(|_| is_paid(payments, id)) {
            payments.refund(&payment, minor_units(object));
        }
        return page(payments, id);
    }
    if is_open(object) {
        payments.pay(id, if asked("declined") { Pay::Declined } else { Pay::Now });
    }
    let back = ["/success_url", "/completionUrl", "/payment_source/paypal/experience_context/return_url"];
    let back = back.iter().find_map(|at| object.pointer(at)?.as_str());
    match back.filter(|url| !url.is_empty()) {
        Some(url) => Redirect::to(url).into_response(),
        None => page(payments, id),
    }
}

fn index(payments: &Payments) -> Response {
    let books = lock(&payments.0.books);
    let is_shown = |(id, object): &(&String, &Value)| {
        is_open(object) && PREFIXES.iter().any(|prefix| id.starts_with(prefix))
    };
    let mut rows = String::new();
    for (id, object) in books.objects.iter().filter(is_shown) {
        let _infallible = write!(rows, "<li><a href=\"{PATH}{id}\">{id}</a>, {}", amount(object));
    }
    document(&format!("<p>What can be paid:</p><ul>{rows}</ul>"))
}

/// The page as things are now.
fn page(payments: &Payments, id: &str) -> Response {
    let object = lock(&payments.0.books).objects[id].clone();
    let status = text(&object["status"]);
    let names: &[_] = match (is_open(&object), is_paid(payments, id)) {
        (true, _) => &[("paid", "Pay now"), ("declined", "Decline")],
        (false, true) => &[("refunded", "Refund")],
        (false, false) => &[],
    };
    let button = |(name, label): &(&str, &str)| format!("<button name={name} value=1>{label}</button> ");
    let buttons: String = names.iter().map(button).collect();
    let buttons = format!("<form method=post enctype=text/plain>{buttons}</form>");
    document(&format!("<p>{}, status {status}. No money moves.</p>{buttons}", amount(&object)))
}

fn minor_units(object: &Value) -> u64 {
    let paypals = || Some(paypal::money(&object["purchase_units"][0]["amount"])?.minor);
    object["amount_total"].as_u64().or_else(|| object["amount"].as_u64()).or_else(paypals).unwrap_or(0)
}

fn amount(object: &Value) -> String {
    let unit = &object["purchase_units"][0]["amount"];
    match unit["value"].is_string() {
        false => format!("{} minor units of {}", minor_units(object), currency(object)),
        true => format!("{} {}", text(&unit["value"]), text(&unit["currency_code"])),
    }
}

/// AbacatePay's amounts are in reais.
fn currency(object: &Value) -> String {
    let currency = text(&object["currency"]);
    if currency.is_empty() { "brl".to_owned() } else { currency }
}

fn document(body: &str) -> Response {
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Simulated checkout</title><h1>Simulated checkout</h1>{body}</html>"
    ))
    .into_response()
}

/// A text of the books: amounts, codes and states, without markup.
fn text(value: &Value) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    value.as_str().unwrap_or_default().chars().filter(is_plain).collect()
}
