//! What one job costs in calls: a counting test that fails when one is added.

use domain::budget::Budgets;
use domain::credit::Credits;
use domain::job::State;
use harness::cost::{PATHS, table};
use harness::crowd;
use harness::story::{FAILURE_WITH_REFUND, SUCCESS_BY_WEBHOOK};
use harness::wire::Capacity;
use harness::{World, how_many};
use reqwest::Method;
use shared::boot::Env;

/// The most that one job may cost on each path: calls of functions to AWS, write units, read units.
const MOST: [(usize, f64, f64); PATHS.len()] = [
    (12, 20.0, 3.0),
    (27, 25.0, 8.0),
    (33, 32.0, 9.0),
    (10, 24.0, 3.0),
    (18, 26.0, 5.0),
    (24, 33.0, 9.0),
    (15, 20.0, 4.0),
    (16, 20.0, 7.0),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_keeps_to_its_budget_on_every_path_and_the_page_on_prices_says_what_it_costs() {
    let mut costs = Vec::new();
    for path in PATHS {
        let cost = path.measure().await;
        println!("{}: {cost:?}", path.name());
        costs.push((path, cost));
    }
    for ((path, cost), (calls, writes, reads)) in costs.iter().zip(MOST) {
        assert!(cost.calls <= calls, "{}: {cost:?}", path.name());
        assert!(cost.writes <= writes && cost.writes > 0.0, "{}: {cost:?}", path.name());
        assert!(cost.reads <= reads && cost.reads > 0.0, "{}: {cost:?}", path.name());
    }
    let (page, table) = (include_str!("../../docs/pricing.md"), table(&costs));
    assert!(page.contains(&table), "docs/pricing.md says:\n{table}");
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

/// Without a limit of active jobs, a success leaves its account's balance alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_not_counted_writes_no_balance_at_its_end() {
    let mut writes = Vec::new();
    for limit in ["10000", "none"] {
        let world = World::with(|options| options.env = Env::from_pairs([("LIVE_JOBS_MAX", limit)])).await;
        SUCCESS_BY_WEBHOOK.play(&world, "warms the instances").await;
        world.wire.reset();
        let id = world.submit(SUCCESS_BY_WEBHOOK.model, SUCCESS_BY_WEBHOOK.prompt, "counted").await;
        assert_eq!(world.finish(&id).await.state(), State::Succeeded);
        writes.push(world.wire.capacity().writes);
        world.audit().await;
    }
    assert!(writes[0] - writes[1] >= 3.0, "{writes:?}");
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

/// Write and read units of each step with so many other jobs in the table, half of them active.
async fn steps(others: usize) -> Vec<(&'static str, Capacity)> {
    let world = SUCCESS_BY_WEBHOOK.world().await;
    let first = SUCCESS_BY_WEBHOOK.play(&world, "warms the instances").await;
    crowd::add(&world, first.id(), others).await;
    let mut steps = Vec::new();
    let mut note = |name| {
        steps.push((name, world.wire.capacity()));
        world.wire.reset();
    };
    world.wire.reset();
    let id = world.submit(SUCCESS_BY_WEBHOOK.model, SUCCESS_BY_WEBHOOK.prompt, "counted").await;
    note("submit");
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);
    note("from dispatch to the end");
    for (name, path) in [
        ("status", format!("/v1/jobs/{id}")),
        ("list", "/v1/jobs?limit=10".to_owned()),
        ("account", "/v1/account?limit=10".to_owned()),
    ] {
        let answer = world.call(Method::GET, &path, &[], None).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        note(name);
    }
    world.sweep().await;
    note("reconcile");
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_step_costs_more_in_a_large_table() {
    let (few, many) = (steps(10).await, steps(how_many("JOBS_IN_TABLE", 10_000)).await);
    for ((name, few), (_, many)) in few.into_iter().zip(many) {
        println!("{name}: {few:?}, in a large table {many:?}");
        assert!(few.writes + few.reads > 0.0, "{name}: {few:?}");
        assert!(
            many.writes <= 1.1 * few.writes && many.reads <= 1.1 * few.reads,
            "{name}: {few:?}, {many:?}"
        );
    }
}
