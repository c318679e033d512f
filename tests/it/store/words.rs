//! Rows of other releases: what this one does not know is kept, and keeps nothing else from working.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::id::JobId;
use domain::job::State;
use harness::World;
use reqwest::{Method, StatusCode};

use super::{job_item, spoil_job, text};

fn first_attempt(item: &super::Item) -> HashMap<String, AttributeValue> {
    item["attempts"].as_l().unwrap()[0].as_m().unwrap().clone()
}

/// A running job whose first attempt, refused, was made and recorded by a newer release.
async fn of_a_newer_release(world: &World, key: &str) -> JobId {
    let prompt = "a boat [[sim: create=refuse:429, times=1, retry_after=1]]";
    let id = world.submit("pika-2.2", &format!("{prompt} {key}"), key).await;
    while world.state(&id).await != State::Running {
        world.pass_time(&id).await;
    }
    let mut attempts = job_item(world, &id).await["attempts"].as_l().unwrap().clone();
    let AttributeValue::M(refused) = &mut attempts[0] else { panic!("an attempt is a map") };
    for (name, word) in [("provider", "next_video"), ("route", "next_video/v9"), ("phase", "refused")] {
        refused.insert(name.to_owned(), text(word));
    }
    refused.insert("watermark".to_owned(), AttributeValue::N("7".to_owned()));
    let fault = [("class", "region_closed"), ("code", "R-1"), ("billed", "no")];
    let fault = fault.map(|(name, word)| (name.to_owned(), text(word)));
    refused.insert("fault".to_owned(), AttributeValue::M(fault.into()));
    spoil_job(world, &id, "attempts", AttributeValue::L(attempts)).await;
    spoil_job(world, &id, "audience", text("children")).await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_newer_release_is_finished_and_its_words_are_kept() {
    let world = World::new().await;
    let id = of_a_newer_release(&world, "newer").await;
    let before = first_attempt(&job_item(&world, &id).await);
    let list = world.call(Method::GET, "/v1/jobs", &[], None).await;
    assert_eq!(list.text("/jobs/0/attempts/0/provider"), "next_video", "{list:?}");
    assert_eq!(list.text("/jobs/0/attempts/0/error/code"), "region_closed");
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Succeeded);
    let item = job_item(&world, &id).await;
    assert_eq!(first_attempt(&item), before, "nothing in it was changed or dropped");
    assert_eq!(item["audience"], text("children"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_of_a_newer_release_is_left_to_it() {
    let world = World::new().await;
    let id = world.submit("gen-4.5", "a boat [[sim: latency=600]]", "paused").await;
    while world.state(&id).await != State::Running {
        world.pass_time(&id).await;
    }
    spoil_job(&world, &id, "state", text("upscaling")).await;
    let before = job_item(&world, &id).await;
    world.cancel(&id).await;
    for _ in 0..5 {
        world.advance(Duration::from_secs(3_600)).await;
        world.tick().await;
    }
    let mut after = job_item(&world, &id).await;
    after.insert("check_at".to_owned(), before["check_at"].clone());
    assert_eq!(after, before);
    let status = world.status(&id).await;
    assert_eq!((status.status, status.text("/status")), (StatusCode::OK, "upscaling"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_at_a_provider_that_this_release_lacks_waits_for_its_deadline() {
    let world = World::new().await;
    let before = world.balance().await;
    let id = world.submit("gen-4.5", "a boat [[sim: latency=600]]", "gone").await;
    while world.state(&id).await != State::Running {
        world.pass_time(&id).await;
    }
    let mut attempts = job_item(&world, &id).await["attempts"].as_l().unwrap().clone();
    let AttributeValue::M(running) = &mut attempts[0] else { panic!("an attempt is a map") };
    running.insert("provider".to_owned(), text("next_video"));
    spoil_job(&world, &id, "attempts", AttributeValue::L(attempts)).await;
    let hour = Duration::from_secs(3_600);
    for _ in 0..23 {
        world.advance(hour).await;
        world.tick().await;
        assert!(!world.state(&id).await.is_terminal(), "not before its deadline");
    }
    for _ in 0..4 {
        world.advance(hour).await;
        world.tick().await;
    }
    assert_eq!(world.state(&id).await, State::Failed);
    assert_eq!(world.balance().await, before);
}
