//! Stills that are their own answer: no file to fetch, and most often nothing to ask after.

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_still_of_a_provider_of_videos_is_its_answer_and_the_last_image_in_it() {
    let world = World::new().await;
    for prompt in ["a paper boat", "a [[sim: gemini=draft]]"] {
        let job = play(&world, "nano-banana-2.1", prompt).await;
        assert_eq!((job.state(), job.attempts()[0].phase), (State::Succeeded, Phase::Finished), "{job:?}");
        assert_eq!(job.media().unwrap().content_type, "image/png");
    }
    assert_eq!(world.calls(Provider::Gemini, CallKind::Create), 2);
    assert_eq!(world.calls(Provider::Gemini, CallKind::Poll), 0);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_in_place_of_a_still_is_read_by_its_name_and_refunded() {
    let world = World::new().await;
    let before = world.balance().await;
    let code = "https://ai.google.dev/errors/content_blocked";
    for (directive, class, code) in [
        ("fail=content_policy", ErrorClass::ContentPolicy, code),
        ("result=422", ErrorClass::NoOutput, "no_output"),
        ("gemini=incomplete", ErrorClass::Unknown, "incomplete"),
    ] {
        let job = play(&world, "nano-banana-2.1", &format!("a [[sim: {directive}]]")).await;
        assert_eq!(job.state(), State::Failed, "{directive}: {job:?}");
        assert_eq!(fault(&job), Some((class, Some(code), Billed::Unknown)), "{directive}");
        assert_eq!(world.balance().await, before, "{directive}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_still_whose_answer_is_spoilt_but_names_it_is_fetched_and_another_is_lost() {
    let world = World::new().await;
    let job = play(&world, "nano-banana-2.1", "a [[sim: status=unknown]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    assert!(world.calls(Provider::Gemini, CallKind::Poll) > 0);
    let job = play(&world, "nano-banana-2.1", "a [[sim: status=truncated]]").await;
    assert_eq!((job.state(), job.attempts()[0].phase), (State::Failed, Phase::Lost), "{job:?}");
    world.audit().await;
}
