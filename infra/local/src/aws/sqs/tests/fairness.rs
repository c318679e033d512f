//! Fair queues: a noisy group does not delay another group's message.

use super::*;

async fn send_to(world: &World, group: &str, bodies: &[String]) {
    for chunk in bodies.chunks(10) {
        let entries = chunk.iter().enumerate().map(|(n, body)| {
            let mut entry = entry(&n.to_string(), body);
            entry.message_group_id = Some(group.to_owned());
            entry
        });
        let batch = world.client.send_message_batch().queue_url(&world.url);
        let sent = batch.set_entries(Some(entries.collect())).send().await.unwrap();
        assert_eq!(sent.failed(), []);
    }
}

fn noise(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("noise {n}")).collect()
}

/// Batches of ten that were received until `wanted` came.
async fn received_until(world: &World, wanted: &str) -> usize {
    let mut count = 0;
    loop {
        count += 1;
        for message in world.receive().await {
            let found = message.body() == Some(wanted);
            world.delete(&message).await;
            if found {
                return count;
            }
        }
    }
}

#[tokio::test]
async fn a_single_message_behind_a_hundred_thousand_of_another_group_comes_within_twice_its_idle_batches() {
    let world = World::start().await;
    send_to(&world, "acct_quiet", &["idle".to_owned()]).await;
    let idle = received_until(&world, "idle").await;
    assert_eq!(idle, 1);

    send_to(&world, "acct_loud", &noise(100_000)).await;
    send_to(&world, "acct_quiet", &["single".to_owned()]).await;
    let behind = received_until(&world, "single").await;
    assert!(behind <= 2 * idle, "in batch {behind} instead of {idle}");
}

#[tokio::test]
async fn a_group_with_messages_in_flight_waits_for_one_without() {
    let world = World::start().await;
    send_to(&world, "acct_loud", &noise(30)).await;
    assert_eq!(world.receive().await.len(), 10, "a group without competition is not delayed");
    send_to(&world, "acct_quiet", &["a".to_owned(), "b".to_owned()]).await;
    let next: Vec<String> =
        world.bodies().await.into_iter().filter(|body| !body.starts_with("noise")).collect();
    assert_eq!(next, ["a", "b"]);
}

#[tokio::test]
async fn within_a_group_and_without_one_the_oldest_comes_first() {
    let world = World::start().await;
    send_to(&world, "acct_loud", &noise(3)).await;
    assert_eq!(world.bodies().await, noise(3));
    for body in ["x", "y", "z"] {
        world.send(body).await;
    }
    assert_eq!(world.bodies().await, ["x", "y", "z"]);
}
