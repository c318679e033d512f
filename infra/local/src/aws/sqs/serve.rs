//! The operations, each from its input on the wire to its answer.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{Code, Error, invalid, missing};
use super::message::{NewMessage, Receipt, check_attributes};
use super::queue::{DELAY_S, QueueSpec, VISIBILITY_S, WAIT_S, name_in_arn, unknown_attribute};
use super::store::{Change, Queue};
use super::wire::{self, within};
use super::{ACCOUNT, Sqs, digest};

const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// JSON can write one byte of a message as six.
const INPUT_BYTES_MAX: usize = 6 * MESSAGE_BYTES_MAX + (64 << 10);
const BATCH_MAX: usize = 10;
const BATCH_ID_CHARS_MAX: usize = 80;
const LIST_MAX: u32 = 1_000;

pub(super) fn router(sqs: Sqs) -> Router {
    Router::new().route("/", post(serve)).layer(DefaultBodyLimit::max(INPUT_BYTES_MAX)).with_state(sqs)
}

async fn serve(State(sqs): State<Sqs>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix("AmazonSQS.").unwrap_or(target);
    let trace = headers.get("x-amzn-trace-id").and_then(|trace| trace.to_str().ok());
    wire::answer(match operation {
        "ChangeMessageVisibility" => run(&sqs, &body, change_message_visibility),
        "CreateQueue" => run(&sqs, &body, create_queue),
        "DeleteMessage" => run(&sqs, &body, delete_message),
        "DeleteMessageBatch" => run(&sqs, &body, delete_message_batch),
        "GetQueueAttributes" => run(&sqs, &body, get_queue_attributes),
        "GetQueueUrl" => run(&sqs, &body, get_queue_url),
        "ListQueues" => run(&sqs, &body, list_queues),
        "PurgeQueue" => run(&sqs, &body, purge_queue),
        "ReceiveMessage" => receive_message(&sqs, &body).await,
        "SendMessage" => wire::read(&body).and_then(|input| send_message(&sqs, input, trace)),
        "SendMessageBatch" => wire::read(&body).and_then(|input| send_message_batch(&sqs, input, trace)),
        "StartMessageMoveTask" => run(&sqs, &body, start_message_move_task),
        _ => Err(Code::UnknownOperation.because(format!("The operation {operation} is not served here."))),
    })
}

fn run<I: DeserializeOwned>(
    sqs: &Sqs,
    body: &[u8],
    operation: fn(&Sqs, I) -> Result<Value, Error>,
) -> Result<Value, Error> {
    operation(sqs, wire::read(body)?)
}

fn queue_at(sqs: &Sqs, url: &str) -> Result<Queue, Error> {
    if url.is_empty() {
        return Err(missing("QueueUrl"));
    }
    // The host is not looked at: a kept URL stays good when the port changes.
    let mut segments = url.rsplit('/');
    match (segments.next(), segments.next()) {
        (Some(name), Some(ACCOUNT)) => sqs.store().queue(name),
        _ => Err(Code::InvalidAddress.because(format!("The address {url} is not valid for this endpoint."))),
    }
}

fn create_queue(sqs: &Sqs, input: wire::CreateQueue) -> Result<Value, Error> {
    let found = sqs.store().find(&input.queue_name)?.map(|queue| queue.spec);
    let mut wanted = found.clone().unwrap_or_else(|| QueueSpec::named(&input.queue_name));
    for (name, value) in &input.attributes {
        wanted.set(name, value)?;
    }
    match found {
        Some(found) if found != wanted => {
            let name = input.queue_name;
            return Err(Code::QueueNameExists
                .because(format!("A queue named {name} exists already, with other attributes.")));
        }
        Some(_) => {}
        None => sqs.create_queue(&wanted)?,
    }
    Ok(json!({ "QueueUrl": sqs.queue_url(&wanted.name) }))
}

fn get_queue_url(sqs: &Sqs, input: wire::CreateQueue) -> Result<Value, Error> {
    let queue = sqs.store().queue(&input.queue_name)?;
    Ok(json!({ "QueueUrl": sqs.queue_url(&queue.spec.name) }))
}

fn list_queues(sqs: &Sqs, input: wire::ListQueues) -> Result<Value, Error> {
    let max = within("MaxResults", input.max_results, 1..=LIST_MAX)?;
    let after = input.next_token.unwrap_or_default();
    let found = sqs.store().queues(&input.queue_name_prefix, &after, max.unwrap_or(LIST_MAX))?;
    let urls: Vec<String> = found.iter().map(|queue| sqs.queue_url(&queue.name)).collect();
    let mut answer = json!({ "QueueUrls": urls });
    // As with the service, pages exist only for those who ask for a size.
    if let (Some(max), Some(last)) = (max, found.last())
        && found.len() == max as usize
    {
        answer["NextToken"] = Value::String(last.name.clone());
    }
    Ok(answer)
}

fn get_queue_attributes(sqs: &Sqs, input: wire::GetQueueAttributes) -> Result<Value, Error> {
    let queue = queue_at(sqs, &input.queue_url)?;
    let depth = sqs.depth(&queue.spec.name)?;
    let mut all: BTreeMap<&str, String> = queue.spec.attributes().into_iter().collect();
    all.extend([
        ("ApproximateNumberOfMessages", depth.visible.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", depth.in_flight.to_string()),
        ("ApproximateNumberOfMessagesDelayed", depth.delayed.to_string()),
        ("CreatedTimestamp", queue.created_at.as_secs().to_string()),
        ("LastModifiedTimestamp", queue.modified_at.as_secs().to_string()),
        ("MaximumMessageSize", MESSAGE_BYTES_MAX.to_string()),
    ]);
    let asked = &input.attribute_names;
    // A queue without a redrive policy has no such attribute, which is no error.
    let known = |name: &str| name == "All" || name == "RedrivePolicy" || all.contains_key(name);
    if let Some(name) = asked.iter().find(|name| !known(name)) {
        return Err(unknown_attribute(name));
    }
    all.retain(|name, _| asked.iter().any(|asked| asked == "All" || asked == name));
    Ok(if all.is_empty() { json!({}) } else { json!({ "Attributes": all }) })
}

fn send_message(sqs: &Sqs, input: wire::SendMessage, trace: Option<&str>) -> Result<Value, Error> {
    let queue = queue_at(sqs, &input.queue_url)?.spec;
    let (message, mut sent) = accept(&queue, input.entry, trace)?;
    let ids = sqs.store().send(&queue.name, &[message], sqs.now())?;
    sent.message_id = ids.concat();
    Ok(json!(sent))
}

fn send_message_batch(
    sqs: &Sqs,
    input: wire::Batch<wire::SendEntry>,
    trace: Option<&str>,
) -> Result<Value, Error> {
    let queue = queue_at(sqs, &input.queue_url)?.spec;
    check_batch(input.entries.iter().map(|entry| entry.id.as_str()))?;
    let (mut messages, mut sent, mut failed) = (vec![], vec![], vec![]);
    for entry in input.entries {
        let id = entry.id.clone();
        match accept(&queue, entry, trace) {
            Ok((message, answer)) => {
                messages.push(message);
                sent.push(answer);
            }
            Err(error) => failed.push(wire::failed(&id, error)?),
        }
    }
    if messages.iter().map(NewMessage::size).sum::<usize>() > MESSAGE_BYTES_MAX {
        return Err(Code::BatchRequestTooLong
            .because(format!("Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes.")));
    }
    let ids = sqs.store().send(&queue.name, &messages, sqs.now())?;
    for (sent, id) in sent.iter_mut().zip(ids) {
        sent.message_id = id;
    }
    Ok(json!({ "Successful": sent, "Failed": failed }))
}

/// Checks one message and digests it. Its id is left open. Without an `AWSTraceHeader` of its
/// own it takes that of the call.
fn accept(
    queue: &QueueSpec,
    entry: wire::SendEntry,
    trace: Option<&str>,
) -> Result<(NewMessage, wire::Sent), Error> {
    if entry.message_body.is_empty() {
        return Err(missing("MessageBody"));
    }
    if let Some(id) = entry.message_deduplication_id {
        return Err(invalid("MessageDeduplicationId", id, "The queue is not a FIFO queue."));
    }
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
    if !entry.message_body.chars().all(allowed) {
        return Err(Code::InvalidMessageContents.because("Invalid characters found in the message body."));
    }
    check_attributes(&entry.message_attributes)?;
    check_attributes(&entry.message_system_attributes)?;
    let trace_only = |name: &str, text: Option<&String>| name == "AWSTraceHeader" && text.is_some();
    let mut system = entry.message_system_attributes.iter();
    if let Some((name, _)) = system.find(|(name, value)| !trace_only(name, value.string_value.as_ref())) {
        return Err(invalid("MessageSystemAttributes", name, "Only AWSTraceHeader can be sent, as text."));
    }
    let sent = wire::Sent {
        id: entry.id,
        message_id: String::new(),
        md5_of_body: digest::of_body(&entry.message_body),
        md5_of_attributes: digest::of_attributes(&entry.message_attributes),
        md5_of_system_attributes: digest::of_attributes(&entry.message_system_attributes),
    };
    let trace_header = entry.message_system_attributes.into_values().next();
    let message = NewMessage {
        body: entry.message_body,
        attributes: entry.message_attributes,
        trace_header: trace_header
            .and_then(|attribute| attribute.string_value)
            .or_else(|| trace.map(str::to_owned)),
        group_id: entry.message_group_id,
        delay_s: within("DelaySeconds", entry.delay_seconds, DELAY_S)?.unwrap_or(queue.delay_s),
    };
    if message.size() > MESSAGE_BYTES_MAX {
        return Err(Code::InvalidParameterValue.because(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {MESSAGE_BYTES_MAX} bytes."
        )));
    }
    Ok((message, sent))
}

fn check_batch<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let (mut count, mut repeated) = (0, None);
    for id in ids {
        count += 1;
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > BATCH_ID_CHARS_MAX || !id.chars().all(legal) {
            return Err(Code::InvalidBatchEntryId.because(
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                 It can be at most 80 characters long.",
            ));
        }
        if !seen.insert(id) {
            repeated = Some(id);
        }
    }
    match (count, repeated) {
        (0, _) => Err(Code::EmptyBatchRequest.because("The batch request doesn't contain any entries.")),
        (count, _) if count > BATCH_MAX => Err(Code::TooManyEntriesInBatchRequest.because(format!(
            "Maximum number of entries per request are {BATCH_MAX}. You have sent {count}."
        ))),
        (_, Some(id)) => Err(Code::BatchEntryIdsNotDistinct.because(format!("Id {id} repeated."))),
        (_, None) => Ok(()),
    }
}

async fn receive_message(sqs: &Sqs, body: &[u8]) -> Result<Value, Error> {
    let input: wire::ReceiveMessage = wire::read(body)?;
    let queue = queue_at(sqs, &input.queue_url)?.spec;
    let max = within("MaxNumberOfMessages", input.max_number_of_messages, 1..=10)?.unwrap_or(1);
    let hidden_s = within("VisibilityTimeout", input.visibility_timeout, VISIBILITY_S)?;
    let wait_s = within("WaitTimeSeconds", input.wait_time_seconds, WAIT_S)?;
    let wait = Duration::from_secs(wait_s.unwrap_or(queue.receive_wait_s).into());
    let received = sqs.long_poll(&queue, max, hidden_s.unwrap_or(queue.visibility_timeout_s), wait).await?;
    let messages: Vec<Value> = received.iter().map(|received| wire::message(received, &input)).collect();
    Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) })
}

fn delete_message(sqs: &Sqs, input: wire::OfReceipt) -> Result<Value, Error> {
    let queue = queue_at(sqs, &input.queue_url)?.spec;
    sqs.delete(&queue.name, &input.receipt_handle)?;
    Ok(json!({}))
}

fn delete_message_batch(sqs: &Sqs, input: wire::Batch<wire::OfReceipt>) -> Result<Value, Error> {
    let queue = queue_at(sqs, &input.queue_url)?.spec;
    check_batch(input.entries.iter().map(|entry| entry.id.as_str()))?;
    let (mut deleted, mut failed) = (vec![], vec![]);
    for entry in &input.entries {
        match sqs.delete(&queue.name, &entry.receipt_handle) {
            Ok(()) => deleted.push(json!({ "Id": entry.id })),
            Err(error) => failed.push(wire::failed(&entry.id, error)?),
        }
    }
    Ok(json!({ "Successful": deleted, "Failed": failed }))
}

fn change_message_visibility(sqs: &Sqs, input: wire::OfReceipt) -> Result<Value, Error> {
    let queue = queue_at(sqs, &input.queue_url)?.spec;
    let hidden_s = within("VisibilityTimeout", input.visibility_timeout, VISIBILITY_S)?
        .ok_or_else(|| missing("VisibilityTimeout"))?;
    let receipt = Receipt::parse(&input.receipt_handle, &queue.name)?;
    let now = sqs.now();
    match sqs.store().hide(&receipt, now + Duration::from_secs(hidden_s.into()), now)? {
        Change::Changed => Ok(json!({})),
        Change::NotInFlight => Err(Code::MessageNotInflight.because("The message is not in flight.")),
        Change::Gone => Err(invalid(
            "ReceiptHandle",
            input.receipt_handle,
            "Message does not exist or is not available for visibility timeout change.",
        )),
    }
}

fn purge_queue(sqs: &Sqs, input: wire::OfQueue) -> Result<Value, Error> {
    sqs.store().purge(&queue_at(sqs, &input.queue_url)?.spec.name)?;
    Ok(json!({}))
}

/// Done before it is answered, so there is never a task to list or to cancel.
fn start_message_move_task(sqs: &Sqs, input: wire::StartMessageMoveTask) -> Result<Value, Error> {
    let existing = |parameter: &str, arn: &str| {
        let queue = name_in_arn(arn).map(|name| sqs.store().find(name)).transpose()?.flatten();
        queue.map(|queue| queue.spec.name).ok_or_else(|| {
            Code::ResourceNotFound.because(format!(
                "The resource that you specified for the {parameter} parameter doesn't exist."
            ))
        })
    };
    let from = existing("SourceArn", &input.source_arn)?;
    let to = input.destination_arn.map(|arn| existing("DestinationArn", &arn)).transpose()?;
    let feeds_it = |queue: &QueueSpec| queue.redrive.as_ref().is_some_and(|r| r.dead_letter_queue == from);
    if !sqs.store().queues("", "", u32::MAX)?.iter().any(feeds_it) {
        let reason = "Source queue must be configured as a Dead Letter Queue.";
        return Err(invalid("SourceArn", input.source_arn, reason));
    }
    sqs.store().move_all(&from, to.as_deref(), sqs.now())?;
    Ok(json!({ "TaskHandle": data_encoding::BASE64.encode(input.source_arn.as_bytes()) }))
}
