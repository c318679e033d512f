//! `AbacatePay`, API v2: <https://docs.abacatepay.com>. Only PIX.

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
use crate::frame::wire::Inbound;

const KEY: &str = "abc_dev_simulated";
const SECRET: &str = "simulated-webhook-secret";
pub(super) const KEYS: &[(&str, &str)] = &[("ABACATEPAY_API_KEY", KEY)];
pub(super) const PROOFS: &[(&str, &str)] = &[("ABACATEPAY_WEBHOOK_SECRET", SECRET)];

pub(super) fn answer(books: &mut Books, call: &Inbound, now: Timestamp) -> Reply {
    if call.authorization("Bearer ") != Some(KEY) {
        return error(401, "Invalid or inactive API key");
    }
    match (&call.parts.method, call.path()) {
        (&Method::POST, "/v2/transparents/create") => create(books, call, now),
        (&Method::GET, "/v2/transparents/check") => {
            expire(books, now);
            let id = call.query("id").unwrap_or_default();
            books
                .objects
                .get(&id)
                .filter(|_| id.starts_with("char_"))
                .map_or_else(|| error(404, "PIX QRCode not found"), |pix| success(pix.clone()))
        }
        (&Method::POST, "/v2/transparents/simulate-payment") => {
            let id = call.query("id").unwrap_or_default();
            match pay(books, &id, now) {
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

fn expire(books: &mut Books, now: Timestamp) {
    for pix in books.objects.values_mut().filter(|pix| pix["status"] == "PENDING") {
        let until = pix["expiresAt"].as_str().and_then(Timestamp::parse);
        if until.is_some_and(|until| now >= until) {
            pix["status"] = "EXPIRED".into();
        }
    }
}

pub(super) fn pay(books: &mut Books, id: &str, now: Timestamp) -> bool {
    let is_open = books.objects.get(id).is_some_and(|pix| pix["status"] == "PENDING");
    if is_open {
        set(books, id, "PAID", "transparent.completed", now);
    }
    is_open
}

pub(super) fn refund(books: &mut Books, id: &str, now: Timestamp) -> String {
    set(books, id, "REFUNDED", "transparent.refunded", now);
    format!("{id}-refund")
}

pub(super) fn dispute(books: &mut Books, id: &str, now: Timestamp) -> String {
    set(books, id, "DISPUTED", "transparent.disputed", now);
    id.to_owned()
}

pub(super) fn win(books: &mut Books, id: &str, now: Timestamp) {
    set(books, id, "PAID", "transparent.completed", now);
}

fn set(books: &mut Books, id: &str, status: &str, kind: &str, now: Timestamp) {
    let pix = books.objects.get_mut(id).expect("the PIX exists");
    pix["status"] = status.into();
    pix["updatedAt"] = now.to_string().into();
    let data = json!({"transparent": pix.clone(), "customer": null, "payerInformation": {"method": "PIX"}});
    let body = json!({"event": kind, "apiVersion": 2, "devMode": true, "data": data});
    let id = books.id("log_");
    books.record(Event { processor: Processor::Abacatepay, id, at: now, kind: kind.to_owned(), body });
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
