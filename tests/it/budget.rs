//! What one job costs in calls: a counting test that fails when one is added.

use domain::budget::Budgets;
use domain::credit::Credits;
use domain::job::State;
use harness::story::{FAILURE_WITH_REFUND, SUCCESS_BY_WEBHOOK};

/// The webhook path of one successful job, on instances that are warm: they know the
/// caller's key and the providers' health and keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_on_the_webhook_path_keeps_to_its_budget() {
    let world = SUCCESS_BY_WEBHOOK.world().await;
    SUCCESS_BY_WEBHOOK.play(&world, "warms the instances").await;
    world.wire.reset();
    let id = world.submit(SUCCESS_BY_WEBHOOK.model, SUCCESS_BY_WEBHOOK.prompt, "counted").await;
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);

    let calls = world.wire.calls();
    let capacity = world.wire.capacity();
    let count = |name: &str| calls.iter().filter(|call| call.as_str() == name).count();
    println!("webhook path of one successful job: {} SDK calls: {}", calls.len(), calls.join(", "));
    println!("{} WRU, {} RRU", capacity.writes, capacity.reads);
    assert!(calls.len() <= 12, "{calls:?}");
    assert!(capacity.writes <= 20.0 && capacity.writes > 0.0, "{capacity:?}");
    assert!(capacity.reads <= 3.0 && capacity.reads > 0.0, "{capacity:?}");
    assert_eq!(count("S3.PUT"), 1, "{calls:?}");
    assert!(count("SendMessage") <= 3, "{calls:?}");
}

/// A job that fails is charged to and refunded from each budget, in transactions that it has anyway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_adds_two_writes_at_each_end_of_a_job_and_no_call() {
    let cost = async |of_key: Budgets| {
        let world = FAILURE_WITH_REFUND.world().await;
        world.set_budgets(Budgets::default(), of_key).await;
        FAILURE_WITH_REFUND.play(&world, "warms the instances").await;
        world.wire.reset();
        let id = world.submit(FAILURE_WITH_REFUND.model, FAILURE_WITH_REFUND.prompt, "counted").await;
        assert_eq!(world.finish(&id).await.state(), State::Failed);
        (world.wire.calls().len(), world.wire.capacity().writes)
    };
    let (calls, writes) = cost(Budgets::default()).await;
    let one = Budgets { total: Some(Credits::from_micros(1 << 50)), ..Budgets::default() };
    let (calls_of_one, writes_of_one) = cost(one).await;
    assert!(calls_of_one == calls && writes_of_one - writes <= 4.0, "{writes_of_one} after {writes}");
}

/// The calls and writes of the job's own functions, with an endpoint for these types.
async fn cost(types: Option<&str>) -> (usize, f64) {
    let world = SUCCESS_BY_WEBHOOK.world().await;
    if let Some(types) = types {
        let body = format!(r#"{{"url": "http://127.0.0.1:1/", "types": ["{types}"]}}"#);
        let made = world.call(reqwest::Method::POST, "/v1/endpoints", &[], Some(&body)).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    SUCCESS_BY_WEBHOOK.play(&world, "warms the instances").await;
    world.wire.reset();
    let id = world.submit(SUCCESS_BY_WEBHOOK.model, SUCCESS_BY_WEBHOOK.prompt, "counted").await;
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);
    let of_events = ["notify", "deliver"];
    let (calls, writes) =
        (world.wire.calls_without(&of_events).len(), world.wire.capacity_without(&of_events).writes);
    (calls, writes)
}

/// The end of a job is written in a transaction anyway. A start is not, so that it costs more, and is an
/// event only for who wants it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_adds_one_call_and_four_writes_before_its_first_delivery() {
    let (calls, writes) = cost(None).await;
    let (calls_of_end, writes_of_end) = cost(Some("job.succeeded")).await;
    assert!(calls_of_end - calls <= 1 && writes_of_end - writes <= 4.0);
    let (calls_of_both, writes_of_both) = cost(Some("job.*")).await;
    assert!(calls_of_both - calls <= 2 && writes_of_both - writes <= 8.0);
}
