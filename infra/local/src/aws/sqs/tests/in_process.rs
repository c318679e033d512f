//! What the host calls without HTTP, and what the file keeps.

use std::pin::pin;

use futures_util::poll;
use tokio::time::timeout;

use super::*;
use crate::aws::sqs::{Code, Depth, Error};

#[tokio::test]
async fn a_host_receives_gives_back_and_deletes() {
    let world = World::start().await;
    world.send("one").await;
    world.send("two").await;
    let received = world.sqs.receive("work", 10).unwrap();
    assert_eq!(received.iter().map(|message| message.body.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((received[0].sent_at, received[0].first_received_at), (START, START));
    world.sqs.delete("work", &received[0].receipt_handle).unwrap();
    world.sqs.make_visible("work", &received[1].receipt_handle, Duration::from_secs(5)).unwrap();
    assert_eq!(world.sqs.depth("work").unwrap(), Depth { in_flight: 1, ..Depth::default() });
    world.turn(5);
    let again = world.sqs.receive("work", 10).unwrap();
    assert_eq!((again[0].body.as_str(), again[0].receive_count), ("two", 2));
    // What came too late does no harm.
    world.sqs.make_visible("work", &received[1].receipt_handle, Duration::ZERO).unwrap();
    world.sqs.delete("work", &received[1].receipt_handle).unwrap();
    assert_eq!(world.sqs.depth("work").unwrap(), Depth { in_flight: 1, ..Depth::default() });
}

#[tokio::test]
async fn depth_and_the_next_time_cover_hidden_and_delayed_messages() {
    let world = World::with(&with_dead_letters(5)).await;
    assert_eq!(world.sqs.next_visible_at().unwrap(), None);
    world.send("visible").await;
    world.send("hidden").await;
    let dead = world.client.send_message().queue_url(world.sqs.queue_url("dead")).message_body("delayed");
    dead.delay_seconds(10).send().await.unwrap();
    world.sqs.receive("work", 1).unwrap();
    assert_eq!(world.sqs.depth("work").unwrap(), Depth { visible: 1, in_flight: 1, delayed: 0 });
    assert_eq!(world.sqs.depth("dead").unwrap(), Depth { visible: 0, in_flight: 0, delayed: 1 });
    assert_eq!(world.sqs.next_visible_at().unwrap(), Some(START + Duration::from_secs(10)));
    world.turn(10);
    assert_eq!(world.sqs.next_visible_at().unwrap(), Some(START + Duration::from_secs(30)));
    world.turn(20);
    assert_eq!(world.sqs.next_visible_at().unwrap(), None);
}

#[tokio::test]
async fn the_host_hears_of_a_message_sent_before_or_after_it_listens() {
    let world = World::with(&with_dead_letters(5)).await;
    let mut waiting = pin!(world.sqs.sent("work"));
    assert!(poll!(waiting.as_mut()).is_pending());
    let dead = world.client.send_message().queue_url(world.sqs.queue_url("dead")).message_body("elsewhere");
    dead.send().await.unwrap();
    assert!(poll!(waiting.as_mut()).is_pending());
    world.send("here").await;
    timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert!(matches!(poll!(pin!(world.sqs.sent("work"))), std::task::Poll::Ready(Ok(()))));
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_an_error_here_too() {
    let world = World::start().await;
    let is_missing = |error: &Error| matches!(error, Error::Refused { code: Code::QueueDoesNotExist, .. });
    assert!(is_missing(&world.sqs.receive("none", 1).unwrap_err()));
    assert!(is_missing(&world.sqs.depth("none").unwrap_err()));
    assert!(is_missing(&world.sqs.sent("none").await.unwrap_err()));
}

#[tokio::test]
async fn creating_a_queue_again_changes_its_settings_and_keeps_its_messages() {
    let world = World::start().await;
    world.send("kept").await;
    world.sqs.create_queue(&QueueSpec { visibility_timeout_s: 5, ..QueueSpec::named("work") }).unwrap();
    assert_eq!(world.bodies().await, ["kept"]);
    world.turn(5);
    assert_eq!(world.bodies().await, ["kept"]);
}

#[tokio::test]
async fn the_file_keeps_queues_messages_and_receives() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("queues.sqlite");
    let clock = Clock::manual(START);
    let spec = QueueSpec { visibility_timeout_s: 60, ..QueueSpec::named("work") };
    let handle = {
        let world = World::open(&spec, Some(&file), clock.clone()).await;
        world.send("in flight").await;
        world.receive().await[0].receipt_handle().unwrap().to_owned()
    };
    let world = World::open(&spec, Some(&file), clock).await;
    assert_eq!(world.sqs.depth("work").unwrap(), Depth { in_flight: 1, ..Depth::default() });
    world.turn(60);
    assert_eq!(receive_count(&world.receive().await[0]), Some("2"));
    // A handle of before the restart is understood, and by now stale.
    world.sqs.delete("work", &handle).unwrap();
    assert_eq!(world.sqs.depth("work").unwrap().in_flight, 1);
}

#[tokio::test]
async fn what_was_answered_is_in_the_files_when_the_process_dies() {
    let dir = tempfile::tempdir().unwrap();
    let alive =
        World::open(&QueueSpec::named("work"), Some(&dir.path().join("alive.sqlite")), Clock::manual(START))
            .await;
    for body in ["one", "two", "three"] {
        alive.send(body).await;
    }
    alive.delete(&alive.receive().await[0]).await;
    // The files as a killed process leaves them: nothing was closed, no checkpoint was made.
    for end in ["", "-wal"] {
        let from = dir.path().join(format!("alive.sqlite{end}"));
        std::fs::copy(from, dir.path().join(format!("killed.sqlite{end}"))).unwrap();
    }
    let killed =
        Sqs::open(Some(&dir.path().join("killed.sqlite")), alive.clock.clone(), String::new()).unwrap();
    alive.turn(30);
    let bodies = killed.receive("work", 10).unwrap().into_iter().map(|message| message.body);
    assert_eq!(bodies.collect::<Vec<_>>(), ["two", "three"]);
}
