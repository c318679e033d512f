//! SQS event source mappings: receive a batch, invoke the function, delete what it handled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::Result;
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::lineage::{INVOCATIONS_MAX, Lineage};
use super::template::{Mapping, Template};
use super::{Host, ids};

/// Where messages come from: what a mapping asks of SQS. Queues go by name.
pub trait Source: Debug + Send + Sync {
    /// Takes up to `max` visible messages, at once, and hides them for the queue's visibility timeout.
    fn receive(&self, queue: &str, max: u32) -> Result<Vec<Received>>;

    /// Deletes what was received. A stale handle deletes nothing and is no error.
    fn delete(&self, queue: &str, receipt_handle: &str) -> Result<()>;

    /// Moves what was received to the queue's dead-letter queue, or deletes it where there is none.
    fn give_up(&self, queue: &str, receipt_handle: &str) -> Result<()>;

    /// Resolves once the queue has a visible message: at once if it has one now.
    fn wait<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// One message as one receive handed it out.
#[derive(Debug, Clone)]
pub struct Received {
    pub message_id: String,
    pub receipt_handle: String,
    pub body: String,
    /// Lower-case hex.
    pub md5_of_body: String,
    pub attributes: BTreeMap<String, Attribute>,
    pub trace_header: Option<String>,
    /// How often it was received, this time included.
    pub receive_count: u32,
    pub sent_at: Timestamp,
    pub first_received_at: Timestamp,
    /// The ARN of its source queue, if this one is a dead-letter queue.
    pub dead_letter_source: Option<String>,
}

/// A message attribute of the sender.
#[derive(Debug, Clone)]
pub struct Attribute {
    pub data_type: String,
    pub string_value: Option<String>,
    /// Base64.
    pub binary_value: Option<String>,
}

/// Handles batches until `shutdown`, at most the mapping's `max_concurrency` at a time, then waits for those
/// in progress. Dropped, it abandons them, and their messages turn visible again.
pub(super) async fn run(host: Host, mapping: Mapping, shutdown: CancellationToken) -> Result<()> {
    let mut batches = JoinSet::new();
    let mut failure = Ok(());
    loop {
        // Waits for capacity before it receives, so that a received batch is invoked at once.
        while batches.len() >= mapping.max_concurrency {
            batches.join_next().await;
        }
        match shutdown.run_until_cancelled(next_batch(&host, &mapping)).await {
            Some(Ok(batch)) => {
                let (host, mapping) = (host.clone(), mapping.clone());
                batches.spawn(async move { handle(&host, &mapping, batch).await });
            }
            Some(Err(error)) => {
                failure = Err(error);
                break;
            }
            None => break,
        }
    }
    while batches.join_next().await.is_some() {}
    failure
}

/// Receives, invokes and deletes once, and returns the number of messages that the function was given.
pub(super) async fn step(host: &Host, mapping: &Mapping) -> Result<usize> {
    let batch = host.source().receive(&mapping.queue, mapping.batch_size)?;
    let count = batch.len();
    if count > 0 {
        handle(host, mapping, batch).await;
    }
    Ok(count)
}

async fn next_batch(host: &Host, mapping: &Mapping) -> Result<Vec<Received>> {
    let source = host.source();
    let mut batch = source.receive(&mapping.queue, mapping.batch_size)?;
    while batch.is_empty() {
        source.wait(&mapping.queue).await?;
        batch = source.receive(&mapping.queue, mapping.batch_size)?;
    }
    let full_by = Instant::now() + mapping.window;
    while let room @ 1.. = mapping.batch_size - u32::try_from(batch.len())? {
        match timeout_at(full_by, source.wait(&mapping.queue)).await {
            Ok(sent) => sent?,
            Err(_elapsed) => break,
        }
        batch.extend(source.receive(&mapping.queue, room)?);
    }
    Ok(batch)
}

async fn handle(host: &Host, mapping: &Mapping, batch: Vec<Received>) {
    let headers = batch.iter().filter_map(|message| message.trace_header.as_deref());
    let lineage = Lineage::of_all(headers).unwrap_or_else(|| Lineage::parse(&ids::trace(host.clock().now())));
    if is_stopped(host, &mapping.function, &lineage) {
        tracing::warn!(function = mapping.function, messages = batch.len(), "function.recursion_stopped");
        return each(&batch, |message| host.source().give_up(&mapping.queue, &message.receipt_handle));
    }
    let document = document(host, mapping, &batch);
    // The host has logged the failure; the messages become visible again after their timeout.
    let invoked = host.invoke_traced(&mapping.function, document, lineage.to_string()).await;
    let Ok(answer) = invoked else { return };
    let Some(failed) = failures(&answer, &batch) else {
        let function = &mapping.function;
        tracing::warn!(function, %answer, "batch.answer_refused: nothing of it is deleted");
        return;
    };
    let done = batch.iter().filter(|message| !failed.contains(&message.message_id));
    each(done, |message| host.source().delete(&mapping.queue, &message.receipt_handle));
}

/// Whether the function was invoked too often because of one event to be invoked once more.
fn is_stopped(host: &Host, function: &str, lineage: &Lineage) -> bool {
    let Template { deployment, functions, .. } = host.template();
    let spec = &functions[function];
    let arn = deployment.arn("lambda", &format!("function:{}", spec.name));
    !spec.may_recurse && lineage.invocations(&arn) >= INVOCATIONS_MAX
}

/// Takes each message off its queue; one that stays there is delivered again.
fn each<'a>(messages: impl IntoIterator<Item = &'a Received>, take: impl Fn(&Received) -> Result<()>) {
    for message in messages {
        if let Err(error) = take(message) {
            tracing::warn!(message.id = message.message_id, %error, "message.not_taken");
        }
    }
}

/// The ids of the messages to keep; `None`, which fails the whole batch, if the answer is malformed or
/// names a message that was not in it.
fn failures(answer: &Value, batch: &[Received]) -> Option<BTreeSet<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        batch_item_failures: Option<Vec<Failure>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        item_identifier: String,
    }
    let answer = Option::<Answer>::deserialize(answer).ok()?;
    let failed = answer.and_then(|answer| answer.batch_item_failures).unwrap_or_default();
    let failed: BTreeSet<_> = failed.into_iter().map(|failure| failure.item_identifier).collect();
    let known = |id: &String| batch.iter().any(|message| message.message_id == *id);
    failed.iter().all(known).then_some(failed)
}

fn document(host: &Host, mapping: &Mapping, batch: &[Received]) -> Value {
    let deployment = &host.template().deployment;
    let record = |message: &Received| {
        let mut attributes = json!({
            "ApproximateReceiveCount": message.receive_count.to_string(),
            "SentTimestamp": message.sent_at.as_millis().to_string(),
            "SenderId": deployment.account_id,
            "ApproximateFirstReceiveTimestamp": message.first_received_at.as_millis().to_string(),
        });
        if let Some(trace) = &message.trace_header {
            attributes["AWSTraceHeader"] = json!(trace);
        }
        if let Some(source) = &message.dead_letter_source {
            attributes["DeadLetterQueueSourceArn"] = json!(source);
        }
        json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": attributes,
            "messageAttributes": message_attributes(&message.attributes),
            "md5OfBody": message.md5_of_body,
            "eventSource": "aws:sqs",
            "eventSourceARN": mapping.queue_arn,
            "awsRegion": deployment.region,
        })
    };
    json!({ "Records": batch.iter().map(record).collect::<Vec<_>>() })
}

fn message_attributes(attributes: &BTreeMap<String, Attribute>) -> Value {
    let written = attributes.iter().map(|(name, attribute)| {
        let mut value = Map::new();
        if let Some(text) = &attribute.string_value {
            value.insert("stringValue".to_owned(), json!(text));
        }
        if let Some(base64) = &attribute.binary_value {
            value.insert("binaryValue".to_owned(), json!(base64));
        }
        value.insert("stringListValues".to_owned(), json!([]));
        value.insert("binaryListValues".to_owned(), json!([]));
        value.insert("dataType".to_owned(), json!(attribute.data_type));
        (name.clone(), Value::Object(value))
    });
    written.collect::<Map<_, _>>().into()
}
