//! What the real platform does and the embedded one does not: it stops loops and late functions,
//! its calls hang and are refused, its table is away, its index lags.

use std::net::TcpListener;
use std::time::Duration;

use domain::attempt::Phase;
use domain::job::{CHECK_EVERY, State};
use domain::provider::Provider;
use futures_util::FutureExt;
use harness::story::{FAILURE_WITH_REFUND, SUCCESS_BY_WEBHOOK};
use harness::{Moment, Refusal, World};
use shared::boot::process::{AWS_CALL, S3_CALL, S3_TRY, timeouts};
use shared::boot::{Env, Process};
use shared::store::Table;
use shared::store::jobs::JobStore;
use sim::CallKind;
use tokio::time::Instant;

fn creates(world: &World) -> usize {
    Provider::ALL.iter().map(|provider| world.calls(*provider, CallKind::Create)).sum()
}

/// How often the function that got this event was invoked on the way to it.
fn generation(event: &serde_json::Value) -> u32 {
    let trace = event.pointer("/Records/0/attributes/AWSTraceHeader").and_then(|it| it.as_str());
    let lineage = trace.and_then(|trace| trace.split_once("Lineage=1:")).map_or("", |(_, list)| list);
    let counts = lineage.split('|').filter_map(|entry| entry.split_once(':')?.1.parse::<u32>().ok());
    counts.max().unwrap_or(0)
}

/// Lambda stops a function that invokes itself 16 times, and goes by what travels with messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_polls_goes_on_where_lambda_would_stop_it() {
    let world = World::new().await;
    let id = world.submit("gen-4.5", "a [[sim: latency=480]]", "long").await;
    world.drain().await;
    // No `reconcile`: the chain alone finds the end.
    for _ in 0..600 / 5 {
        world.advance(Duration::from_secs(5)).await;
    }
    assert_eq!(world.state(&id).await, State::Succeeded);
    let polls = world.wire.invocations().into_iter().filter(|(function, _)| function == "poll");
    let oldest = polls.map(|(_, event)| generation(&event)).max().unwrap_or(0);
    assert!(oldest > 20, "the chain has {oldest} links as Lambda counts them");
    assert_eq!(world.stack.sqs.depth("genmux-poll-dead").unwrap().visible, 0);
    world.audit().await;
}

/// What accepts connections and says nothing, as a cut connection does.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_never_answered_ends() {
    let world = World::new().await;
    let (_listener, url) = silent();
    let aws = world.operator.aws.clone().into_builder().timeout_config(timeouts()).build();
    let env = Env::from_pairs([("AWS_ENDPOINT_URL_DYNAMODB", url)]);
    let process = Process { aws, env, ..world.operator.clone() };

    let jobs = JobStore::new(Table::new(process.dynamodb(), "genmux"));
    let started = Instant::now();
    let error = jobs.get(&domain::id::JobId::from_bytes([1; 16])).await.unwrap_err();
    let took = started.elapsed();
    assert!(took < AWS_CALL + Duration::from_secs(2), "{took:?}: {error:?}");
    assert!(!error.is_missing() && !error.is_corrupt(), "{error:?}");

    // A part of a file may take longer.
    let of_s3 = process.s3().config().timeout_config().cloned().unwrap();
    assert_eq!((of_s3.operation_attempt_timeout(), of_s3.operation_timeout()), (Some(S3_TRY), Some(S3_CALL)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_claimed_that_the_time_left_does_not_cover() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a paper boat", "late").await;
    world.wire.reset();
    let clock = world.clock.clone();
    // The first call of `dispatch` is answered after ten of its sixty seconds.
    world.wire.overtake_at(0, move || {
        clock.advance(Duration::from_secs(10));
        async {}.boxed()
    });
    world.drain().await;
    assert!(world.wire.is_spent());
    assert_eq!((world.state(&id).await, creates(&world)), (State::Queued, 0));
    // Its message comes back.
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len(), creates(&world)), (State::Succeeded, 1, 1), "{job:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_survives_a_call_that_hangs_wherever_it_is() {
    let world = SUCCESS_BY_WEBHOOK.world().await;
    world.wire.reset();
    SUCCESS_BY_WEBHOOK.play(&world, "undisturbed").await;
    let effects = world.wire.effects();
    for moment in [Moment::Before, Moment::After] {
        for k in 0..effects {
            let before = creates(&world);
            world.wire.reset();
            world.wire.hang_at(k, moment, &world.clock);
            let job = SUCCESS_BY_WEBHOOK.play(&world, &format!("hang {moment:?} {k}")).await;
            assert!(world.wire.is_spent(), "effect {k} never came");
            world.audit().await;
            // Only what hid that a claim had landed may change the end.
            let hidden = job.attempts().iter().any(|attempt| attempt.phase == Phase::Lost);
            assert!(job.state() == State::Succeeded || hidden, "{moment:?} {k}: {job:?}");
            assert!(creates(&world) - before <= job.attempts().len(), "{moment:?} {k}: {job:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_survives_a_table_that_is_away_for_half_a_minute() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a paper boat", "away").await;
    world.wire.table_is_down_for(Duration::from_secs(30), &world.clock);
    world.drain().await;
    assert_eq!((world.state(&id).await, creates(&world)), (State::Queued, 0));
    let job = world.finish(&id).await;
    assert_eq!((job.state(), job.attempts().len(), creates(&world)), (State::Succeeded, 1, 1), "{job:?}");

    // Away when the file is there: it is had all the same, and once.
    let id = world.submit("pika-2.2", "another boat", "away again").await;
    world.drain().await;
    world.clock.advance(harness::world::LATENCY);
    world.wire.table_is_down_for(Duration::from_secs(30), &world.clock);
    world.drain().await;
    assert_eq!(world.state(&id).await, State::Running);
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_whose_transaction_is_throttled_is_refunded_once() {
    let world = FAILURE_WITH_REFUND.world().await;
    world.wire.reset();
    FAILURE_WITH_REFUND.play(&world, "undisturbed").await;
    let calls = world.wire.calls();
    let end = calls.iter().rposition(|call| call == "TransactWriteItems").expect("a job ends");
    for reasons in
        [vec!["None", "ThrottlingError", "None"], vec!["None", "ProvisionedThroughputExceeded", "None"]]
    {
        world.wire.reset();
        world.wire.refuse_at(end, Refusal::Transaction(reasons.clone()));
        let job = FAILURE_WITH_REFUND.play(&world, &reasons.join(" ")).await;
        assert!(world.wire.is_spent(), "{reasons:?}: the end never came");
        assert_eq!(job.state(), State::Failed, "{reasons:?}: {job:?}");
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_throttled_is_made_again() {
    let world = SUCCESS_BY_WEBHOOK.world().await;
    world.wire.reset();
    SUCCESS_BY_WEBHOOK.play(&world, "undisturbed").await;
    let claim = world.wire.calls().iter().position(|call| call == "UpdateItem").expect("a job is claimed");
    world.wire.reset();
    world.wire.refuse_at(claim, Refusal::Throughput);
    let before = creates(&world);
    let job = SUCCESS_BY_WEBHOOK.play(&world, "throttled").await;
    let calls = world.wire.calls();
    assert_eq!((&*calls[claim], &*calls[claim + 1]), ("UpdateItem", "UpdateItem"));
    assert_eq!((job.state(), creates(&world) - before), (State::Succeeded, 1), "{job:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lagging_index_still_shows_is_looked_after_once() {
    let world = World::new().await;
    world.submit("pika-2.2", "a paper boat", "lost message").await;
    let queue = "genmux-dispatch";
    for lost in world.stack.sqs.receive(queue, 10).unwrap() {
        world.stack.sqs.delete(queue, &lost.receipt_handle).unwrap();
    }
    world.clock.advance(CHECK_EVERY);
    world.wire.due_index_lags();
    world.sweep().await;
    assert_eq!(world.stack.sqs.depth(queue).unwrap().visible, 1);
    let queries = world.wire.calls().iter().filter(|call| *call == "Query").count();
    world.sweep().await;
    assert!(world.wire.calls().iter().filter(|call| *call == "Query").count() > queries);
    let moves = world.wire.calls().iter().filter(|call| *call == "UpdateItem").count();
    assert_eq!(moves, 2, "the second run saw the job as well");
    assert_eq!(world.stack.sqs.depth(queue).unwrap().visible, 1, "and left it to the first");
}
