//! The long poll: the one thing here that waits in real time.

use std::pin::pin;

use futures_util::poll;
use tokio::time::{Instant, timeout};

use super::*;

/// Far above what a wake-up takes and far below the wait that was asked for.
const SOON: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_long_poll_waits_for_its_time_and_ends_empty() {
    let world = World::start().await;
    let begun = Instant::now();
    let receive = world.client.receive_message().queue_url(&world.url).wait_time_seconds(1);
    assert_eq!(receive.send().await.unwrap().messages(), []);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_queues_own_wait_holds_unless_the_receive_says_otherwise() {
    let world = World::with(&QueueSpec { receive_wait_s: 1, ..QueueSpec::named("work") }).await;
    let begun = Instant::now();
    let receive = world.client.receive_message().queue_url(&world.url);
    receive.clone().wait_time_seconds(0).send().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    receive.send().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_send_wakes_a_long_poll() {
    let world = World::start().await;
    let spec = QueueSpec::named("work");
    let mut waiting = pin!(world.sqs.long_poll(&spec, 10, 30, LONG));
    assert!(poll!(waiting.as_mut()).is_pending());
    world.send("wake up").await;
    let received = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(received[0].body, "wake up");
}

#[tokio::test]
async fn a_send_wakes_a_long_poll_over_http() {
    let world = World::start().await;
    let receive = world.client.receive_message().queue_url(&world.url).wait_time_seconds(20);
    let both = async { tokio::join!(receive.send(), world.send("wake up")) };
    let (received, ()) = timeout(SOON, both).await.unwrap();
    assert_eq!(received.unwrap().messages()[0].body(), Some("wake up"));
}

#[tokio::test]
async fn a_message_given_back_wakes_a_long_poll() {
    // On the wall clock, where nothing but the bell ends the wait before the 30 s of visibility.
    let world = World::open(&QueueSpec::named("work"), None, Clock::System).await;
    world.send("given back").await;
    let handle = world.receive().await[0].receipt_handle().unwrap().to_owned();
    let spec = QueueSpec::named("work");
    let mut waiting = pin!(world.sqs.long_poll(&spec, 10, 30, LONG));
    assert!(poll!(waiting.as_mut()).is_pending());
    world.hide(&handle, 0).await.unwrap();
    let received = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(received[0].receive_count, 2);
}

#[tokio::test]
async fn turning_the_clock_past_a_delay_wakes_a_long_poll() {
    let world = World::start().await;
    let send = world.client.send_message().queue_url(&world.url).message_body("due");
    send.delay_seconds(600).send().await.unwrap();
    let spec = QueueSpec::named("work");
    let mut waiting = pin!(world.sqs.long_poll(&spec, 10, 30, LONG));
    assert!(poll!(waiting.as_mut()).is_pending());
    world.turn(600);
    let received = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(received[0].body, "due");
}

#[tokio::test]
async fn on_the_wall_clock_a_long_poll_ends_when_a_delay_does() {
    let world = World::open(&QueueSpec::named("work"), None, Clock::System).await;
    let send = world.client.send_message().queue_url(&world.url).message_body("due");
    send.delay_seconds(1).send().await.unwrap();
    let receive = world.client.receive_message().queue_url(&world.url).wait_time_seconds(20);
    let received = timeout(SOON, receive.send()).await.unwrap().unwrap();
    assert_eq!(received.messages()[0].body(), Some("due"));
}

#[tokio::test]
async fn a_new_dead_letter_wakes_the_poll_of_its_queue() {
    let world = World::with(&with_dead_letters(1)).await;
    world.send("poison").await;
    world.receive().await;
    let dead = QueueSpec::named("dead");
    let mut waiting = pin!(world.sqs.long_poll(&dead, 10, 30, LONG));
    assert!(poll!(waiting.as_mut()).is_pending());
    world.turn(30);
    assert_eq!(world.receive().await, []);
    let received = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(received[0].dead_letter_source.as_deref(), Some("work"));
}

#[tokio::test]
async fn a_dead_letter_moved_back_wakes_the_poll_of_its_queue() {
    let world = World::with(&with_dead_letters(1)).await;
    world.send("revived").await;
    world.receive().await;
    world.turn(30);
    assert_eq!(world.receive().await, []);
    let spec = with_dead_letters(1);
    let mut waiting = pin!(world.sqs.long_poll(&spec, 10, 30, LONG));
    assert!(poll!(waiting.as_mut()).is_pending());
    let start = world.client.start_message_move_task();
    start.source_arn("arn:aws:sqs:us-east-1:000000000000:dead").send().await.unwrap();
    let received = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(received[0].body, "revived");
}
