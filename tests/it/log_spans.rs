//! Each line of a log says where it belongs.

use harness::{Log, World};

/// On one thread: its log is this test's alone.
#[tokio::test]
async fn every_line_about_a_job_names_request_account_job_and_provider() {
    let world = World::new().await;
    let log = Log::start();

    let ids = [
        world.submit("pika-2.2", "a paper boat", "by webhook").await,
        world.submit("gen-4.5", "a paper boat", "by polling").await,
    ];
    for id in &ids {
        world.finish(id).await;
        world.status(id).await;
        world.cancel(id).await;
    }

    let (mut of_messages, mut of_requests) = (0, 0);
    for line in log.lines().iter().filter(|line| line["target"] != "local::host") {
        let (span, event) = (&line["span"], line["message"].as_str().unwrap_or_default());
        let has = |names: &[&str]| {
            for name in names {
                assert!(!span[name].is_null(), "{event} without its {name}: {line}");
            }
        };
        match (span["name"].as_str(), event) {
            (Some("message"), event) => {
                has(&["request_id", "message_id", "kind", "job", "account"]);
                if span["kind"] != "dispatch.v1" {
                    has(&["attempt", "provider"]);
                } else if matches!(event, "job.advanced" | "provider.called") {
                    assert!(!line["attempt"].is_null() || !line["provider"].is_null(), "{line}");
                }
                of_messages += 1;
            }
            (Some("invocation"), "job.created" | "http.refused") => {
                has(&["request_id", "account", "job"]);
                of_requests += 1;
            }
            _ => {}
        }
    }
    assert!(of_messages > 10 && of_requests == 4, "{of_messages} {of_requests}: {:?}", log.lines());
}
