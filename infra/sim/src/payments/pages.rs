//! The pages that a buyer sees: a button to pay, and one to be declined.

use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Pay, Payments};
use crate::frame::simulator::lock;
use crate::frame::wire::Inbound;

/// Where the page of a session is.
pub(super) const PATH: &str = "/pay/";

/// `None` for a call that is not of a page.
pub(super) fn answer(payments: &Payments, call: &Inbound) -> Option<Response> {
    let id = call.path().strip_prefix(PATH)?;
    let object = lock(&payments.0.books).objects.get(id).cloned();
    let Some(object) = object else { return Some(StatusCode::NOT_FOUND.into_response()) };
    Some(if call.is(&Method::POST) { pay(payments, id, &object, call) } else { page(&object) })
}

fn pay(payments: &Payments, id: &str, object: &Value, call: &Inbound) -> Response {
    let is_open =
        ["open", "CREATED", "PAYER_ACTION_REQUIRED"].iter().any(|status| object["status"] == *status);
    let pay = if call.body.starts_with(b"declined") { Pay::Declined } else { Pay::Now };
    if is_open {
        payments.pay(id, pay);
    }
    let back = "/payment_source/paypal/experience_context/return_url";
    let back = object["success_url"].as_str().or_else(|| object.pointer(back).and_then(Value::as_str));
    match back.filter(|url| !url.is_empty()) {
        Some(url) => Redirect::to(url).into_response(),
        None => page(object),
    }
}

fn page(object: &Value) -> Response {
    let amount = &object["purchase_units"][0]["amount"];
    let amount = match object["amount_total"].as_u64() {
        Some(minor) => format!("{minor} minor units of {}", object["currency"].as_str().unwrap_or_default()),
        None => format!("{} {}", text(&amount["value"]), text(&amount["currency_code"])),
    };
    let status = text(&object["status"]);
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Simulated checkout</title>\
         <h1>Simulated checkout</h1><p>{amount}, status {status}. No money moves.</p>\
         <form method=post enctype=text/plain><button name=paid value=1>Pay</button> \
         <button name=declined value=1>Decline</button></form></html>"
    ))
    .into_response()
}

/// A text of the books: amounts, codes and states, without markup.
fn text(value: &Value) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    value.as_str().unwrap_or_default().chars().filter(is_plain).collect()
}
