//! Queues as such: made, found, listed, described, emptied.

use aws_sdk_sqs::operation::create_queue::CreateQueueError;
use aws_sdk_sqs::types::QueueAttributeName as Name;

use super::*;

#[tokio::test]
async fn a_queue_is_created_with_its_attributes_and_described_by_them() {
    let world = World::with(&QueueSpec::named("dead")).await;
    let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"5"}"#;
    let create = world.client.create_queue().queue_name("jobs").attributes(Name::RedrivePolicy, policy);
    let create = create.attributes(Name::VisibilityTimeout, "60").attributes(Name::DelaySeconds, "3");
    let create = create.attributes(Name::MessageRetentionPeriod, "600");
    let created = create.attributes(Name::ReceiveMessageWaitTimeSeconds, "20").send().await.unwrap();
    let url = created.queue_url().unwrap();
    assert_eq!(url, world.sqs.queue_url("jobs"));
    world.client.send_message().queue_url(url).message_body("x").send().await.unwrap();
    let all = world.client.get_queue_attributes().queue_url(url).attribute_names(Name::All);
    let all = all.send().await.unwrap().attributes.unwrap();
    for (name, value) in [
        (Name::QueueArn, "arn:aws:sqs:us-east-1:000000000000:jobs"),
        (Name::VisibilityTimeout, "60"),
        (Name::DelaySeconds, "3"),
        (Name::MessageRetentionPeriod, "600"),
        (Name::ReceiveMessageWaitTimeSeconds, "20"),
        (Name::RedrivePolicy, &policy.replace("\"5\"", "5")),
        (Name::ApproximateNumberOfMessages, "0"),
        (Name::ApproximateNumberOfMessagesNotVisible, "0"),
        (Name::ApproximateNumberOfMessagesDelayed, "1"),
        (Name::CreatedTimestamp, "1700000000"),
    ] {
        assert_eq!(all[&name], value, "{name}");
    }
}

#[tokio::test]
async fn only_the_attributes_asked_for_are_described() {
    let world = World::start().await;
    let get = || world.client.get_queue_attributes().queue_url(&world.url);
    let one = get().attribute_names(Name::VisibilityTimeout).attribute_names(Name::RedrivePolicy);
    let one = one.send().await.unwrap().attributes.unwrap();
    assert_eq!(one.into_iter().collect::<Vec<_>>(), [(Name::VisibilityTimeout, "30".to_owned())]);
    assert_eq!(get().send().await.unwrap().attributes(), None);
    let unknown = get().attribute_names("Colour".into()).send().await.unwrap_err().into_service_error();
    assert!(unknown.is_invalid_attribute_name(), "{unknown:?}");
}

#[tokio::test]
async fn creating_a_queue_again_gives_the_same_one_unless_attributes_differ() {
    let world = World::start().await;
    let create = world.client.create_queue().queue_name("work");
    let same = create.clone().attributes(Name::VisibilityTimeout, "30").send().await.unwrap();
    assert_eq!(same.queue_url(), Some(world.url.as_str()));
    let other = create.attributes(Name::VisibilityTimeout, "31").send().await.unwrap_err();
    let other = other.into_service_error();
    assert!(matches!(other, CreateQueueError::QueueNameExists(_)), "{other:?}");
}

#[tokio::test]
async fn bad_settings_are_typed_errors() {
    let world = World::start().await;
    let create = || world.client.create_queue().queue_name("jobs");
    for (name, value) in [
        (Name::VisibilityTimeout, "43201"),
        (Name::DelaySeconds, "901"),
        (Name::DelaySeconds, "soon"),
        (Name::MessageRetentionPeriod, "59"),
        (Name::ReceiveMessageWaitTimeSeconds, "21"),
    ] {
        let error = create().attributes(name, value).send().await.unwrap_err().into_service_error();
        assert!(matches!(error, CreateQueueError::InvalidAttributeValue(_)), "{error:?}");
    }
    let fifo = create().attributes(Name::FifoQueue, "true").send().await.unwrap_err().into_service_error();
    assert!(matches!(fifo, CreateQueueError::InvalidAttributeName(_)), "{fifo:?}");
    for policy in [
        "{}",
        r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:none","maxReceiveCount":5}"#,
        r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:work","maxReceiveCount":0}"#,
    ] {
        let refused = create().attributes(Name::RedrivePolicy, policy).send().await;
        assert_eq!(code(refused), "InvalidParameterValue");
    }
    for name in ["a b", "work.fifo", &"x".repeat(81)] {
        let refused = world.client.create_queue().queue_name(name).send().await;
        assert_eq!(code(refused), "InvalidParameterValue");
    }
    assert!(world.client.get_queue_url().queue_name("jobs").send().await.is_err());
}

#[tokio::test]
async fn queues_are_found_by_name_and_listed_by_prefix_and_page() {
    let world = World::start().await;
    for name in ["job-b", "job-a", "job-c", "Job-d"] {
        world.sqs.create_queue(&QueueSpec::named(name)).unwrap();
    }
    let found = world.client.get_queue_url().queue_name("work").send().await.unwrap();
    assert_eq!(found.queue_url(), Some(world.url.as_str()));
    let list = world.client.list_queues().queue_name_prefix("job-");
    let all = list.clone().send().await.unwrap();
    assert_eq!(all.queue_urls(), ["job-a", "job-b", "job-c"].map(|name| world.sqs.queue_url(name)));
    assert_eq!(all.next_token(), None);
    let first = list.clone().max_results(2).send().await.unwrap();
    assert_eq!(first.queue_urls(), ["job-a", "job-b"].map(|name| world.sqs.queue_url(name)));
    let rest = list.max_results(2).set_next_token(first.next_token).send().await.unwrap();
    assert_eq!((rest.queue_urls(), rest.next_token()), (&[world.sqs.queue_url("job-c")][..], None));
}

#[tokio::test]
async fn a_purge_empties_one_queue() {
    let world = World::with(&with_dead_letters(5)).await;
    let dead = world.sqs.queue_url("dead");
    world.client.send_message().queue_url(&dead).message_body("stays").send().await.unwrap();
    world.send("in flight").await;
    world.receive().await;
    world.send("visible").await;
    world.client.purge_queue().queue_url(&world.url).send().await.unwrap();
    world.turn(31);
    assert_eq!(world.receive().await, []);
    assert_eq!(world.receive_from(&dead).await.len(), 1);
}
