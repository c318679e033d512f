//! Price lists of providers against the catalogue.

use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use domain::provider::Provider::Fal;
use harness::{Log, World};
use serde_json::{Value, json};
use sim::{CallKind, Fault};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const VEO: &str = "fal-ai/veo3.1/image-to-video";

/// A fal that answers every call that names [`VEO`] or no endpoint with this.
async fn fal(answer: Value) -> String {
    let answer = move |uri: Uri| {
        let query = uri.query().unwrap_or_default();
        let is_other = query.contains("endpoint_id=") && !query.contains(&VEO.replace('/', "%2F"));
        let answer = if is_other { json!({"prices": []}) } else { answer.clone() };
        std::future::ready(axum::Json(answer))
    };
    served(Router::new().fallback(answer)).await
}

async fn served(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn line(unit_price: Value, unit: &str) -> Value {
    json!({"endpoint_id": VEO, "unit_price": unit_price, "unit": unit, "currency": "USD"})
}

#[tokio::test]
async fn a_list_is_asked_for_once_a_day_and_the_simulators_agrees_with_the_catalogue() {
    let world = World::new().await;
    let log = Log::start();
    let mut asked = Vec::new();
    for wait in [Duration::ZERO, Duration::from_secs(60), DAY - Duration::from_secs(61), DAY, DAY] {
        world.clock.advance(wait);
        world.stack.host.fire_schedules().await;
        asked.push(world.calls(Fal, CallKind::Prices));
    }
    // Two calls: fal has more endpoints than one takes.
    assert_eq!(asked, [2, 2, 2, 4, 6]);
    let called = log.of("provider.called");
    let listed = called.iter().filter(|line| line["what"] == "prices" && line["outcome"] == "listed");
    assert_eq!(listed.count(), 6, "{called:?}");
    assert_eq!(log.of("price.differs"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_provider_that_does_not_answer_its_ping_is_asked_for_no_prices() {
    let world = World::new().await;
    world.simulator(Fal).cut(CallKind::Ping, Fault::DropBefore);
    world.stack.host.fire_schedules().await;
    assert_eq!(world.calls(Fal, CallKind::Prices), 0);
    world.stack.host.fire_schedules().await;
    assert_eq!(world.calls(Fal, CallKind::Prices), 2);
}

/// An endpoint that fal does not know, among many: the prices of the others are still compared.
#[tokio::test]
async fn an_unknown_endpoint_hides_no_other_price() {
    let answer = |uri: Uri| async move {
        let query = uri.query().unwrap_or_default().replace("%2F", "/");
        if query.contains("no-such-model") {
            return (StatusCode::NOT_FOUND, axum::Json(json!({"error": {"type": "not_found"}})));
        }
        let prices = if query.contains(VEO) { vec![line(json!(0.5), "second")] } else { Vec::new() };
        (StatusCode::OK, axum::Json(json!({"prices": prices})))
    };
    let url = served(Router::new().fallback(answer)).await;
    let own = "[[models]]\nname = 'veo-3.1'\n[[models.routes]]\nprovider = 'fal'\nendpoint = 'example/no-such-model'\nresolutions = ['720p']\naspect_ratios = ['16:9']\ndurations_s = [8]\nprompt_max = 100\ncost = { '720p' = { per_second = 100_000 } }";
    let world = World::with(|options| options.catalog = Some(own.to_owned())).await;
    let health = world.start("health", &[("PROVIDERS", "fal"), ("FAL_BASE_URL", &url)]).await;
    let log = Log::start();
    let event = include_str!("../../events/health/schedule.json");
    health.invoke(serde_json::from_str(event).unwrap()).await;
    assert_eq!(log.of("price.differs").len(), 1);
}

#[tokio::test]
async fn a_price_that_is_not_ours_is_one_line_of_the_log_and_what_is_not_understood_is_none() {
    for (answer, differ) in [
        (json!({"prices": [line(json!(0.4), "second")], "next_cursor": null, "has_more": false}), 0),
        (json!({"prices": [line(json!(0.5), "second")], "next_cursor": null, "has_more": false}), 1),
        (json!({"prices": [line(json!(0.5), "compute unit")], "next_cursor": null, "has_more": false}), 0),
        (json!({"prices": [line(json!("free"), "second"), 7]}), 0),
        (json!({"prices": "on request"}), 0),
    ] {
        let world = World::new().await;
        let url = fal(answer.clone()).await;
        let health = world.start("health", &[("PROVIDERS", "fal"), ("FAL_BASE_URL", &url)]).await;
        let log = Log::start();
        let event = include_str!("../../events/health/schedule.json");
        health.invoke(serde_json::from_str(event).unwrap()).await;
        let lines = log.of("price.differs");
        assert_eq!(lines.len(), differ, "{answer} {lines:?}");
        for line in lines {
            let told = json!({
                "level": "WARN", "provider": "fal", "route": "fal/fal-ai/veo3.1", "endpoint": VEO,
                "unit": "second", "ours_micro_usd": "200000 400000 600000", "theirs_micro_usd": 500_000,
            });
            for (name, value) in told.as_object().unwrap() {
                assert_eq!(line[name], *value, "{name}");
            }
        }
    }
}
