//! How providers are, as pings tell, and what routing makes of it.

use std::time::Duration;

use domain::attempt::Phase;
use domain::job::{Job, State};
use domain::provider::Provider;
use harness::World;
use reqwest::Method;
use serde_json::{Value, json};
use sim::{CallKind, Fault};

/// How long `dispatch` goes by the health that it has read.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

async fn provider(world: &World, name: &str) -> Value {
    let answer = world.call(Method::GET, "/v1/providers", &[], None).await;
    let providers = answer.body["providers"].as_array().unwrap();
    providers.iter().find(|provider| provider["name"] == name).unwrap().clone()
}

/// Lets a minute pass in which these providers do not answer their ping.
async fn minute(world: &World, silent: &[Provider]) {
    for provider in silent {
        world.simulator(*provider).cut(CallKind::Ping, Fault::DropBefore);
    }
    world.clock.advance(READ_AGAIN_AFTER);
    world.tick().await;
}

async fn ended(world: &World, key: &str) -> Job {
    let id = world.submit("veo-3.1", "a boat", key).await;
    let job = world.finish(&id).await;
    world.audit().await;
    job
}

fn route(job: &Job) -> Vec<Provider> {
    job.attempts().iter().map(|attempt| attempt.provider).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_unknown_until_it_is_pinged_and_healthy_once_it_answers() {
    let world = World::new().await;
    for name in ["fal", "runway"] {
        assert_eq!(provider(&world, name).await, json!({"name": name, "health": "unknown"}));
    }
    world.tick().await;
    for (name, provider_id) in [("fal", Provider::Fal), ("runway", Provider::Runway)] {
        let now = world.clock.now().to_string();
        let seen = provider(&world, name).await;
        assert!(seen["latency_ms"].is_u64(), "{seen}");
        let want = json!({"name": name, "health": "healthy", "latency_ms": seen["latency_ms"], "since": now, "checked_at": now, "changes": []});
        assert_eq!(seen, want);
        assert_eq!(world.calls(provider_id, CallKind::Ping), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_failed_pings_in_a_row_are_down_and_one_answer_is_healthy() {
    let world = World::new().await;
    let mut seen = Vec::new();
    let mut since = Vec::new();
    for answers in [true, false, true, false, false, false, false, true] {
        minute(&world, if answers { &[] } else { &[Provider::Fal] }).await;
        let fal = provider(&world, "fal").await;
        assert_eq!(fal["checked_at"], world.clock.now().to_string());
        assert!(fal["latency_ms"].is_u64(), "{fal}");
        seen.push(fal["health"].as_str().unwrap().to_owned());
        since.push(fal["since"].clone());
        assert_eq!(provider(&world, "runway").await["health"], "healthy");
    }
    let want = ["healthy", "degraded", "healthy", "degraded", "degraded", "down", "down", "healthy"];
    assert_eq!(seen, want);
    // `since` moves with the health, not with the check.
    let moved: Vec<bool> = since.windows(2).map(|pair| pair[0] != pair[1]).collect();
    assert_eq!(moved, [true, true, true, false, true, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_is_avoided_until_it_answers_again() {
    let world = World::new().await;
    assert_eq!(route(&ended(&world, "well").await), [Provider::Fal]);
    for _ in 0..3 {
        minute(&world, &[Provider::Fal]).await;
    }
    let job = ended(&world, "down").await;
    assert_eq!((job.state(), route(&job)), (State::Succeeded, vec![Provider::Runway]));
    minute(&world, &[]).await;
    assert_eq!(route(&ended(&world, "well again").await), [Provider::Fal]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_degraded_comes_after_one_that_is_healthy() {
    let world = World::new().await;
    minute(&world, &[Provider::Fal]).await;
    assert_eq!(route(&ended(&world, "degraded").await), [Provider::Runway]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_everything_down_a_job_is_still_tried() {
    let world = World::new().await;
    for _ in 0..3 {
        minute(&world, Provider::ALL).await;
    }
    for name in ["fal", "runway"] {
        assert_eq!(provider(&world, name).await["health"], "down");
    }
    let job = ended(&world, "all down").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    // A model of one provider has no other way to go.
    let id = world.submit("pika-2.2", "a boat", "only one").await;
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_costs_an_attempt_and_then_is_down() {
    let world = World::with(|options| options.unreachable = vec![Provider::Fal]).await;
    let job = ended(&world, "not known yet").await;
    assert_eq!((job.state(), route(&job)), (State::Succeeded, vec![Provider::Fal, Provider::Runway]));
    assert_eq!(job.attempts()[0].phase, Phase::NotSent);
    for _ in 0..3 {
        minute(&world, &[]).await;
    }
    let fal = provider(&world, "fal").await;
    assert_eq!((&fal["health"], &fal["latency_ms"]), (&json!("down"), &Value::Null));
    let job = ended(&world, "known").await;
    assert_eq!((job.state(), route(&job)), (State::Succeeded, vec![Provider::Runway]));
}
