//! Endpoints that fail.

use domain::event::{Event, EventType};
use domain::id::EventId;
use harness::how_many;
use shared::store::keys;
use shared::store::queue::{Message, Queue};

use super::*;

/// Many jobs that end at once.
async fn many(world: &World, count: usize, key: &str) {
    let mut jobs = Vec::new();
    for n in 0..count {
        jobs.push(world.submit("gen-4.5", "a boat", &format!("{key} {n}")).await);
    }
    for job in &jobs {
        world.finish(job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seventy_six_hours_of_failures_are_ten_tries_under_one_id() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/hook", 500, &[], "broken");
    let (id, _) = endpoint(&world, &receiver.url("/hook"), &["job.succeeded"]).await;
    let job = world.submit("gen-4.5", "a boat", "fails").await;
    world.finish(&job).await;
    let begin = world.clock.now();
    pass(&world, 76 * HOUR).await;

    let received = receiver.at("/hook");
    assert_eq!(received.len(), 10);
    assert!(received.iter().all(|one| one.header("webhook-id") == received[0].header("webhook-id")));
    let at: Vec<i64> = received.iter().map(|one| one.header("webhook-timestamp").parse().unwrap()).collect();
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, want) in gaps.iter().zip([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]) {
        // Less a tenth of jitter, and up to a minute until the due index is read.
        assert!((want * 9 / 10..=want + 125).contains(gap), "{gap} for {want}");
    }
    assert!(at[9] - begin.as_secs() <= 76 * 3_600);
    let listed = deliveries(&world, &id).await;
    assert_eq!((&listed[0]["status"], listed[0]["tries"].as_array().unwrap().len()), (&json!("failed"), 10));
    assert_eq!(listed[0]["tries"][0]["answer"], "broken");
    assert_eq!(status_of(&world, &id).await["status"], "enabled", "it is less than 120 hours");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_kept() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/hook", 429, &[("retry-after", "7200")], "");
    endpoint(&world, &receiver.url("/hook"), &["job.succeeded"]).await;
    let job = world.submit("gen-4.5", "a boat", "busy").await;
    world.finish(&job).await;
    pass(&world, HOUR).await;
    assert_eq!(receiver.count("/hook"), 1);
    receiver.answers("/hook", 200, &[], "");
    pass(&world, 2 * HOUR).await;
    assert_eq!(receiver.count("/hook"), 2);
}

/// A dead endpoint with many events costs one connection per pause, and its neighbour waits for none of
/// them; when it is back, it gets everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_is_tried_by_one_delivery_and_gets_everything_once_it_is_back() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/dead", 502, &[], "");
    let (dead, _) = endpoint(&world, &receiver.url("/dead"), &["job.succeeded"]).await;
    let (live, _) = endpoint(&world, &receiver.url("/live"), &["job.succeeded"]).await;
    many(&world, 30, "many").await;
    world.drain().await;
    assert_eq!(receiver.count("/live"), 30);
    assert_eq!(deliveries(&world, &live).await[0]["status"], "delivered");
    pass(&world, HOUR).await;
    // Some before it counts as failing, and then one in five minutes at most.
    assert!(receiver.count("/dead") <= 10 + 2 * 12, "{}", receiver.count("/dead"));
    let before = receiver.count("/dead");
    receiver.answers("/dead", 200, &[], "");
    pass(&world, 5 * HOUR).await;
    assert_eq!(receiver.count("/dead") - before, 30, "each once");
    let listed =
        api(&world, Method::GET, &format!("/v1/endpoints/{dead}/deliveries?limit=100"), Value::Null).await;
    let listed = listed.body["deliveries"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 30);
    assert!(listed.iter().all(|one| one["status"] == "delivered"), "{listed:?}");
    let status = status_of(&world, &dead).await;
    assert_eq!((&status["failing_since"], &status["failures"]), (&Value::Null, &json!(0)));
    world.audit().await;
}

/// How many events wait for the dead endpoint: `EVENTS=1000` for a longer run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_for_a_live_endpoint_waits_for_none_of_the_many_for_a_dead_one() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/dead", 502, &[], "");
    endpoint(&world, &receiver.url("/dead"), &["credits.granted"]).await;
    endpoint(&world, &receiver.url("/live"), &["credits.low"]).await;
    let (store, count) = (EventStore::new(world.table()), how_many("EVENTS", 100));
    let notify = Queue::new(world.operator.sqs(), world.stack.sqs.queue_url("genmux-notify"));
    let event = async |name: &str, kind: &'static str| {
        let (id, now) = (EventId::of(&[name]), world.clock.now());
        let event = Event::new(id, world.account.clone(), kind, &json!({}), now);
        assert!(store.put(&event).await.unwrap());
        notify.send(&Message::Notify { event: event.id }, Some(name), Duration::ZERO).await.unwrap();
    };
    for n in 0..count {
        event(&format!("dead {n}"), EventType::GRANTED).await;
    }
    event("live", EventType::LOW).await;
    let mut rounds = 0;
    while receiver.count("/live") == 0 {
        assert!(world.stack.host.step_queues().await.unwrap() > 0, "it never comes");
        rounds += 1;
    }
    println!("{count} events for a dead endpoint: the live one's came in round {rounds}");
    let empty = async || {
        for _ in 0..10 * count {
            if world.stack.host.step_queues().await.unwrap() == 0 {
                return;
            }
        }
        panic!("the queues never run empty");
    };
    empty().await;
    // No time has passed, so that no try was repeated.
    let begun = receiver.count("/dead");
    assert!(begun <= 20, "{begun}");
    // All are due again, and one of them tries it.
    world.clock.advance(Duration::from_secs(60));
    empty().await;
    assert!(receiver.count("/dead") <= begun + 1, "{begun} {}", receiver.count("/dead"));
}

/// A test says whether the endpoint works now, however long it has not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_sent_to_a_failing_endpoint() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/hook", 502, &[], "");
    let (id, _) = endpoint(&world, &receiver.url("/hook"), &["job.succeeded"]).await;
    many(&world, 10, "many").await;
    world.drain().await;
    let before = receiver.count("/hook");
    assert!(before < 10, "it is failing: {before}");
    receiver.answers("/hook", 200, &[], "well");
    let path = format!("/v1/endpoints/{id}/test");
    let tested = while_drained(&world, api(&world, Method::POST, &path, Value::Null)).await;
    assert_eq!(tested.body["tries"][0]["outcome"], "delivered", "{tested:?}");
    // It is back, and what waits comes.
    pass(&world, Duration::from_secs(60)).await;
    assert_eq!(receiver.count("/hook") - before, 1 + 10);
    assert_eq!(status_of(&world, &id).await["failures"], 0);
}

/// However often an endpoint fails and comes back, an event has its ten tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_comes_and_goes_costs_no_delivery_its_tries() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/hook", 502, &[], "");
    let (id, _) = endpoint(&world, &receiver.url("/hook"), &["job.succeeded"]).await;
    many(&world, 8, "many").await;
    world.drain().await;
    let test = format!("/v1/endpoints/{id}/test");
    for _ in 0..12 {
        receiver.answers("/hook", 200, &[], "");
        while_drained(&world, api(&world, Method::POST, &test, Value::Null)).await;
        receiver.answers("/hook", 502, &[], "");
        pass(&world, Duration::from_secs(120)).await;
    }
    let waiting = deliveries(&world, &id).await;
    let waiting = waiting.iter().filter(|one| one["type"] == "job.succeeded");
    let statuses: Vec<_> = waiting.map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, vec![json!("pending"); 8]);
    receiver.answers("/hook", 200, &[], "");
    pass(&world, 6 * HOUR).await;
    assert!(deliveries(&world, &id).await.iter().all(|one| one["status"] == "delivered"));
    world.audit().await;
}

/// An event is kept for 30 days. What was sent again shortly before ends then, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_of_an_event_that_is_gone_ends() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/hook", 500, &[], "");
    let (id, _) = endpoint(&world, &receiver.url("/hook"), &["job.succeeded"]).await;
    many(&world, 1, "expires").await;
    world.drain().await;
    let tried = receiver.count("/hook");
    let event = deliveries(&world, &id).await[0]["event"].as_str().unwrap().to_owned();
    remove_event(&world, &event).await;
    pass(&world, HOUR).await;
    assert_eq!(receiver.count("/hook"), tried);
    let ended = deliveries(&world, &id).await;
    let last = ended[0]["tries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&ended[0]["status"], &last["error"]), (&json!("failed"), &json!("event_expired")));
    assert_eq!(next_check(&world).await, None, "no one looks after it");
}

#[expect(clippy::disallowed_methods, reason = "the table deletes what has expired")]
async fn remove_event(world: &World, event: &str) {
    let table = world.operator.env.get("TABLE").unwrap();
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let delete = world.operator.dynamodb().delete_item().table_name(table);
    let key = keys::event(&event.parse().unwrap());
    delete.key(keys::PK, text(&key)).key(keys::SK, text(keys::EVENT)).send().await.unwrap();
}
