//! Endpoints that are paused or disabled, and what they missed.

use super::*;

async fn make(world: &World, key: &str) {
    let job = world.submit("gen-4.5", "a boat", key).await;
    world.finish(&job).await;
    world.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_disables_an_endpoint_at_once_and_the_others_learn_of_it() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/gone", 410, &[], "");
    let (gone, _) = endpoint(&world, &receiver.url("/gone"), &["job.succeeded"]).await;
    endpoint(&world, &receiver.url("/other"), &["endpoint.disabled"]).await;
    api(
        &world,
        Method::PATCH,
        &format!("/v1/endpoints/{gone}"),
        json!({"types": ["job.succeeded", "endpoint.*"]}),
    )
    .await;
    make(&world, "first").await;
    let status = status_of(&world, &gone).await;
    assert_eq!((&status["status"], &status["disabled_reason"]), (&json!("disabled"), &json!("gone")));
    let told = receiver.at("/other");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].json()["data"]["endpoint"], gone.as_str());
    assert_eq!(told[0].json()["data"]["reason"], "gone");

    // Its events are recorded, and recovered once it is enabled.
    make(&world, "second").await;
    assert_eq!(receiver.count("/gone"), 1);
    let statuses: Vec<_> = deliveries(&world, &gone).await.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, ["skipped", "failed"], "and nothing about itself");
    // To all that take events now: not to this one.
    let event = deliveries(&world, &gone).await[0]["event"].as_str().unwrap().to_owned();
    let again = api(&world, Method::POST, &format!("/v1/events/{event}/redeliver"), Value::Null).await;
    assert_eq!((again.status, &again.body["deliveries"]), (StatusCode::ACCEPTED, &json!([])));
    let path = format!("/v1/endpoints/{gone}");
    let recover = format!("{path}/recover");
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let refused = api(&world, Method::POST, &recover, since.clone()).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "endpoint_not_enabled"));
    receiver.answers("/gone", 204, &[], "");
    assert_eq!(
        api(&world, Method::PATCH, &path, json!({"status": "enabled"})).await.body["status"],
        "enabled"
    );
    assert_eq!(api(&world, Method::POST, &recover, since).await.status, StatusCode::ACCEPTED);
    world.drain().await;
    assert_eq!(receiver.count("/gone"), 3);
    assert!(deliveries(&world, &gone).await.iter().all(|one| one["status"] == "delivered"));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_for_120_hours_is_disabled() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.answers("/hook", 500, &[], "");
    let (id, _) = endpoint(&world, &receiver.url("/hook"), &["job.succeeded"]).await;
    make(&world, "first").await;
    pass(&world, 76 * HOUR).await;
    make(&world, "second").await;
    // Its tries come early by the jitter: the ninth is after 120 hours.
    pass(&world, 72 * HOUR).await;
    let status = status_of(&world, &id).await;
    assert_eq!((&status["status"], &status["disabled_reason"]), (&json!("disabled"), &json!("failing")));
    let count = receiver.count("/hook");
    make(&world, "third").await;
    assert_eq!(receiver.count("/hook"), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_endpoint_records_its_events_and_one_is_sent_again_by_hand() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let (id, _) = endpoint(&world, &receiver.url("/hook"), &["job.succeeded"]).await;
    let path = format!("/v1/endpoints/{id}");
    api(&world, Method::PATCH, &path, json!({"status": "paused"})).await;
    make(&world, "paused").await;
    assert_eq!(receiver.count("/hook"), 0);
    let listed = deliveries(&world, &id).await;
    assert_eq!(listed[0]["status"], "skipped");
    let again = format!("/v1/events/{}/redeliver", listed[0]["event"].as_str().unwrap());
    let one = json!({"endpoint": id});
    assert_eq!(api(&world, Method::POST, &again, one.clone()).await.status, StatusCode::CONFLICT);
    api(&world, Method::PATCH, &path, json!({"status": "enabled"})).await;
    for times in 1..=2 {
        assert_eq!(api(&world, Method::POST, &again, one.clone()).await.status, StatusCode::ACCEPTED);
        world.drain().await;
        assert_eq!(receiver.count("/hook"), times);
    }
    let received = receiver.at("/hook");
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    // An endpoint of later gets it as well.
    let (later, _) = endpoint(&world, &receiver.url("/later"), &["job.failed"]).await;
    assert_eq!(
        api(&world, Method::POST, &again, json!({"endpoint": later})).await.status,
        StatusCode::ACCEPTED
    );
    world.drain().await;
    assert_eq!(receiver.count("/later"), 1);
    world.audit().await;
}
