//! What only Kling can: an attempt is found by our name for it. And what its codes mean to a job.

use domain::attempt::Phase;
use domain::job::{Job, State};
use domain::provider::Provider;
use domain::verdict::{Billed, ErrorClass};
use harness::World;

use sim::CallKind;

async fn play(world: &World, model: &str, prompt: &str) -> Job {
    let id = world.submit(model, prompt, prompt).await;
    world.finish(&id).await
}

/// At Kling alone: fal has the model too.
async fn play_at_kling(world: &World, prompt: &str) -> Job {
    let body =
        serde_json::json!({"model": "kling-3.0-turbo", "prompt": prompt, "provider": "kling", "pin": true});
    let answer = world.post_job(&body, prompt).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    world.finish(&answer.text("/id").parse().unwrap()).await
}

fn classes(job: &Job) -> Vec<Option<ErrorClass>> {
    job.attempts().iter().map(|attempt| attempt.fault.as_ref().map(|fault| fault.class)).collect()
}

async fn silent_world() -> World {
    World::with(|options| options.webhooks = false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_create_answer_is_found_and_not_paid_twice() {
    let world = silent_world().await;
    for (provider, only) in [(Provider::Kling, "kling_legacy"), (Provider::KlingLegacy, "kling")] {
        let prompt = format!("a [[sim: create=drop-after]] [[sim: only={only}, create=refuse:401]]");
        let job = play(&world, "kling-2.6", &prompt).await;
        let found: Vec<_> = job.attempts().iter().filter(|attempt| attempt.provider == provider).collect();
        assert_eq!((job.state(), found.len()), (State::Succeeded, 1), "{job:?}");
        assert_eq!((found[0].phase, found[0].billed), (Phase::Finished, Billed::Yes), "{job:?}");
        assert!(world.calls(provider, CallKind::LookUp) > 0);
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_never_arrived_is_made_elsewhere_only_where_that_is_certain() {
    let world = silent_world().await;
    let job = play(&world, "kling-2.6", "a [[sim: only=kling, create=drop-before]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 2), "{job:?}");
    assert_eq!(classes(&job), [Some(ErrorClass::ProviderUnavailable), None]);
    assert_eq!(job.attempts()[0].fault.as_ref().unwrap().code.as_deref(), Some("never_arrived"));
    assert_eq!(job.attempts()[1].provider, Provider::KlingLegacy);
    world.audit().await;

    let before = world.balance().await;
    let prompt = "b [[sim: only=kling, create=refuse:401]] [[sim: only=kling_legacy, create=drop-before]]";
    let job = play(&world, "kling-2.6", prompt).await;
    assert_eq!(
        (job.state(), classes(&job).pop()),
        (State::Failed, Some(Some(ErrorClass::Timeout))),
        "{job:?}"
    );
    assert_eq!(world.balance().await, before, "refunded by the deadline");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_package_is_no_haste_though_both_are_429() {
    let world = World::new().await;
    let job = play(&world, "kling-2.6", "a [[sim: only=kling, create=refuse:403-balance]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 2), "{job:?}");
    assert_eq!(classes(&job), [Some(ErrorClass::InsufficientFunds), None]);
    assert_eq!(job.attempts()[0].fault.as_ref().unwrap().code.as_deref(), Some("1102"));
    let haste = "a [[sim: only=kling, create=refuse:429, times=1]]";
    let job = play_at_kling(&world, haste).await;
    assert_eq!((job.state(), classes(&job)), (State::Succeeded, vec![Some(ErrorClass::RateLimited), None]));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kling_bills_is_what_an_attempt_costs() {
    let world = World::new().await;
    let job = play_at_kling(&world, "a paper boat").await;
    assert_eq!(job.attempts()[0].cost.map(|cost| cost.0), Some(560_000), "five seconds at 720p: {job:?}");
    let job = play_at_kling(&world, "a [[sim: fail=content_policy]]").await;
    assert_eq!((job.state(), classes(&job)), (State::Failed, vec![Some(ErrorClass::ContentPolicy)]));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_that_are_lost_late_early_doubled_forged_or_unsigned_change_nothing() {
    let world = World::new().await;
    for play in ["lost", "late:900", "early", "twice", "badsig", "unsigned"] {
        let prompt = format!("a [[sim: webhook={play}]]");
        let job = play_at_kling(&world, &prompt).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{play}: {job:?}");
    }
    world.audit().await;
}
