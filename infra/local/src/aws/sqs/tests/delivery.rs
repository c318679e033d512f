//! Delays, visibility, redrive, deletion: what is received, and when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_sqs::operation::start_message_move_task::StartMessageMoveTaskError;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeName, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue,
};

use super::*;

const NONE: [&str; 0] = [];

#[tokio::test]
async fn a_message_waits_for_its_own_delay() {
    let world = World::start().await;
    let send = world.client.send_message().queue_url(&world.url).message_body("later");
    send.delay_seconds(900).send().await.unwrap();
    world.turn(899);
    assert_eq!(world.bodies().await, NONE);
    world.turn(1);
    assert_eq!(world.bodies().await, ["later"]);
}

#[tokio::test]
async fn each_entry_of_a_batch_waits_for_its_own_delay() {
    let world = World::start().await;
    let mut late = entry("b", "late");
    late.delay_seconds = Some(5);
    let batch = world.client.send_message_batch().queue_url(&world.url);
    let sent = batch.entries(entry("a", "now")).entries(late).send().await.unwrap();
    assert_eq!(sent.successful().iter().map(|sent| sent.id()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(world.bodies().await, ["now"]);
    world.turn(5);
    assert_eq!(world.bodies().await, ["late"]);
}

#[tokio::test]
async fn the_queues_delay_holds_unless_the_message_says_otherwise() {
    let world = World::with(&QueueSpec { delay_s: 7, ..QueueSpec::named("work") }).await;
    world.send("default").await;
    let send = world.client.send_message().queue_url(&world.url).message_body("at once");
    send.delay_seconds(0).send().await.unwrap();
    assert_eq!(world.bodies().await, ["at once"]);
    world.turn(7);
    assert_eq!(world.bodies().await, ["default"]);
}

#[tokio::test]
async fn an_unfinished_message_comes_back_and_is_counted() {
    let world = World::start().await;
    world.send("again").await;
    let first = world.receive().await;
    world.turn(29);
    assert_eq!(world.bodies().await, NONE);
    world.turn(1);
    let second = world.receive().await;
    assert_eq!((receive_count(&first[0]), receive_count(&second[0])), (Some("1"), Some("2")));
    let times = |message| {
        let sent = system(message, MessageSystemAttributeName::SentTimestamp);
        (sent, system(message, MessageSystemAttributeName::ApproximateFirstReceiveTimestamp))
    };
    assert_eq!(times(&second[0]), (Some("1700000000000"), Some("1700000000000")));
    assert_ne!(first[0].receipt_handle, second[0].receipt_handle);
}

#[tokio::test]
async fn a_receive_can_hide_for_its_own_time() {
    let world = World::start().await;
    world.send("hidden").await;
    let receive = world.client.receive_message().queue_url(&world.url).visibility_timeout(3);
    assert_eq!(receive.send().await.unwrap().messages().len(), 1);
    world.turn(3);
    assert_eq!(world.bodies().await, ["hidden"]);
}

#[tokio::test]
async fn visibility_can_be_prolonged() {
    let world = World::start().await;
    world.send("slow").await;
    let message = &world.receive().await[0];
    world.turn(20);
    world.hide(message.receipt_handle().unwrap(), 60).await.unwrap();
    world.turn(59);
    assert_eq!(world.bodies().await, NONE);
    world.turn(1);
    assert_eq!(world.bodies().await, ["slow"]);
}

#[tokio::test]
async fn visibility_zero_shows_the_message_at_once() {
    let world = World::start().await;
    world.send("back").await;
    let message = &world.receive().await[0];
    world.hide(message.receipt_handle().unwrap(), 0).await.unwrap();
    assert_eq!(receive_count(&world.receive().await[0]), Some("2"));
}

#[tokio::test]
async fn a_deleted_message_never_comes_back_and_deleting_twice_is_harmless() {
    let world = World::start().await;
    world.send("done").await;
    let message = &world.receive().await[0];
    world.delete(message).await;
    world.delete(message).await;
    world.turn(31);
    assert_eq!(world.bodies().await, NONE);
}

#[tokio::test]
async fn a_stale_handle_deletes_nothing() {
    let world = World::start().await;
    world.send("shared").await;
    let first = &world.receive().await[0];
    world.turn(30);
    world.receive().await;
    world.delete(first).await;
    world.turn(30);
    assert_eq!(world.bodies().await, ["shared"]);
}

#[tokio::test]
async fn a_batch_of_deletions_reports_each_entry() {
    let world = World::start().await;
    world.send("done").await;
    let handle = world.receive().await[0].receipt_handle().unwrap().to_owned();
    let entry = |id: &str, handle: &str| {
        let entry = aws_sdk_sqs::types::DeleteMessageBatchRequestEntry::builder();
        entry.id(id).receipt_handle(handle).build().unwrap()
    };
    let batch = world.client.delete_message_batch().queue_url(&world.url);
    let done = batch.entries(entry("good", &handle)).entries(entry("bad", "junk")).send().await.unwrap();
    assert_eq!(done.successful()[0].id(), "good");
    assert_eq!((done.failed()[0].id(), done.failed()[0].code()), ("bad", "ReceiptHandleIsInvalid"));
    assert!(done.failed()[0].sender_fault());
    assert_eq!(world.sqs.depth("work").unwrap(), crate::aws::sqs::Depth::default());
}

#[tokio::test]
async fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
    let world = World::with(&with_dead_letters(2)).await;
    world.send("poison").await;
    let first = world.receive().await;
    world.turn(30);
    assert_eq!(world.bodies().await, ["poison"]);
    world.turn(30);
    assert_eq!(world.bodies().await, NONE);
    let dead = world.receive_from(&world.sqs.queue_url("dead")).await;
    assert_eq!((dead[0].body(), &dead[0].message_id), (Some("poison"), &first[0].message_id));
    assert_eq!(system(&dead[0], MessageSystemAttributeName::SentTimestamp), Some("1700000000000"));
    assert_eq!(
        system(&dead[0], MessageSystemAttributeName::DeadLetterQueueSourceArn),
        Some("arn:aws:sqs:us-east-1:000000000000:work")
    );
}

#[tokio::test]
async fn dead_letters_move_back_to_where_they_came_from_as_new_messages() {
    let world = World::with(&with_dead_letters(1)).await;
    world.send("revived").await;
    let first = world.receive().await;
    world.turn(30);
    assert_eq!(world.bodies().await, NONE);
    let start = world.client.start_message_move_task();
    let done = start.source_arn("arn:aws:sqs:us-east-1:000000000000:dead").send().await.unwrap();
    assert!(done.task_handle().is_some());
    let again = world.receive().await;
    assert_eq!((again[0].body(), receive_count(&again[0])), (Some("revived"), Some("1")));
    assert_ne!(again[0].message_id, first[0].message_id);
    assert_eq!(system(&again[0], MessageSystemAttributeName::SentTimestamp), Some("1700000030000"));
}

#[tokio::test]
async fn dead_letters_move_to_a_named_queue() {
    let world = World::with(&with_dead_letters(1)).await;
    world.sqs.create_queue(&QueueSpec::named("other")).unwrap();
    let dead = world.sqs.queue_url("dead");
    world.client.send_message().queue_url(dead).message_body("sent here").send().await.unwrap();
    let start = world.client.start_message_move_task();
    let start = start.source_arn("arn:aws:sqs:us-east-1:000000000000:dead");
    // Without a destination it stays: it came from no other queue.
    start.clone().send().await.unwrap();
    assert_eq!(world.sqs.depth("dead").unwrap().visible, 1);
    start.destination_arn("arn:aws:sqs:us-east-1:000000000000:other").send().await.unwrap();
    let other = world.receive_from(&world.sqs.queue_url("other")).await;
    assert_eq!(other[0].body(), Some("sent here"));
}

#[tokio::test]
async fn only_an_existing_dead_letter_queue_can_be_moved_from() {
    let world = World::with(&with_dead_letters(1)).await;
    let start = world.client.start_message_move_task();
    let missing = start.clone().source_arn("arn:aws:sqs:us-east-1:000000000000:none").send().await;
    let missing = missing.unwrap_err().into_service_error();
    assert!(matches!(missing, StartMessageMoveTaskError::ResourceNotFoundException(_)), "{missing:?}");
    let ordinary = start.source_arn("arn:aws:sqs:us-east-1:000000000000:work").send().await;
    assert_eq!(code(ordinary), "InvalidParameterValue");
}

#[tokio::test]
async fn bodies_and_attributes_are_digested_as_the_service_does() {
    let world = World::start().await;
    let send = world.client.send_message().queue_url(&world.url).message_body("a paper boat ⛵");
    let blob = MessageAttributeValue::builder().data_type("Binary.png").binary_value(Blob::new([0, 255, 7]));
    let sent = send
        .message_attributes("zeit", attribute("Number", "1493147359900"))
        .message_attributes("Art", attribute("String.kind", "Boot ⛵"))
        .message_attributes("raw", blob.build().unwrap());
    let sent = sent.send().await.unwrap();
    assert_eq!(sent.md5_of_message_body(), Some("6191779973357f079ba2bac3cff4915a"));
    assert_eq!(sent.md5_of_message_attributes(), Some("27f5a9b564bd64691db4ccdbee59fa37"));
    let received = world.receive().await;
    assert_eq!(received[0].md5_of_body, sent.md5_of_message_body);
    assert_eq!(received[0].md5_of_message_attributes, sent.md5_of_message_attributes);
    let attributes = received[0].message_attributes().unwrap();
    assert_eq!(attributes["raw"].binary_value(), Some(&Blob::new([0, 255, 7])));
    assert_eq!(attributes["zeit"], attribute("Number", "1493147359900"));
}

#[tokio::test]
async fn only_the_attributes_asked_for_are_returned_and_digested() {
    let world = World::start().await;
    let send = world.client.send_message().queue_url(&world.url).message_body("x");
    let send = send.message_attributes("job.id", attribute("String", "1"));
    let send = send.message_attributes("job.kind", attribute("String", "2"));
    send.message_attributes("other", attribute("String", "3")).send().await.unwrap();
    let receive = world.client.receive_message().queue_url(&world.url).visibility_timeout(0);
    let plain = &receive.clone().send().await.unwrap().messages.unwrap()[0];
    assert_eq!((plain.message_attributes(), plain.attributes()), (None, None));
    assert_eq!(plain.md5_of_message_attributes(), None);
    let some = &receive.message_attribute_names("job.*").send().await.unwrap().messages.unwrap()[0];
    let names: BTreeMap<_, _> = some.message_attributes().unwrap().iter().collect();
    assert_eq!(names.into_keys().collect::<Vec<_>>(), ["job.id", "job.kind"]);
    assert_eq!(some.md5_of_message_attributes(), Some("fefd5098aecc1496df9e991938cc4376"));
}

#[tokio::test]
async fn the_trace_header_and_the_group_are_kept() {
    let world = World::start().await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1";
    let header =
        MessageSystemAttributeValue::builder().data_type("String").string_value(trace).build().unwrap();
    let send = world.client.send_message().queue_url(&world.url).message_body("traced").message_group_id("g");
    let send = send.message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, header);
    let sent = send.send().await.unwrap();
    assert_eq!(sent.md5_of_message_system_attributes(), Some("5f48eef650c1d0207456969c85af2fdd"));
    let received = world.receive().await;
    assert_eq!(system(&received[0], MessageSystemAttributeName::AwsTraceHeader), Some(trace));
    assert_eq!(system(&received[0], MessageSystemAttributeName::MessageGroupId), Some("g"));
}

#[tokio::test]
async fn a_group_orders_nothing_and_blocks_nothing_on_a_standard_queue() {
    let world = World::start().await;
    for body in ["one", "two"] {
        let send = world.client.send_message().queue_url(&world.url).message_body(body);
        send.message_group_id("g").send().await.unwrap();
    }
    let receive = world.client.receive_message().queue_url(&world.url);
    assert_eq!(receive.clone().send().await.unwrap().messages().len(), 1);
    assert_eq!(receive.send().await.unwrap().messages().len(), 1);
}

#[tokio::test]
async fn a_message_is_dropped_when_its_retention_is_over() {
    let world = World::with(&QueueSpec { retention_s: 60, ..QueueSpec::named("work") }).await;
    world.send("old").await;
    world.turn(59);
    world.send("young").await;
    world.turn(1);
    assert_eq!(world.sqs.depth("work").unwrap().visible, 1);
    assert_eq!(world.bodies().await, ["young"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_consumers_get_each_message_once() {
    const MESSAGES: usize = 200;
    let world = Arc::new(World::start().await);
    let got: Arc<Mutex<Vec<String>>> = Arc::default();
    let consumers: Vec<_> = (0..16)
        .map(|_| {
            let (world, got) = (Arc::clone(&world), Arc::clone(&got));
            tokio::spawn(async move {
                while got.lock().unwrap().len() < MESSAGES {
                    let receive = world.client.receive_message().queue_url(&world.url);
                    let received =
                        receive.max_number_of_messages(3).wait_time_seconds(1).send().await.unwrap();
                    for message in received.messages() {
                        got.lock().unwrap().push(message.body().unwrap().to_owned());
                        world.delete(message).await;
                    }
                }
            })
        })
        .collect();
    for batch in 0..MESSAGES / 10 {
        let entries = (0..10).map(|i| entry(&i.to_string(), &format!("{:03}", batch * 10 + i)));
        let send = world.client.send_message_batch().queue_url(&world.url);
        send.set_entries(Some(entries.collect())).send().await.unwrap();
    }
    for consumer in consumers {
        consumer.await.unwrap();
    }
    let mut got = got.lock().unwrap().clone();
    got.sort_unstable();
    assert_eq!(got, (0..MESSAGES).map(|i| format!("{i:03}")).collect::<Vec<_>>());
    world.turn(31);
    assert_eq!(world.bodies().await, NONE);
}
