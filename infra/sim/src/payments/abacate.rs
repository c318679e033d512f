//! `AbacatePay`, API v2: <https://docs.abacatepay.com>. PIX codes, products, and hosted checkouts.

use data_encoding::BASE64;
use domain::payment::Processor;
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use signatures::AbacatePay;

use super::books::{Books, Event};
use super::server::Reply;
use super::{Pay, pages};
use crate::frame::wire::Inbound;

const KEY: &str = "abc_dev_simulated";
const SECRET: &str = "simulated-webhook-secret";
pub(super) const KEYS: &[(&str, &str)] = &[("ABACATEPAY_API_KEY", KEY)];
pub(super) const PROOFS: &[(&str, &str)] = &[("ABACATEPAY_WEBHOOK_SECRET", SECRET)];

/// The least that a checkout may cost, in cents.
const CHECKOUT_MIN: u64 = 300;

/// Whether a path is one of these here.
pub(super) fn is_own(path: &str) -> bool {
    ["/v2/transparents/", "/v2/products/", "/v2/checkouts/"].iter().any(|begin| path.starts_with(begin))
}

pub(super) fn answer(books: &mut Books, base: &str, call: &Inbound, now: Timestamp) -> Reply {
    if call.authorization("Bearer ") != Some(KEY) {
        return error(401, "Invalid or inactive API key");
    }
    match (&call.parts.method, call.path()) {
        (&Method::POST, "/v2/transparents/create") => create(books, call, now),
        (&Method::GET, "/v2/transparents/check") => {
            expire(books, now);
            shown(books, call, "char_", "PIX QRCode not found")
        }
        (&Method::POST, "/v2/products/create") => create_product(books, call, now),
        (&Method::POST, "/v2/checkouts/create") => create_checkout(books, base, call, now),
        (&Method::GET, "/v2/checkouts/get") => shown(books, call, "bill_", "Checkout not found"),
        (&Method::POST, "/v2/transparents/simulate-payment") => {
            let id = call.query("id").unwrap_or_default();
            match id.starts_with("char_") && pay(books, &id, Pay::Now, now) {
                true => success(books.objects[&id].clone()),
                false => error(404, "PIX QRCode not found"),
            }
        }
        _ => error(404, "Route not found"),
    }
}

fn create(books: &mut Books, call: &Inbound, now: Timestamp) -> Reply {
    let Ok(body) = call.object() else { return error(400, "Invalid body") };
    let data = body.get("data").cloned().unwrap_or_default();
    if body.get("method") != Some(&json!("PIX")) {
        return error(422, "Invalid method");
    }
    let Some(amount) = data["amount"].as_u64().filter(|amount| *amount >= 100) else {
        return error(422, "Invalid amount");
    };
    let lasts = data["expiresIn"].as_u64().unwrap_or(3_600);
    if data["description"].as_str().is_some_and(|text| text.chars().count() > 500) {
        return error(422, "Invalid description");
    }
    let external = data["externalId"].as_str().unwrap_or_default().to_owned();
    let known = books.having("char_", "externalId", &external).next().filter(|_| !external.is_empty());
    if let Some(known) = known {
        return success(known.clone());
    }
    let id = books.id("char_");
    let until = now + std::time::Duration::from_secs(lasts);
    let code = format!("00020101021226simulated{id}5204000053039865802BR6304ABCD");
    let pix = json!({
        "id": id, "amount": amount, "status": "PENDING", "devMode": true, "method": "PIX",
        "brCode": code, "brCodeBase64": "data:image/png;base64,", "platformFee": 80,
        "externalId": external, "metadata": data["metadata"],
        "createdAt": now.to_string(), "updatedAt": now.to_string(), "expiresAt": until.to_string(),
    });
    books.objects.insert(id, pix.clone());
    success(pix)
}

fn shown(books: &Books, call: &Inbound, prefix: &str, missing: &str) -> Reply {
    let id = call.query("id").unwrap_or_default();
    let found = books.objects.get(&id).filter(|_| id.starts_with(prefix));
    found.map_or_else(|| error(404, missing), |object| success(object.clone()))
}

/// An `externalId` is of one product for good.
fn create_product(books: &mut Books, call: &Inbound, now: Timestamp) -> Reply {
    let Ok(body) = call.object() else { return error(400, "Invalid body") };
    let known = ["externalId", "name", "price", "currency", "description"];
    if let Some(unknown) = body.keys().find(|name| !known.contains(&name.as_str())) {
        return error(422, &format!("Unexpected property {unknown}"));
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let price = body.get("price").and_then(Value::as_u64).filter(|price| *price > 0);
    let (Some(external), Some(name), Some(price)) = (text("externalId"), text("name"), price) else {
        return error(422, "Missing required property");
    };
    if text("currency") != Some("BRL") {
        return error(422, "Invalid currency");
    }
    if books.having("prod_", "externalId", external).next().is_some() {
        return error(400, "Product with externalId already exists");
    }
    let id = books.id("prod_");
    let product = json!({
        "id": id, "externalId": external, "name": name, "description": null, "price": price, "currency": "BRL",
        "devMode": true, "status": "ACTIVE", "cycle": null, "createdAt": now.to_string(),
        "updatedAt": now.to_string(),
    });
    books.objects.insert(id, product.clone());
    success(product)
}

/// The same checkout for the same `externalId`, whatever else is sent.
fn create_checkout(books: &mut Books, base: &str, call: &Inbound, now: Timestamp) -> Reply {
    let Ok(body) = call.object() else { return error(400, "Invalid body") };
    let known = ["items", "methods", "externalId", "returnUrl", "completionUrl", "metadata", "customerId"];
    if let Some(unknown) = body.keys().find(|name| !known.contains(&name.as_str())) {
        return error(422, &format!("Unexpected property {unknown}"));
    }
    let methods = body.get("methods").cloned().unwrap_or_else(|| json!(["PIX", "CARD"]));
    let is_method = |method: &Value| ["PIX", "CARD"].iter().any(|known| method == known);
    if !methods.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_method)) {
        return error(422, "Invalid methods");
    }
    let external = body.get("externalId").and_then(Value::as_str).unwrap_or_default();
    let made = books.having("bill_", "externalId", external).next().filter(|_| !external.is_empty());
    if let Some(made) = made {
        return success(made.clone());
    }
    let items = body.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut total = 0;
    for item in items {
        let wanted = item["id"].as_str().unwrap_or_default();
        let product = books.objects.get(wanted).filter(|_| wanted.starts_with("prod_"));
        let Some(product) = product.or_else(|| books.having("prod_", "externalId", wanted).next()) else {
            return error(404, "Product not found");
        };
        total += product["price"].as_u64().unwrap_or(0) * item["quantity"].as_u64().unwrap_or(1);
    }
    if total < CHECKOUT_MIN {
        return error(400, "Total below minimum");
    }
    let id = books.id("bill_");
    let checkout = json!({
        "id": id, "externalId": body.get("externalId"), "url": format!("{base}{}{id}", pages::PATH),
        "amount": total, "paidAmount": null, "items": items, "status": "PENDING", "frequency": "ONE_TIME",
        "coupons": [], "devMode": true, "customerId": null, "returnUrl": body.get("returnUrl"),
        "completionUrl": body.get("completionUrl"), "receiptUrl": null, "methods": methods,
        "metadata": body.get("metadata").unwrap_or(&json!({})), "createdAt": now.to_string(),
        "updatedAt": now.to_string(),
    });
    books.objects.insert(id, checkout.clone());
    success(checkout)
}

fn expire(books: &mut Books, now: Timestamp) {
    for pix in books.objects.values_mut().filter(|pix| pix["status"] == "PENDING") {
        let until = pix["expiresAt"].as_str().and_then(Timestamp::parse);
        if until.is_some_and(|until| now >= until) {
            pix["status"] = "EXPIRED".into();
        }
    }
}

/// The buyer pays. A page says that a card is declined, and takes another.
pub(super) fn pay(books: &mut Books, id: &str, pay: Pay, now: Timestamp) -> bool {
    let Some(object) = books.objects.get_mut(id).filter(|object| object["status"] == "PENDING") else {
        return false;
    };
    if pay != Pay::Declined {
        object["paidAmount"] = object["amount"].clone();
        object["receiptUrl"] = format!("https://receipts.example/{id}").into();
        set(books, id, "PAID", "completed", now);
    }
    true
}

pub(super) fn refund(books: &mut Books, id: &str, now: Timestamp) -> String {
    set(books, id, "REFUNDED", "refunded", now);
    format!("{id}-refund")
}

pub(super) fn dispute(books: &mut Books, id: &str, now: Timestamp) -> String {
    set(books, id, "DISPUTED", "disputed", now);
    id.to_owned()
}

pub(super) fn win(books: &mut Books, id: &str, now: Timestamp) {
    set(books, id, "PAID", "completed", now);
}

/// Every event shows the object as paid, as the documented ones do, whatever became of it.
fn set(books: &mut Books, id: &str, status: &str, what: &str, now: Timestamp) {
    let object = books.objects.get_mut(id).expect("the payment exists");
    object["status"] = status.into();
    object["updatedAt"] = now.to_string().into();
    let family = if id.starts_with("bill_") { "checkout" } else { "transparent" };
    let mut data = json!({"customer": null, "payerInformation": {"method": "PIX"}});
    data[family] = object.clone();
    data[family]["status"] = "PAID".into();
    let kind = format!("{family}.{what}");
    let body = json!({"event": kind, "apiVersion": 2, "devMode": true, "data": data});
    let id = books.id("log_");
    books.record(Event { processor: Processor::Abacatepay, id, at: now, kind, body });
}

fn success(data: Value) -> Reply {
    (200, json!({"data": data, "success": true, "error": null}))
}

pub(super) fn error(status: u16, text: &str) -> Reply {
    (status, json!({"data": null, "success": false, "error": text}))
}

pub(super) fn query() -> String {
    format!("?webhookSecret={SECRET}")
}

pub(super) fn signature(body: &str) -> Vec<(&'static str, String)> {
    let mut mac = Hmac::<Sha256>::new_from_slice(AbacatePay::PUBLISHED_KEY.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    vec![("x-webhook-signature", BASE64.encode(&mac.finalize().into_bytes()))]
}
