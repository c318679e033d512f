//! Messages: sent as JSON, held back as long as they should be, and no longer.

use std::time::Duration;

use domain::credit::MicroUsd;
use domain::id::{JobId, RemoteJob};
use domain::verdict::Verdict;
use harness::World;
use shared::store::polls::PollSequence;
use shared::store::queue::{DELAY_MAX, Message, Queue, Source};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_of_a_message_is_its_json() {
    let world = World::new().await;
    let job_id = JobId::from_bytes([0; 16]);
    let told = [
        (
            Message::Dispatch { job_id: job_id.clone(), once: false },
            r#"{"type":"dispatch.v1","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa"}"#,
        ),
        (
            Message::Poll { job_id: job_id.clone(), attempt: 2, sequence: Some(PollSequence::Normal(3)) },
            r#"{"type":"poll.v1","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","attempt":2,"round":3}"#,
        ),
        (
            Message::Settle {
                job_id: job_id.clone(),
                attempt: 1,
                remote: RemoteJob::new("r-1", None),
                outcome: Some(Verdict::Gone),
                source: Source::Webhook,
                sender: None,
                asked: 0,
            },
            r#"{"type":"settle.v1","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","attempt":1,"remote":{"id":"r-1"},"outcome":{"verdict":"gone"},"source":"webhook"}"#,
        ),
        (
            Message::verdict(
                job_id,
                1,
                None,
                Some(Verdict::Finished { asset_url: "https://a/b".to_owned(), cost: Some(MicroUsd(7)) }),
                Source::Poll,
            ),
            r#"{"type":"fetch.v1","job_id":"job_aaaaaaaaaaaaaaaaaaaaaaaaaa","attempt":1,"url":"https://a/b","cost":7,"source":"poll"}"#,
        ),
    ];
    for (message, text) in told {
        send(&world, &message, Duration::ZERO).await;
        assert_eq!(receive(&world).await, [text]);
        assert_eq!(serde_json::from_str::<Message>(text).unwrap(), message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_held_back_as_long_as_asked_and_no_longer() {
    let world = World::new().await;
    // The longest that the service takes is where longer delays end; a part of a second is none.
    let hour = Duration::from_secs(3_600);
    for (asked, held) in [(SECOND * 30, SECOND * 30), (DELAY_MAX, DELAY_MAX), (hour, DELAY_MAX)] {
        send(&world, &Message::Dispatch { job_id: JobId::from_bytes([0; 16]), once: true }, asked).await;
        world.clock.advance(held - SECOND);
        assert_eq!(receive(&world).await, [""; 0], "{asked:?} is not over");
        world.clock.advance(SECOND);
        assert_eq!(receive(&world).await.len(), 1, "{asked:?} is over");
    }
    send(&world, &Message::Dispatch { job_id: JobId::from_bytes([0; 16]), once: true }, SECOND / 2).await;
    assert_eq!(receive(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_no_queue_is_an_error() {
    let world = World::new().await;
    let nowhere = Queue::new(world.operator.sqs(), format!("{}-nowhere", queue_url(&world).await));
    let message = Message::Dispatch { job_id: JobId::from_bytes([0; 16]), once: true };
    assert!(nowhere.send(&message, None, Duration::ZERO).await.is_err());
    assert_eq!(receive(&world).await, [""; 0]);
}

async fn send(world: &World, message: &Message, delay: Duration) {
    let queue = Queue::new(world.operator.sqs(), queue_url(world).await);
    queue.send(message, None, delay).await.expect("the queue takes it");
}

/// The texts of all messages that can be seen now. They are gone after that.
async fn receive(world: &World) -> Vec<String> {
    let (sqs, url) = (world.operator.sqs(), queue_url(world).await);
    let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(0);
    let received = receive.send().await.expect("the queue answers");
    let mut texts = Vec::new();
    for message in received.messages.unwrap_or_default() {
        let delete = sqs.delete_message().queue_url(&url);
        delete.set_receipt_handle(message.receipt_handle).send().await.expect("it is deleted");
        texts.push(message.body.expect("a message has a text"));
    }
    texts
}

async fn queue_url(world: &World) -> String {
    let found = world.operator.sqs().get_queue_url().queue_name("genmux-dispatch").send().await;
    found.expect("the queue exists").queue_url.expect("it has a URL")
}
