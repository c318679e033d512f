//! Flows: what providers do to a job, and what becomes of it and of its money.

use std::time::Duration;

use domain::attempt::{Phase, WRONG_FILE_AFTER};
use domain::id::JobId;
use domain::job::{CHECK_EVERY, Job, QUEUED_MAX, RUNNING_MAX, State, UNCLEAR_MAX};
use domain::provider::Provider;
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use harness::World;
use harness::story::STORIES;
use shared::store::queue::{Message, Queue, Source};
use sim::CallKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_story_ends_as_it_should_when_nothing_comes_between() {
    for story in STORIES {
        let world = story.world().await;
        let job = story.play(&world, "once").await;
        assert_eq!(job.state(), story.ends, "{}: {job:?}", story.name);
        world.audit().await;
    }
}

/// Plays one job to its end and audits.
async fn play(world: &World, model: &str, prompt: &str) -> Job {
    let id = world.submit(model, prompt, &format!("{model} {prompt}")).await;
    let job = world.finish(&id).await;
    world.audit().await;
    job
}

/// Submits and lets everything happen that is due at once.
async fn begin(world: &World, model: &str, prompt: &str) -> JobId {
    let id = world.submit(model, prompt, &format!("{model} {prompt}")).await;
    world.drain().await;
    id
}

fn class(job: &Job) -> Option<ErrorClass> {
    job.fault().map(|fault| fault.class)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certain_refusal_fails_over_or_fails_by_its_class() {
    let world = World::new().await;
    let before = world.balance().await;
    let policy = play(&world, "veo-3.1", "a [[sim: create=refuse:policy, only=fal]]").await;
    assert_eq!((policy.state(), class(&policy)), (State::Failed, Some(ErrorClass::ContentPolicy)));
    assert_eq!(policy.attempts().len(), 1, "a policy refusal is not offered to another provider");
    assert_eq!(world.balance().await, before);

    for refusal in ["401", "403-balance", "429, retry_after=30"] {
        let prompt = format!("a [[sim: create=refuse:{refusal}, only=fal]]");
        // A world for each: one job's refused key keeps the next away.
        let job = play(&World::new().await, "veo-3.1", &prompt).await;
        assert_eq!(job.state(), State::Succeeded, "{refusal}: {job:?}");
        let providers: Vec<_> = job.attempts().iter().map(|attempt| attempt.provider).collect();
        assert_eq!(providers, [Provider::Fal, Provider::Runway], "{refusal}");
        assert_eq!(job.attempts()[0].billed, Billed::No, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_route_that_says_later_is_tried_again_and_no_more_than_four_times() {
    let world = World::new().await;
    let job = play(&world, "pika-2.2", "a [[sim: create=refuse:429, times=2, retry_after=30]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 3), "{job:?}");
    let waited = job.attempts()[1].started_at.since(job.attempts()[0].started_at);
    assert!(waited >= Duration::from_secs(30), "Retry-After is kept: {waited:?}");

    let job = play(&world, "pika-2.2", "b [[sim: create=refuse:429]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Failed, 4), "{job:?}");
    assert_eq!(class(&job), Some(ErrorClass::RateLimited));

    let job = play(&world, "pika-2.2", "c [[sim: create=refuse:401]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Failed, 1), "{job:?}");
    assert_eq!(class(&job), Some(ErrorClass::Auth));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_costs_an_attempt_and_not_the_job() {
    let world = World::with(|options| options.unreachable = vec![Provider::Fal]).await;
    let job = play(&world, "veo-3.1", "a boat").await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    assert_eq!(job.attempts()[0].phase, Phase::NotSent);
    assert_eq!(job.attempts()[0].billed, Billed::No);

    let job = play(&world, "pika-2.2", "a boat with nowhere else to go").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Failed, 4), "{job:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_is_taken_and_answered_with_an_error_is_not_sent_again() {
    for then in ["500", "502", "503", "504", "html"] {
        let world = World::new().await;
        let prompt = format!("a [[sim: create=accept-then:{then}]]");
        let reported = play(&world, "pika-2.2", &prompt).await;
        assert_eq!(
            (reported.state(), reported.attempts().len()),
            (State::Succeeded, 1),
            "{then}: {reported:?}"
        );
        let silent = play(&world, "gen-4.5", &prompt).await;
        assert_eq!((silent.attempts().len(), silent.attempts()[0].billed), (1, Billed::Unknown), "{then}");
        for provider in [Provider::Fal, Provider::Runway] {
            assert_eq!(world.simulator(provider).remote_jobs().unwrap().len(), 1, "{then} at {provider}");
        }
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_acceptance_is_resolved_by_its_webhook() {
    let world = World::new().await;
    let id = begin(&world, "pika-2.2", "a [[sim: create=drop-after]]").await;
    let job = world.job(&id).await;
    assert_eq!((job.state(), job.attempts()[0].phase), (State::Dispatching, Phase::Unclear));
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    assert_eq!(world.calls(Provider::Fal, CallKind::Create), 1);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_acceptance_is_neither_repeated_nor_refunded_before_its_deadline() {
    let world = World::new().await;
    let before = world.balance().await;
    for (n, play) in ["drop-after", "drop-before", "html"].into_iter().enumerate() {
        let start = world.clock.now();
        let id = begin(&world, "gen-4.5", &format!("a [[sim: create={play}]]")).await;
        let charged = world.balance().await;
        assert!(charged < before, "{play}");
        while world.clock.now().since(start) + CHECK_EVERY < UNCLEAR_MAX {
            world.advance(CHECK_EVERY).await;
            world.tick().await;
            let job = world.job(&id).await;
            assert_eq!(
                (job.state(), job.attempts()[0].phase),
                (State::Dispatching, Phase::Unclear),
                "{play}"
            );
            assert_eq!(world.balance().await, charged, "{play}");
        }
        let job = world.finish(&id).await;
        assert_eq!((job.state(), class(&job)), (State::Failed, Some(ErrorClass::Timeout)), "{play}");
        assert_eq!(
            (job.attempts()[0].phase, job.attempts()[0].billed),
            (Phase::Lost, Billed::Unknown),
            "{play}"
        );
        assert!(job.attempts()[0].cost.is_some(), "what it may cost us is on record");
        assert_eq!(world.balance().await, before, "{play}");
        assert_eq!(world.calls(Provider::Runway, CallKind::Create), n + 1, "{play}");
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_after_the_refund_is_a_cost_and_nothing_else() {
    let world = World::new().await;
    let before = world.balance().await;
    let late = UNCLEAR_MAX.as_secs() + 600;
    let prompt = format!("a [[sim: create=drop-after, history=unlisted, webhook=late:{late}]]");
    let job = play(&world, "pika-2.2", &prompt).await;
    assert_eq!((job.state(), job.attempts()[0].phase), (State::Failed, Phase::Lost), "{job:?}");
    world.advance(Duration::from_secs(1_200)).await;
    let after = world.job(job.id()).await;
    assert_eq!((after.state(), after.attempts()[0].phase), (State::Failed, Phase::Finished), "{after:?}");
    assert_eq!(after.attempts()[0].billed, Billed::Yes);
    assert_eq!(world.balance().await, before, "refunded once");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_that_are_lost_late_early_doubled_or_forged_change_nothing() {
    let world = World::new().await;
    for play in ["webhook=lost", "webhook=late:900", "webhook=early", "webhook=twice", "webhook=badsig"] {
        let start = world.clock.now();
        let job = self::play(&world, "pika-2.2", &format!("a [[sim: {play}]]")).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{play}: {job:?}");
        // Without a webhook, polling finds the end within an interval of checks and a minute.
        let took = job.updated_at().since(start);
        assert!(took <= CHECK_EVERY + Duration::from_secs(60), "{play}: {took:?}");
        world.advance(Duration::from_secs(1_000)).await;
        assert_eq!(world.job(job.id()).await, job, "{play}: a late webhook changed the job");
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_at_a_poll_leaves_the_job_running() {
    let world = World::new().await;
    for play in ["backwards", "unknown", "empty", "html", "junk", "truncated"] {
        for (model, extra) in [("gen-4.5", ""), ("pika-2.2", ", webhook=lost")] {
            let prompt = format!("a [[sim: latency=400, status={play}{extra}]]");
            let job = self::play(&world, model, &prompt).await;
            assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{play}: {job:?}");
        }
    }
    let job = self::play(&world, "gen-4.5", "a [[sim: throttled=300]]").await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_refunded_or_tried_elsewhere_by_its_class() {
    let world = World::new().await;
    let before = world.balance().await;
    for (play, want) in
        [("fail=content_policy", ErrorClass::ContentPolicy), ("fail=invalid", ErrorClass::InvalidRequest)]
    {
        for model in ["gen-4.5", "pika-2.2"] {
            let job = self::play(&world, model, &format!("a [[sim: {play}]]")).await;
            assert_eq!((job.state(), class(&job)), (State::Failed, Some(want)), "{model} {play}: {job:?}");
            assert_eq!(world.balance().await, before);
        }
    }
    let job = self::play(&world, "veo-3.1", "a [[sim: fail=internal, only=fal]]").await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 2), "{job:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_job_is_fetched_until_its_file_is_certainly_gone() {
    let world = World::new().await;
    let before = world.balance().await;
    for play in ["result=500:3, webhook=lost", "asset=500:7", "asset=cut:4"] {
        let job = self::play(&world, "pika-2.2", &format!("a [[sim: {play}]]")).await;
        assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{play}: {job:?}");
    }
    let charged = world.balance().await;
    for play in ["asset=404", "asset=expired:0:410", "result=404, webhook=lost"] {
        let job = self::play(&world, "pika-2.2", &format!("a [[sim: {play}]]")).await;
        assert_eq!((job.state(), class(&job)), (State::Failed, Some(ErrorClass::Expired)), "{play}: {job:?}");
        assert_eq!(world.balance().await, charged, "{play}");
        assert_ne!(job.attempts()[0].billed, Billed::No, "{play}: what it cost us is on record");
    }
    assert!(charged < before);
    let id = begin(&world, "pika-2.2", "a [[sim: asset=expired:0]]").await;
    for _ in 0..20 {
        world.pass_time(&id).await;
    }
    assert_eq!(world.state(&id).await, State::Settling, "never a failure while it may come");
    world.audit().await;
}

/// What is there is a page, a still, or the secrets of our own machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_what_was_sold_ends_the_job_after_ten_minutes() {
    let world = World::new().await;
    let before = world.balance().await;
    for (model, play) in [
        ("pika-2.2", "asset=html"),
        ("pika-2.2", "asset=redirect"),
        ("pika-2.2", "asset=other"),
        ("gen-4.5", "asset=other"),
        ("uni-1", "asset=other"),
    ] {
        let id = begin(&world, model, &format!("a [[sim: {play}]]")).await;
        let job = world.finish(&id).await;
        let attempt = &job.attempts()[0];
        assert_eq!((job.state(), job.attempts().len()), (State::Failed, 1), "{play}: {job:?}");
        let fault = attempt.fault.as_ref().unwrap();
        assert_eq!((fault.code.as_deref(), attempt.billed), (Some("wrong_file"), Billed::Unknown), "{play}");
        let took = job.updated_at().since(attempt.ended_at.unwrap());
        assert!(took >= WRONG_FILE_AFTER && took < WRONG_FILE_AFTER * 2, "{play}: {took:?}");
        assert_eq!(world.balance().await, before, "{play}");
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_is_described_by_what_is_in_its_file() {
    let world = World::new().await;
    let id = begin(&world, "gen-4.5", "a paper boat").await;
    let job = world.finish(&id).await;
    let details = job.media().unwrap().details;
    assert_eq!((details.width, details.height), (Some(320), Some(180)), "{details:?}");
    assert_eq!((details.duration_ms, details.frames_per_1000_s), (Some(5_000), Some(12_000)), "{details:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_job_that_never_ends_is_stopped_and_refunded() {
    let world = World::new().await;
    let before = world.balance().await;
    for model in ["gen-4.5", "pika-2.2"] {
        let start = world.clock.now();
        let job = play(&world, model, "a [[sim: latency=1000000]]").await;
        assert_eq!((job.state(), class(&job)), (State::Failed, Some(ErrorClass::Timeout)), "{job:?}");
        assert_eq!(job.attempts()[0].phase, Phase::Canceled, "its provider has confirmed the end");
        let took = job.updated_at().since(start);
        assert!(took >= RUNNING_MAX && took <= RUNNING_MAX + Duration::from_secs(600), "{took:?}");
        assert_eq!(world.balance().await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_job_that_nobody_takes_is_refunded_at_its_deadline() {
    let world = World::new().await;
    let before = world.balance().await;
    // The dispatcher dies at every claim.
    let id = world.submit("pika-2.2", "a boat", "never claimed").await;
    let start = world.clock.now();
    while world.clock.now().since(start) <= QUEUED_MAX {
        world.clock.advance(CHECK_EVERY);
    }
    world.stack.host.fire_schedules().await;
    let job = world.job(&id).await;
    assert_eq!((job.state(), class(&job)), (State::Failed, Some(ErrorClass::Timeout)));
    assert_eq!(world.balance().await, before);
    world.drain().await;
    assert_eq!(world.calls(Provider::Fal, CallKind::Create), 0, "what was refunded is not sent");
    world.audit().await;
}

/// A webhook's word that this job's first attempt has failed, as `webhook` queues it.
async fn report_failure(world: &World, id: &JobId) {
    let fault = Fault::new(ErrorClass::ContentPolicy, Some("content_policy_violation"), Billed::No);
    let message = Message::Settle {
        job_id: id.clone(),
        attempt: 1,
        remote: None,
        outcome: Some(Verdict::Broke { fault, cost: None }),
        source: Source::Webhook,
        sender: None,
        asked: 0,
    };
    let queue = Queue::new(world.operator.sqs(), world.stack.sqs.queue_url("genmux-settle"));
    queue.send(&message, None, Duration::ZERO).await.expect("the queue takes it");
    world.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reported_failure_that_its_provider_does_not_confirm_moves_no_money() {
    let world = World::new().await;
    let id = begin(&world, "pika-2.2", "a boat").await;
    let charged = world.balance().await;
    report_failure(&world, &id).await;
    assert_eq!(world.state(&id).await, State::Running);
    assert_eq!(world.balance().await, charged);
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len()), (State::Succeeded, 1), "{job:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reported_failure_stands_once_its_provider_was_asked_in_vain_for_long_enough() {
    let world = World::new().await;
    let before = world.balance().await;
    // Nothing that the provider says of this remote job can be read, for an hour and more.
    let id = begin(&world, "pika-2.2", "a [[sim: latency=12000, status=html]]").await;
    world.advance(Duration::from_secs(4_500)).await;
    report_failure(&world, &id).await;
    for _ in 0..5 {
        assert_eq!(world.job(&id).await.attempts()[0].phase, Phase::Running);
        assert!(world.balance().await < before);
        world.advance(Duration::from_secs(60)).await;
    }
    assert_eq!(world.job(&id).await.attempts()[0].phase, Phase::Broke);
    assert_eq!(world.balance().await, before, "its signed word stands: refunded");
}
