//! The platform's billing events: what each billed request cost. Only an admin key may read them; here, one that
//! begins with `admin`.

use std::time::Duration;

use axum::Json;
use domain::bill::COST_MAX;
use domain::credit::MicroUsd;
use domain::time::Timestamp;
use http::StatusCode;
use serde_json::{Value, json};

use super::errors::platform_error;
use super::history;
use crate::frame::jobs::{Medium, RemoteJob};
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Inbound};

/// The directive of a job's bill, and its words.
const BILL: &str = "bill";
const LOST: &str = "lost";
const TWICE: &str = "twice";
const LATER: &str = "later";
/// By how much a line is dated after the request that it bills, with that directive.
const LATER_BY: Duration = Duration::from_secs(24 * 3_600);
/// What a second costs, in micro-dollars, by endpoint and resolution: of its own, because a bill is what the
/// catalogue is checked against. What is billed at other endpoints has no amount.
const PER_SECOND: [(&str, &str, u64); 4] = [
    ("fal-ai/pika/v2.2/text-to-video", "720p", 40_000),
    ("fal-ai/pika/v2.2/text-to-video", "1080p", 90_000),
    ("fal-ai/pika/v2.2/image-to-video", "720p", 40_000),
    ("fal-ai/pika/v2.2/image-to-video", "1080p", 90_000),
];
/// Events of a page, whatever the call asks for: their document promises no number.
const PAGE_MAX: usize = 10;

pub(super) fn is_directive(key: &str, value: &str) -> bool {
    key == BILL && (matches!(value, LOST | TWICE | LATER) || MicroUsd::from_decimal(value).is_some())
}

pub(super) fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if !simulator.is_authorized(call) {
        let text = "Authentication required";
        return Ok(platform_error(StatusCode::UNAUTHORIZED, "authorization_error", text).into());
    }
    if !call.authorization("Key ").is_some_and(|key| key.starts_with("admin")) {
        let text = "An admin API key is required";
        return Ok(platform_error(StatusCode::FORBIDDEN, "authorization_error", text).into());
    }
    let now = simulator.clock.now();
    let Some(period) = history::period(call, now) else {
        let text = "start and end must be dates";
        return Ok(platform_error(StatusCode::BAD_REQUEST, "validation_error", text).into());
    };
    let mut events = Vec::new();
    for job in simulator.store.all()?.iter().rev() {
        let directive = job.play.own.get(BILL).map_or("", String::as_str);
        let at = if directive == LATER { job.created_at + LATER_BY } else { job.created_at };
        let is_listed = at <= now && period.contains(&at.as_millis()) && directive != LOST;
        if is_listed && simulator.wire.bills(job, now) {
            let event = event(job, at, cost(job, directive));
            events.extend(std::iter::repeat_n(event, if directive == TWICE { 2 } else { 1 }));
        }
    }
    let limit = call.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let skipped: usize = call.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let next = (events.len() > skipped + limit).then(|| (skipped + limit).to_string());
    let page: Vec<_> = events.into_iter().skip(skipped).take(limit).collect();
    Ok(Json(json!({"has_more": next.is_some(), "next_cursor": next, "billing_events": page})).into())
}

fn event(job: &RemoteJob, at: Timestamp, cost: Option<MicroUsd>) -> Value {
    let dollars = cost.map(|cost| cost.0 as f64 / 1_000_000.0);
    json!({
        "request_id": job.id, "endpoint_id": job.endpoint, "timestamp": at.to_string(),
        "output_units": 1, "unit_price": dollars, "percent_discount": null, "cost_subtotal": dollars,
        "cost_discount": 0, "cost_total": dollars, "cost_estimate_nano_usd": cost.map(|cost| cost.0 * 1_000),
    })
}

/// What the directive says, or the price of what the input asks for, if there is one.
fn cost(job: &RemoteJob, directive: &str) -> Option<MicroUsd> {
    if let Some(cost) = MicroUsd::from_decimal(directive) {
        return Some(cost.min(COST_MAX));
    }
    let Medium::Video { seconds } = job.medium else { return None };
    let resolution = job.extra["input"]["resolution"].as_str().unwrap_or("720p");
    let is_asked = |(endpoint, of, _): &&(&str, &str, u64)| *endpoint == job.endpoint && *of == resolution;
    PER_SECOND.iter().find(is_asked).map(|(_, _, price)| MicroUsd(price * u64::from(seconds)))
}
