//! A caller's repeat after a deployment that changed what can be ordered.

use std::fs;
use std::time::Duration;

use domain::job::State;
use domain::provider::Provider;
use harness::World;
use serde_json::{Value, json};
use sim::CallKind;

use crate::documents::openapi::root;

/// Submits this body under the key `deployed`, to a `submit` that has these providers.
async fn submit(world: &World, providers: &str, body: &Value) -> (u64, Value) {
    let event = fs::read_to_string(root().join("events/submit/idempotency_key.json")).unwrap();
    let mut event: Value = serde_json::from_str(&event).unwrap();
    event["headers"]["authorization"] = json!(format!("Bearer {}", world.key));
    event["headers"]["idempotency-key"] = json!("deployed");
    event["body"] = json!(body.to_string());
    event["isBase64Encoded"] = json!(false);
    let answer = world.start("submit", &[("PROVIDERS", providers)]).await.invoke(event).await;
    (answer["statusCode"].as_u64().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_finds_its_job_though_its_model_is_no_longer_sold() {
    let world = World::new().await;
    let body = json!({"model": "pika-2.2", "prompt": "a boat"});
    let (status, first) = submit(&world, "fal,runway", &body).await;
    assert_eq!(status, 202, "{first}");
    let charged = world.balance().await;
    let (status, again) = submit(&world, "runway", &body).await;
    assert_eq!(status, 202, "{again}");
    assert_eq!(again["headers"]["location"], first["headers"]["location"]);
    assert_eq!(again["headers"]["idempotent-replayed"], json!("true"));
    assert_eq!(world.balance().await, charged);
    // Another order under that key, and one that was never taken, are told what is wrong with them.
    let (status, _) = submit(&world, "runway", &json!({"model": "pika-2.2", "prompt": "another"})).await;
    assert_eq!(status, 422);
}

/// What runs at a provider that was taken out is still asked about, as long as its key is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_at_a_provider_that_was_taken_out_is_polled_to_its_end() {
    let world = World::with(|options| options.webhooks = false).await;
    let id = world.submit("pika-2.2", "a boat", "running").await;
    while world.state(&id).await != State::Running {
        world.stack.host.step_queues().await.unwrap();
    }
    world.clock.advance(Duration::from_secs(60));
    let poll = world.start("poll", &[("PROVIDERS", "runway")]).await;
    let before = world.calls(Provider::Fal, CallKind::Poll);
    poll.handle(&json!({"type": "poll.v1", "job_id": id, "attempt": 1})).await;
    assert_eq!(world.calls(Provider::Fal, CallKind::Poll), before + 1);
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);
}
