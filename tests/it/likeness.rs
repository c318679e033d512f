//! Attempts whose create answer was lost, where a provider can be searched only for what looks
//! like them: fal and Replicate.

use harness::World;
use serde_json::json;
use shared::domain::attempt::Phase;
use shared::domain::id::JobId;
use shared::domain::job::State;
use shared::domain::provider::Provider;
use shared::domain::verdict::Billed;

use genmux::simulate::CallKind;

const BOTH: [Provider; 2] = [Provider::Fal, Provider::Replicate];

async fn silent_world() -> World {
    World::with(|options| options.webhooks = false).await
}

async fn submit(world: &World, provider: Provider, prompt: &str, key: &str) -> JobId {
    let order = json!({"model": "veo-3.1-fast", "prompt": prompt, "provider": provider, "pin": true});
    world.post_job(&order, key).await.text("/id").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_remote_job_of_the_same_input_and_time_is_it() {
    for provider in BOTH {
        let world = silent_world().await;
        let other = submit(&world, provider, "a paper boat", "other").await;
        let lost = submit(&world, provider, "a [[sim: create=drop-after]]", "lost").await;
        let job = world.finish(&lost).await;
        assert_eq!((job.state, job.attempts.len()), (State::Succeeded, 1), "{job:?}");
        assert_eq!((job.attempts[0].phase, job.attempts[0].billed), (Phase::Finished, Billed::Yes));
        assert!(world.calls(provider, CallKind::LookUp) > 0);
        assert_eq!(world.finish(&other).await.state, State::Succeeded);
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_are_alike_neither_is_taken_and_what_is_not_found_may_still_be() {
    for provider in BOTH {
        let world = silent_world().await;
        let before = world.balance().await;
        let twins = ["one", "two"];
        let mut jobs = Vec::new();
        for key in twins {
            jobs.push(submit(&world, provider, "a [[sim: create=drop-after]]", key).await);
        }
        jobs.push(submit(&world, provider, "a [[sim: create=drop-before]]", "never").await);
        for id in &jobs {
            let job = world.finish(id).await;
            assert_eq!((job.state, job.attempts.len()), (State::Failed, 1), "{job:?}");
            assert_eq!(job.attempts[0].phase, Phase::Lost, "{job:?}");
        }
        assert_eq!(world.balance().await, before, "refunded by the deadline");
        assert_eq!(world.calls(provider, CallKind::Create), 3);
        world.audit().await;
    }
}
