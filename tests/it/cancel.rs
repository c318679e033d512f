//! Cancellation at each state: the credits follow the provider's verdict.

use domain::attempt::Phase;
use domain::credit::Credits;
use domain::job::{Job, State};
use harness::World;
use reqwest::StatusCode;
use shared::boot::Env;

async fn canceled(world: &World, model: &str, prompt: &str, until: State) -> Job {
    let id = world.submit(model, prompt, &format!("{model} {prompt}")).await;
    while world.state(&id).await != until {
        let handled = world.stack.host.step_queues().await.expect("the queues answer");
        if handled == 0 {
            world.pass_time(&id).await;
        }
    }
    let answer = world.cancel(&id).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let again = world.cancel(&id).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "a repeat is answered alike: {again:?}");
    let job = world.finish(&id).await;
    world.audit().await;
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_job_is_canceled_at_once_and_never_sent() {
    let world = World::new().await;
    let before = world.balance().await;
    let job = canceled(&world, "pika-2.2", "a boat", State::Queued).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Canceled, 0));
    assert_eq!(world.balance().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_canceled_at_its_provider() {
    let world = World::new().await;
    let mut before = world.balance().await;
    for model in ["pika-2.2", "gen-4.5"] {
        let job = canceled(&world, model, "a boat [[sim: latency=600]]", State::Running).await;
        assert_eq!(
            (job.state(), job.attempts()[0].phase),
            (State::Canceled, Phase::Canceled),
            "{model}: {job:?}"
        );
        // Runway says that it billed nothing; fal says nothing, so the cost is kept.
        let kept = if model == "gen-4.5" { Credits::ZERO } else { job.cost().as_credits() };
        before = before.less(kept);
        assert_eq!(world.balance().await, before, "{model}");
    }
}

/// The answer to a cancel says what will come back, and that is what comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_says_what_comes_back() {
    for (refund, kept) in [("less_cost", true), ("full", false)] {
        let world = World::with(|options| options.env = Env::from_pairs([("CANCEL_REFUND", refund)])).await;
        let before = world.balance().await;
        let id = world.submit("pika-2.2", "a boat [[sim: latency=600]]", "canceled").await;
        let charged = before.less(world.balance().await);
        while world.state(&id).await != State::Running {
            world.stack.host.step_queues().await.expect("the queues answer");
        }
        let said = world.cancel(&id).await.body["refund_micro_credits"].as_u64().unwrap();
        let job = world.finish(&id).await;
        assert_eq!(job.state(), State::Canceled);
        assert_eq!(said < charged.micros(), kept, "{refund}: {said} of {charged}");
        assert_eq!(world.balance().await.micros(), before.less(charged).micros() + said, "{refund}");
        assert_eq!(world.status(&id).await.body["refund_micro_credits"].as_u64(), Some(said));
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_acceptance_is_unknown_waits_for_its_verdict() {
    let world = World::new().await;
    let before = world.balance().await;
    // Its webhook names the remote job, which has finished by then: paid, so delivered.
    let job = canceled(&world, "pika-2.2", "a boat [[sim: create=drop-after]]", State::Dispatching).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    assert!(world.balance().await < before);
    // Nothing is known of this one until its deadline. It may have been billed, so its cost is kept.
    let charged = world.balance().await;
    let job = canceled(&world, "gen-4.5", "a boat [[sim: create=drop-after]]", State::Dispatching).await;
    assert_eq!((job.state(), job.attempts()[0].phase), (State::Canceled, Phase::Lost), "{job:?}");
    assert_eq!(world.balance().await, charged.less(job.cost().as_credits()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_finishes_all_the_same_is_paid_and_its_work_delivered() {
    let world = World::new().await;
    let before = world.balance().await;
    let job = canceled(&world, "pika-2.2", "a boat [[sim: cancel=ignored]]", State::Running).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    assert!(world.balance().await < before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_or_is_being_fetched_cannot_be_canceled() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat [[sim: asset=500:9]]", "settling").await;
    while world.state(&id).await != State::Settling {
        world.pass_time(&id).await;
    }
    let answer = world.cancel(&id).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "too_late_to_cancel"));
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Succeeded);
    assert_eq!(world.cancel(&id).await.code(), "too_late_to_cancel");
    world.audit().await;
}
