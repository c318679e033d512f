//! Limits and typed errors, as the unmodified SDK receives them.

use aws_sdk_sqs::operation::change_message_visibility::ChangeMessageVisibilityError;
use aws_sdk_sqs::operation::delete_message::DeleteMessageError;
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchError;

use super::*;

const MIB: usize = 1 << 20;

async fn batch(world: &World, entries: Vec<SendMessageBatchRequestEntry>) -> SendMessageBatchError {
    let batch = world.client.send_message_batch().queue_url(&world.url).set_entries(Some(entries));
    batch.send().await.unwrap_err().into_service_error()
}

#[tokio::test]
async fn a_delay_over_900_seconds_is_refused() {
    let world = World::start().await;
    let send = world.client.send_message().queue_url(&world.url).message_body("x");
    assert_eq!(code(send.delay_seconds(901).send().await), "InvalidParameterValue");
    let mut late = entry("late", "x");
    late.delay_seconds = Some(901);
    let batch = world.client.send_message_batch().queue_url(&world.url);
    let sent = batch.entries(entry("good", "x")).entries(late).send().await.unwrap();
    assert_eq!(sent.successful()[0].id(), "good");
    assert_eq!((sent.failed()[0].id(), sent.failed()[0].code()), ("late", "InvalidParameterValue"));
    assert_eq!(world.bodies().await.len(), 1);
}

#[tokio::test]
async fn a_batch_of_eleven_is_refused_whole() {
    let world = World::start().await;
    let error = batch(&world, (0..11).map(|i| entry(&i.to_string(), "x")).collect()).await;
    assert!(error.is_too_many_entries_in_batch_request(), "{error:?}");
    assert_eq!(world.sqs.depth("work").unwrap().visible, 0);
}

#[tokio::test]
async fn a_batch_with_a_repeated_id_is_refused_whole() {
    let world = World::start().await;
    let error = batch(&world, vec![entry("same", "x"), entry("same", "y")]).await;
    assert!(error.is_batch_entry_ids_not_distinct(), "{error:?}");
    assert_eq!(world.sqs.depth("work").unwrap().visible, 0);
}

#[tokio::test]
async fn a_batch_without_entries_is_refused() {
    let world = World::start().await;
    let error = batch(&world, vec![]).await;
    assert!(error.is_empty_batch_request(), "{error:?}");
}

#[tokio::test]
async fn a_batch_id_with_other_signs_is_refused() {
    let world = World::start().await;
    let error = batch(&world, vec![entry("a b", "x")]).await;
    assert!(error.is_invalid_batch_entry_id(), "{error:?}");
}

#[tokio::test]
async fn a_message_may_have_one_mebibyte_and_no_byte_more() {
    let world = World::start().await;
    let send = |body: String| world.client.send_message().queue_url(&world.url).message_body(body);
    send("x".repeat(MIB)).send().await.unwrap();
    assert_eq!(code(send("x".repeat(MIB + 1)).send().await), "InvalidParameterValue");
    // Attributes count: 1 + 6 + 1 bytes.
    let with_attribute = |size| send("x".repeat(size)).message_attributes("n", attribute("String", "v"));
    with_attribute(MIB - 8).send().await.unwrap();
    assert_eq!(code(with_attribute(MIB - 7).send().await), "InvalidParameterValue");
    assert_eq!(world.receive().await.len(), 2);
}

#[tokio::test]
async fn a_message_that_json_swells_is_still_taken() {
    let world = World::start().await;
    world.send(&"\"\n".repeat(MIB / 2)).await;
    assert_eq!(world.bodies().await, ["\"\n".repeat(MIB / 2)]);
}

#[tokio::test]
async fn a_batch_over_one_mebibyte_in_sum_is_refused_whole() {
    let world = World::start().await;
    let half = "x".repeat(MIB / 2);
    let error = batch(&world, vec![entry("a", &half), entry("b", &half), entry("c", "x")]).await;
    assert!(error.is_batch_request_too_long(), "{error:?}");
    assert_eq!(world.sqs.depth("work").unwrap().visible, 0);
}

#[tokio::test]
async fn a_body_must_be_there_and_be_text() {
    let world = World::start().await;
    let send = |body| world.client.send_message().queue_url(&world.url).message_body(body).send();
    assert_eq!(code(send("").await), "MissingParameter");
    let error = send("\u{1}").await.unwrap_err().into_service_error();
    assert!(matches!(error, SendMessageError::InvalidMessageContents(_)), "{error:?}");
}

#[tokio::test]
async fn an_attribute_must_fit_its_type() {
    let world = World::start().await;
    for wrong in [attribute("Binary", "text"), attribute("Thing", "x"), attribute("String", "")] {
        let send = world.client.send_message().queue_url(&world.url).message_body("x");
        assert_eq!(code(send.message_attributes("n", wrong).send().await), "InvalidParameterValue");
    }
    let mut send = world.client.send_message().queue_url(&world.url).message_body("x");
    for i in 0..11 {
        send = send.message_attributes(format!("n{i}"), attribute("String", "v"));
    }
    assert_eq!(code(send.send().await), "InvalidParameterValue");
}

#[tokio::test]
async fn deduplication_belongs_to_fifo_queues() {
    let world = World::start().await;
    let send = world.client.send_message().queue_url(&world.url).message_body("x");
    assert_eq!(code(send.message_deduplication_id("d").send().await), "InvalidParameterValue");
}

#[tokio::test]
async fn a_receive_out_of_range_is_refused() {
    let world = World::start().await;
    let receive = || world.client.receive_message().queue_url(&world.url);
    for wrong in [
        receive().max_number_of_messages(0),
        receive().max_number_of_messages(11),
        receive().wait_time_seconds(21),
        receive().visibility_timeout(43_201),
    ] {
        assert_eq!(code(wrong.send().await), "InvalidParameterValue");
    }
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_a_typed_error() {
    let world = World::start().await;
    let url = world.client.get_queue_url().queue_name("none").send().await.unwrap_err();
    let url = url.into_service_error();
    assert!(matches!(url, GetQueueUrlError::QueueDoesNotExist(_)), "{url:?}");
    assert_eq!(url.message(), Some("The specified queue does not exist."));
    let none = world.sqs.queue_url("none");
    let send = world.client.send_message().queue_url(none).message_body("x").send().await;
    let send = send.unwrap_err().into_service_error();
    assert!(send.is_queue_does_not_exist(), "{send:?}");
}

#[tokio::test]
async fn a_url_that_is_no_queues_is_a_typed_error() {
    let world = World::start().await;
    let send = world.client.send_message().queue_url("http://127.0.0.1/work").message_body("x");
    let error = send.send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_address(), "{error:?}");
}

#[tokio::test]
async fn a_handle_that_no_receive_gave_is_a_typed_error() {
    let world = World::with(&with_dead_letters(5)).await;
    world.send("x").await;
    let foreign = world.receive().await[0].receipt_handle().unwrap().to_owned();
    let dead = world.sqs.queue_url("dead");
    for (url, handle) in [(&world.url, "junk"), (&dead, foreign.as_str())] {
        let delete = world.client.delete_message().queue_url(url).receipt_handle(handle);
        let error = delete.send().await.unwrap_err().into_service_error();
        assert!(matches!(error, DeleteMessageError::ReceiptHandleIsInvalid(_)), "{error:?}");
    }
    let error = world.hide("junk", 1).await.unwrap_err();
    assert!(matches!(error, ChangeMessageVisibilityError::ReceiptHandleIsInvalid(_)), "{error:?}");
}

#[tokio::test]
async fn only_a_message_in_flight_can_change_its_visibility() {
    let world = World::start().await;
    world.send("x").await;
    let message = &world.receive().await[0];
    let handle = message.receipt_handle().unwrap();
    assert_eq!(world.hide(handle, 43_201).await.unwrap_err().code(), Some("InvalidParameterValue"));
    world.turn(30);
    let error = world.hide(handle, 5).await.unwrap_err();
    assert!(error.is_message_not_inflight(), "{error:?}");
    world.delete(message).await;
    assert_eq!(world.hide(handle, 5).await.unwrap_err().code(), Some("InvalidParameterValue"));
}

/// Answers to raw input: status, `__type`, and the header with the older name.
async fn raw(world: &World, operation: &str, body: &'static str) -> (u16, String, Option<String>) {
    let endpoint = world.url.strip_suffix("/000000000000/work").unwrap();
    let post = reqwest::Client::new().post(endpoint).header("x-amz-target", format!("AmazonSQS.{operation}"));
    let answer = post.body(body).send().await.unwrap();
    let query = answer.headers().get("x-amzn-query-error").map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/x-amz-json-1.0");
    let body: serde_json::Value = answer.json().await.unwrap();
    (status, body["__type"].as_str().unwrap().to_owned(), query)
}

#[tokio::test]
async fn errors_carry_both_of_their_names() {
    let world = World::start().await;
    let expected = "AWS.SimpleQueueService.NonExistentQueue;Sender".to_owned();
    assert_eq!(
        raw(&world, "GetQueueUrl", r#"{"QueueName":"none"}"#).await,
        (400, "com.amazonaws.sqs#QueueDoesNotExist".to_owned(), Some(expected))
    );
    let expected = "MissingParameter;Sender".to_owned();
    assert_eq!(
        raw(&world, "PurgeQueue", "{}").await,
        (400, "com.amazon.coral.service#MissingRequiredParameterException".to_owned(), Some(expected))
    );
}

#[tokio::test]
async fn unreadable_input_and_unknown_operations_are_refused() {
    let world = World::start().await;
    for body in ["", "{", "[]", r#"{"QueueUrl":7}"#] {
        let (status, json_type, _) = raw(&world, "SendMessage", body).await;
        assert_eq!((status, json_type.as_str()), (400, "com.amazon.coral.service#SerializationException"));
    }
    let (status, json_type, _) = raw(&world, "DeleteQueue", "{}").await;
    assert_eq!((status, json_type.as_str()), (400, "com.amazon.coral.service#UnknownOperationException"));
}
