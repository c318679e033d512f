//! Attempts whose create answer was lost, where a provider can be searched only for what looks
//! like them: fal and Replicate.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::attempt::Phase;
use domain::id::JobId;
use domain::job::{State, UNCLEAR_MAX};
use domain::provider::Provider;
use domain::verdict::Billed;
use harness::World;
use serde_json::json;
use shared::store::outbox::LOOK_UP_AFTER;
use sim::{CallKind, Fault};

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

/// Equal orders are equal: which of their remote jobs is whose does not matter, so each gets one,
/// and none gets another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_some_that_are_alike_each_job_gets_one_and_none_gets_anothers() {
    for provider in BOTH {
        let world = silent_world().await;
        let mut jobs = Vec::new();
        for (key, lost) in [("one", true), ("two", false), ("three", true), ("four", false)] {
            if lost {
                world.simulator(provider).cut(CallKind::Create, Fault::DropAfter);
            }
            jobs.push(submit(&world, provider, "a paper boat", key).await);
            world.drain().await;
        }
        let mut found = BTreeSet::new();
        for id in &jobs {
            let job = world.finish(id).await;
            assert_eq!((job.state, job.attempts.len()), (State::Succeeded, 1), "{job:?}");
            found.insert(job.attempts[0].remote.as_ref().unwrap().id.clone());
        }
        assert_eq!(found.len(), jobs.len(), "{found:?}");
        assert_eq!(world.calls(provider, CallKind::Create), jobs.len());
        world.audit().await;
    }
}

/// An order that never arrived, beside an equal one of another account that did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_anothers_is_not_taken_and_a_cancel_does_not_stop_it() {
    for provider in BOTH {
        let world = silent_world().await;
        let before = world.balance().await;
        let prompt = "a boat [[sim: latency=900]]";
        world.simulator(provider).cut(CallKind::Create, Fault::DropBefore);
        let never = submit(&world, provider, prompt, "never").await;
        world.drain().await;
        let arrived = submit(&world, provider, prompt, "arrived").await;
        world.drain().await;
        let price = world.job(&arrived).await.price;
        for _ in 0..5 {
            world.advance(Duration::from_secs(60)).await;
            world.tick().await;
        }
        assert!(world.calls(provider, CallKind::LookUp) > 0);
        world.cancel(&never).await;
        assert_eq!(world.finish(&arrived).await.state, State::Succeeded);
        let job = world.finish(&never).await;
        assert_eq!((job.state, job.attempts[0].phase), (State::Canceled, Phase::Lost), "{job:?}");
        assert_eq!(job.attempts[0].remote, None);
        let kept = job.cost().as_credits();
        assert_eq!(world.balance().await, before.less(price).less(kept));
        assert_eq!(world.calls(provider, CallKind::Cancel), 0);
        world.audit().await;
    }
}

/// Also `reconcile`, which comes by every two minutes, lets it be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_to_be_left_alone_is_not_searched_for_so_long() {
    for (asked_s, wait) in [(500, 500), (1_800, 900), (u64::from(u32::MAX), 900)] {
        let world = silent_world().await;
        let fal = world.simulator(Provider::Fal);
        fal.cut(CallKind::Create, Fault::DropAfter);
        let id = submit(&world, Provider::Fal, "a boat", "lost").await;
        world.drain().await;
        let busy = format!("all=refuse:429, retry_after={asked_s}");
        fal.set_fault_profile(&busy, world.clock.now() + Duration::from_secs(200)).unwrap();
        world.advance(LOOK_UP_AFTER).await;
        // Its own message and that of `reconcile` may come at the same time.
        let asked = world.calls(Provider::Fal, CallKind::LookUp);
        assert!((1..=2).contains(&asked), "{asked}");
        for _ in 0..wait / 20 - 1 {
            world.advance(Duration::from_secs(20)).await;
            world.reconcile().await;
            assert_eq!(world.calls(Provider::Fal, CallKind::LookUp), asked, "{wait}");
        }
        let job = world.finish(&id).await;
        assert!(world.calls(Provider::Fal, CallKind::LookUp) > asked);
        assert_eq!((job.state, job.attempts[0].phase), (State::Succeeded, Phase::Finished), "{job:?}");
        world.audit().await;
    }
}

/// Two create answers that name one remote job: it is the first attempt's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_remote_job_is_never_two_attempts() {
    let world = World::new().await;
    let first = world.submit("gen-4.5", "a boat", "first").await;
    assert_eq!(world.finish(&first).await.state, State::Succeeded);
    let second = world.submit("gen-4.5", "a boat [[sim: create=same-id]]", "second").await;
    world.drain().await;
    let job = world.job(&second).await;
    assert_eq!((job.attempts[0].phase, &job.attempts[0].remote), (Phase::Unclear, &None), "{job:?}");
    assert_eq!(world.finish(&second).await.state, State::Failed);
    world.audit().await;
}

/// What was not found may still exist, so it ends by its deadline alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_found_may_still_be() {
    for provider in BOTH {
        let world = silent_world().await;
        let before = world.balance().await;
        let never = submit(&world, provider, "a [[sim: create=drop-before]]", "never").await;
        let job = world.finish(&never).await;
        assert_eq!((job.state, job.attempts[0].phase), (State::Failed, Phase::Lost), "{job:?}");
        assert!(job.updated_at.since(job.created_at) >= UNCLEAR_MAX);
        assert_eq!(world.balance().await, before, "refunded by the deadline");
        assert_eq!(world.calls(provider, CallKind::Create), 1);
        world.audit().await;
    }
}
