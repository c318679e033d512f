//! Providers whose callbacks nobody signs, Luma's Dream Machine, MiniMax and BytePlus: what they say is a
//! hint. And what the codes in MiniMax's 200s mean to a job.

use domain::attempt::Phase;
use domain::id::JobId;
use domain::job::{Job, State};
use domain::provider::Provider;
use domain::verdict::ErrorClass;
use harness::World;
use serde_json::json;
use sim::CallKind;

/// Orders a model where it is at home, though others may run it too.
async fn submit(world: &World, model: &str, prompt: &str) -> JobId {
    let provider = match model {
        "ray-3.2" => Provider::Luma,
        "ray-2" | "ray-flash-2" => Provider::DreamMachine,
        "seedance-2.0" => Provider::Byteplus,
        "wan-2.7" => Provider::Dashscope,
        _ => Provider::Minimax,
    };
    let order = json!({"model": model, "prompt": prompt, "provider": provider, "pin": true});
    let answer = world.post_job(&order, &format!("{model} {prompt}")).await;
    answer.text("/id").parse().unwrap()
}

async fn play(world: &World, model: &str, prompt: &str) -> Job {
    let id = submit(world, model, prompt).await;
    let job = world.finish(&id).await;
    world.audit().await;
    job
}

fn classes(job: &Job) -> Vec<Option<ErrorClass>> {
    job.attempts().iter().map(|attempt| attempt.fault.as_ref().map(|fault| fault.class)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_that_are_lost_late_early_or_doubled_change_nothing() {
    let world = World::new().await;
    for model in ["ray-2", "minimax-h3", "hailuo-2.3", "seedance-2.0"] {
        for what in ["lost", "late:900", "early", "twice"] {
            let job = play(&world, model, &format!("a boat [[sim: webhook={what}]]")).await;
            assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{model} {what}: {job:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_create_answer_is_found_by_our_callback_url_our_deadline_or_the_callback() {
    let world = World::new().await;
    let prompt = "a boat [[sim: create=drop-after, webhook=lost]]";
    for (model, provider) in [("ray-2", Provider::DreamMachine), ("seedance-2.0", Provider::Byteplus)] {
        let job = play(&world, model, prompt).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
        assert!(world.calls(provider, CallKind::LookUp) > 0);
    }
    for model in ["minimax-h3", "hailuo-2.3"] {
        let job = play(&world, model, "a boat [[sim: create=drop-after]]").await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    }
}

/// What is not in the list may run all the same: only the deadline ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_nobody_has_heard_of_is_not_repeated() {
    let world = World::new().await;
    for (provider, model) in [(Provider::DreamMachine, "ray-flash-2"), (Provider::Minimax, "hailuo-02")] {
        let before = world.balance().await;
        let job = play(&world, model, "a boat [[sim: create=drop-before]]").await;
        assert_eq!((job.state(), job.attempts()[0].phase), (State::Failed, Phase::Lost), "{job:?}");
        assert_eq!(world.calls(provider, CallKind::Create), 1);
        assert_eq!(world.balance().await, before, "refunded by the deadline");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_in_a_200_is_as_good_as_a_status() {
    let world = World::new().await;
    for model in ["minimax-h3", "hailuo-2.3"] {
        for what in ["create=refuse:policy", "fail=content_policy"] {
            let job = play(&world, model, &format!("a boat [[sim: {what}]]")).await;
            let told = (job.state(), classes(&job));
            assert_eq!(told, (State::Failed, vec![Some(ErrorClass::ContentPolicy)]), "{model} {what}");
        }
        let job = play(&world, model, &format!("{model} [[sim: create=refuse:429, times=1]]")).await;
        let told = (job.state(), classes(&job));
        assert_eq!(told, (State::Succeeded, vec![Some(ErrorClass::RateLimited), None]), "{model}");
    }
    let job = play(&world, "hailuo-2.3", "a boat [[sim: result=500:2]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_fetched_at_once_is_asked_for_again() {
    let world = World::with(|options| options.webhooks = false).await;
    for model in ["ray-3.2", "hailuo-2.3", "minimax-h3"] {
        let job = play(&world, model, "a boat [[sim: asset=500:1]]").await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_still_waits_is_given_up_and_the_rest_is_delivered() {
    let world = World::new().await;
    for (model, ends) in [
        ("minimax-h3", State::Canceled),
        ("seedance-2.0", State::Canceled),
        ("wan-2.7", State::Canceled),
        ("hailuo-2.3", State::Succeeded),
        ("ray-2", State::Succeeded),
        ("ray-3.2", State::Succeeded),
    ] {
        let before = world.balance().await;
        let id = submit(&world, model, "a boat [[sim: latency=600]]").await;
        world.drain().await;
        assert_eq!(world.cancel(&id).await.status, 202, "{model}");
        let job = world.finish(&id).await;
        assert_eq!(job.state(), ends, "{model}: {job:?}");
        assert_eq!(world.balance().await == before, ends == State::Canceled, "{model}");
        world.audit().await;
    }
}
