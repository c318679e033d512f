//! The platform's billing events: what each billed request cost. Only an admin key may read them; here, one that
//! begins with `admin`.

use axum::Json;
use domain::bill::COST_MAX;
use domain::catalog::{Audio, Catalog, Route};
use domain::credit::MicroUsd;
use domain::provider::Provider;
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
/// Events of a page, whatever the call asks for: their document promises no number.
const PAGE_MAX: usize = 10;

pub(super) fn is_directive(key: &str, value: &str) -> bool {
    key == BILL && (matches!(value, LOST | TWICE) || MicroUsd::from_decimal(value).is_some())
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
    let catalog = Catalog::built_in();
    let mut events = Vec::new();
    for job in simulator.store.all()?.iter().rev() {
        let directive = job.play.own.get(BILL).map_or("", String::as_str);
        if simulator.wire.bills(job, now) && period.contains(&job.created_at.as_millis()) && directive != LOST
        {
            let event = event(job, cost(&catalog, job, directive));
            events.extend(std::iter::repeat_n(event, if directive == TWICE { 2 } else { 1 }));
        }
    }
    let limit = call.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let skipped: usize = call.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let next = (events.len() > skipped + limit).then(|| (skipped + limit).to_string());
    let page: Vec<_> = events.into_iter().skip(skipped).take(limit).collect();
    Ok(Json(json!({"has_more": next.is_some(), "next_cursor": next, "billing_events": page})).into())
}

fn event(job: &RemoteJob, cost: MicroUsd) -> Value {
    let dollars = cost.0 as f64 / 1_000_000.0;
    json!({
        "request_id": job.id, "endpoint_id": job.endpoint, "timestamp": job.created_at.to_string(),
        "output_units": 1, "unit_price": dollars, "percent_discount": null, "cost_subtotal": dollars,
        "cost_discount": 0, "cost_total": dollars, "cost_estimate_nano_usd": cost.0 * 1_000,
    })
}

/// What the directive says, or the catalogue's cost of what the input asks for.
fn cost(catalog: &Catalog, job: &RemoteJob, directive: &str) -> MicroUsd {
    if let Some(cost) = MicroUsd::from_decimal(directive) {
        return cost.min(COST_MAX);
    }
    let routes = catalog.models().flat_map(|model| &model.routes);
    let mut ours = routes.filter(|route| route.provider == Provider::Fal);
    let route = ours.find(|route| route.endpoints().any(|endpoint| endpoint == job.endpoint));
    route.and_then(|route| cost_of(route, job)).unwrap_or_default()
}

fn cost_of(route: &Route, job: &RemoteJob) -> Option<MicroUsd> {
    let input = job.extra["input"].as_object()?;
    let asked = |resolution: &&String| input.values().any(|value| *value == resolution.as_str());
    let resolution = route.resolutions.iter().find(asked).or(route.resolutions.first())?;
    let has_sound = route.audio == Audio::Always || input.get("generate_audio") == Some(&Value::Bool(true));
    let seconds = match job.medium {
        Medium::Video { seconds } => Some(seconds),
        Medium::Image => None,
    };
    route.cost(seconds, resolution, has_sound)
}
