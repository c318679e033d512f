//! The platform's history of an endpoint: what ran there and when, with inputs and outputs.

use std::ops::Range;

use axum::Json;
use domain::time::Timestamp;
use http::StatusCode;
use serde_json::{Value, json};

use super::errors::platform_error;
use super::models;
use super::outcome::outcome;
use crate::frame::jobs::RemoteJob;
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Inbound};

/// How soon a new job is listed is not known: with this directive it never is.
pub(super) const UNLISTED: (&str, &str) = ("history", "unlisted");
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 100;
/// How far back it looks where the call does not say.
const LOOK_BACK: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

pub(super) fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    if !simulator.is_authorized(call) {
        let unauthorized =
            platform_error(StatusCode::UNAUTHORIZED, "authorization_error", "Authentication required");
        return Ok(unauthorized.into());
    }
    let invalid = |text: &str| Ok(platform_error(StatusCode::BAD_REQUEST, "validation_error", text).into());
    let asked = call.query("endpoint_id").unwrap_or_default();
    let endpoints: Vec<_> = asked.split(',').collect();
    let is_known = |id: &&str| models::find(id).is_some() || simulator.options.further.contains_key(*id);
    if !endpoints.iter().all(is_known) {
        return Ok(platform_error(StatusCode::NOT_FOUND, "not_found", "Endpoint not found").into());
    }
    let now = simulator.clock.now();
    let Some(period) = period(call, now) else { return invalid("start and end must be dates") };
    let limit = call.query("limit").map_or(Some(LIMIT), |text| text.parse().ok());
    let Some(limit) = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit)) else {
        return invalid("limit must be between 1 and 100");
    };
    let skipped: usize = call.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let mut jobs = simulator.store.all()?;
    jobs.retain(|job| {
        endpoints.contains(&job.endpoint.as_str())
            && period.contains(&job.created_at.as_millis())
            && !job.play.own.contains_key(UNLISTED.0)
    });
    let more = jobs.len() > skipped + limit;
    let with_payloads = call.query("expand").as_deref() == Some("payloads");
    let page = jobs.iter().skip(skipped).take(limit);
    let items: Vec<_> = page.map(|job| item(simulator, job, now, with_payloads)).collect();
    let next = more.then(|| (skipped + limit).to_string());
    Ok(Json(json!({"next_cursor": next, "has_more": more, "items": items})).into())
}

/// From when until when, in milliseconds.
pub(super) fn period(call: &Inbound, now: Timestamp) -> Option<Range<i64>> {
    let time = |name: &str, otherwise: Timestamp| match call.query(name) {
        Some(text) => text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond()),
        None => Some(otherwise.as_millis()),
    };
    Some(time("start", now.minus(LOOK_BACK))?..time("end", now)?)
}

fn item(simulator: &Simulator, job: &RemoteJob, now: Timestamp, with_payloads: bool) -> Value {
    let sent_at = job.created_at.to_string();
    let mut item = json!({
        "request_id": job.id, "endpoint_id": job.endpoint, "sent_at": sent_at, "started_at": sent_at,
        "ended_at": null, "status_code": null, "duration": null,
    });
    if with_payloads {
        item["json_input"] = job.extra["input"].clone();
    }
    if job.is_over(now) {
        let (code, output) = outcome(simulator, job, now);
        item["ended_at"] = json!(job.ends_at().to_string());
        item["duration"] = json!(job.ends_at().since(job.created_at).as_secs_f64());
        item["status_code"] = json!(code.as_u16());
        if with_payloads {
            item["json_output"] = output;
        }
    }
    item
}
