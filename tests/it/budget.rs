//! What one job costs in calls: a counting test that fails when one is added.

use domain::job::State;
use harness::story::SUCCESS_BY_WEBHOOK;

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
