//! JSON of endpoints, events and deliveries.

use domain::delivery::{Delivery, Status};
use domain::endpoint::{Endpoint, Reason};
use domain::event::Event;
use domain::time::Timestamp;
use serde_json::{Value, json};

fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

pub fn endpoint(endpoint: &Endpoint) -> Value {
    let reason = endpoint.disabled_reason.map(Reason::name);
    let health = &endpoint.health;
    let mut view = json!({
        "id": endpoint.id,
        "kind": endpoint.kind.name(),
        "types": endpoint.types,
        "description": endpoint.description,
        "v1a": endpoint.v1a,
        "status": endpoint.status.name(),
        "disabled_reason": reason,
        "failures": health.failures,
        "failing_since": text(health.failing_since),
        "last_success_at": text(health.last_success_at),
        "previous_secret_until": text(endpoint.secrets.previous_until),
        "created_at": text(made(endpoint.created_at)),
        "updated_at": text(made(endpoint.updated_at)),
    });
    if let Some(field) = endpoint.kind.field() {
        view[field] = endpoint.shown_address().into();
    }
    view
}

/// No one created what stands for callback URLs.
fn made(at: Timestamp) -> Option<Timestamp> {
    (at > Timestamp::from_secs(0)).then_some(at)
}

/// An event as its deliveries show it, with its id.
pub fn event(event: &Event) -> Value {
    let body: Option<Value> = event.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
    let data = body.map(|mut body| body["data"].take());
    json!({
        "id": event.id,
        "type": event.kind,
        "created_at": event.created_at.to_string(),
        "job": event.job,
        "data": data,
    })
}

pub fn delivery(delivery: &Delivery) -> Value {
    let is_pending = delivery.status == Status::Pending;
    let tries: Vec<Value> = delivery
        .tries
        .iter()
        .map(|made| {
            json!({
                "at": made.at.to_string(),
                "latency_ms": made.ms,
                "outcome": made.outcome,
                "status_code": made.status,
                "error": made.error,
                "answer": made.answer,
            })
        })
        .collect();
    json!({
        "event": delivery.event,
        "endpoint": delivery.endpoint,
        "type": delivery.kind,
        "url": delivery.url,
        "status": delivery.status.name(),
        "next_try_at": is_pending.then(|| delivery.next_at.to_string()),
        "tries": tries,
        "receipt": delivery.receipt.map(|receipt| json!({
            "status": receipt.fate.name(),
            "at": receipt.at.to_string(),
        })),
        "created_at": delivery.created_at.to_string(),
        "updated_at": delivery.updated_at.to_string(),
    })
}
