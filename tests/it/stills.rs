//! Stills that are their own answer: nothing to ask after, nothing to look for.

use domain::attempt::Phase;
use domain::job::{Job, State};
use domain::provider::Provider;
use domain::verdict::{Billed, ErrorClass};
use harness::World;
use serde_json::json;

use sim::CallKind;

async fn play(world: &World, model: &str, prompt: &str) -> Job {
    let id = world.submit(model, prompt, prompt).await;
    world.finish(&id).await
}

fn fault(job: &Job) -> Option<(ErrorClass, Option<&str>, Billed)> {
    let fault = job.attempts()[0].fault.as_ref()?;
    Some((fault.class, fault.code.as_deref(), job.attempts()[0].billed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_still_is_made_by_one_call() {
    let world = World::new().await;
    let job = play(&world, "stable-image-core", "a paper boat").await;
    assert_eq!((job.state(), job.attempts()[0].phase), (State::Succeeded, Phase::Finished), "{job:?}");
    assert_eq!(job.media().unwrap().content_type, "image/png");
    assert_eq!(world.calls(Provider::Stability, CallKind::Create), 1);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_still_is_refunded_though_it_is_billed_and_offered_to_nobody_else() {
    let world = World::new().await;
    let before = world.balance().await;
    let job = play(&world, "sd-3.5-large", "a [[sim: only=stability, fail=content_policy]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Failed, 1), "{job:?}");
    assert_eq!(fault(&job), Some((ErrorClass::ContentPolicy, Some("CONTENT_FILTERED"), Billed::Yes)));
    assert_eq!(world.balance().await, before);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_passes_goes_to_another_provider() {
    let world = World::new().await;
    for refusal in ["401", "403-balance", "429"] {
        let prompt = format!("a [[sim: only=stability, create=refuse:{refusal}]]");
        let job = play(&world, "sd-3.5-large", &prompt).await;
        let made = job.attempts().last().unwrap().provider;
        assert_eq!((job.state(), made), (State::Succeeded, Provider::Replicate), "{refusal}: {job:?}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_whole_still_ends_at_the_deadline_and_is_not_paid_twice() {
    for play in ["status=unknown", "status=html", "status=truncated", "create=drop-after"] {
        let world = World::new().await;
        let before = world.balance().await;
        let order = json!({"model": "sd-3.5-large", "prompt": format!("a [[sim: {play}]]")});
        let answer = world.post_job(&order, play).await;
        let job = world.finish(&answer.text("/id").parse().unwrap()).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Failed, 1), "{play}: {job:?}");
        assert_eq!((job.attempts()[0].phase, job.attempts()[0].billed), (Phase::Lost, Billed::Unknown));
        assert_eq!(world.calls(Provider::Stability, CallKind::Create), 1, "{play}");
        assert_eq!(world.balance().await, before, "{play}");
        world.audit().await;
    }
}
