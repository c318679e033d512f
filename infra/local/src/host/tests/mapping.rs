use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lambda_http::aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::super::{
    Attribute, Function, FunctionError, Invocation, Received, Source, Template, event_function,
};
use super::{Hang, Memory, NOW, deployment, fails, host, host_of, script};

const POLL: &str = "genmux-poll";

/// What is deleted of the messages a, b and c after the function gave this answer.
async fn deleted(function: Arc<dyn Function>) -> Vec<String> {
    let source = Arc::<Memory>::default();
    for id in ["a", "b", "c"] {
        source.send(POLL, id);
    }
    assert_eq!(host("poll", function, &source).step_queues().await.unwrap(), 3);
    source.deleted()
}

const ALL: [&str; 3] = ["genmux-poll/receipt-a", "genmux-poll/receipt-b", "genmux-poll/receipt-c"];

#[tokio::test]
async fn what_failed_is_kept_and_the_rest_is_deleted() {
    let poll = event_function(|event: LambdaEvent<SqsEvent>| async move {
        let mut response = SqsBatchResponse::default();
        for record in event.payload.records {
            if record.body.as_deref() == Some("body of b") {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = record.message_id.unwrap();
                response.batch_item_failures.push(failure);
            }
        }
        Ok::<_, lambda_runtime::Error>(response)
    });
    assert_eq!(deleted(poll).await, [ALL[0], ALL[2]]);
}

#[tokio::test]
async fn an_answer_without_failures_deletes_everything() {
    for answer in
        [Value::Null, json!({}), json!({ "batchItemFailures": null }), json!({ "batchItemFailures": [] })]
    {
        let (poll, _) = script(move |_| Ok(answer.clone()));
        assert_eq!(deleted(poll).await, ALL);
    }
}

#[tokio::test]
async fn a_malformed_answer_deletes_nothing() {
    for answer in [
        json!("ok"),
        json!(["a"]),
        json!({ "batchItemFailures": "a" }),
        json!({ "batchItemFailures": ["a"] }),
        json!({ "batchItemFailures": [{ "id": "a" }] }),
        json!({ "batchItemFailures": [{ "itemIdentifier": null }] }),
        json!({ "batchItemFailures": [{ "itemIdentifier": "" }] }),
        json!({ "batchItemFailures": [{ "itemIdentifier": "a" }, { "itemIdentifier": "stranger" }] }),
    ] {
        let printed = answer.to_string();
        let (poll, _) = script(move |_| Ok(answer.clone()));
        assert_eq!(deleted(poll).await, [""; 0], "{printed}");
    }
}

#[tokio::test]
async fn a_function_that_fails_or_panics_deletes_nothing() {
    assert_eq!(deleted(script(|_| fails()).0).await, [""; 0]);
    assert_eq!(deleted(script(|_| panic!("on purpose")).0).await, [""; 0]);
    let unreadable = event_function(|_: LambdaEvent<u32>| async { Ok::<_, lambda_runtime::Error>(()) });
    assert_eq!(deleted(unreadable).await, [""; 0]);
}

#[tokio::test]
async fn a_function_that_hangs_deletes_nothing() {
    let source = Arc::<Memory>::default();
    source.send(POLL, "a");
    let mut template = Template::load(deployment()).unwrap();
    template.functions.get_mut("poll").unwrap().timeout = Duration::from_millis(20);
    let host = host_of(template, "poll", Arc::new(Hang), &source);
    assert_eq!(host.step_queues().await.unwrap(), 1);
    assert_eq!(source.deleted(), [""; 0]);
}

#[tokio::test]
async fn messages_become_the_platforms_document() {
    let source = Arc::<Memory>::default();
    source.send(POLL, "plain");
    let text =
        Attribute { data_type: "String".to_owned(), string_value: Some("v".to_owned()), binary_value: None };
    source.put(
        POLL,
        Received {
            message_id: "rich".to_owned(),
            receipt_handle: "handle".to_owned(),
            body: "{}".to_owned(),
            md5_of_body: "99914b932bd37a50b983c5e7c90ae93b".to_owned(),
            attributes: BTreeMap::from([("name".to_owned(), text)]),
            trace_header: Some("Root=1-a-b".to_owned()),
            receive_count: 2,
            sent_at: NOW,
            first_received_at: NOW + Duration::from_secs(1),
            dead_letter_source: None,
        },
    );
    let (poll, seen) = script(|_| Ok(Value::Null));
    host("poll", poll, &source).step_queues().await.unwrap();
    let event = seen.lock().unwrap()[0].0.clone();
    assert_eq!(event["Records"][0].pointer("/attributes/AWSTraceHeader"), None);
    assert_eq!(
        event["Records"][1],
        json!({
            "messageId": "rich",
            "receiptHandle": "handle",
            "body": "{}",
            "attributes": {
                "ApproximateReceiveCount": "2",
                "SentTimestamp": "1700000000120",
                "SenderId": "000000000000",
                "ApproximateFirstReceiveTimestamp": "1700000001120",
                "AWSTraceHeader": "Root=1-a-b",
            },
            "messageAttributes": {
                "name": {
                    "stringValue": "v",
                    "stringListValues": [],
                    "binaryListValues": [],
                    "dataType": "String",
                },
            },
            "md5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:genmux-poll",
            "awsRegion": "us-east-1",
        })
    );
    let event: SqsEvent = serde_json::from_value(event).unwrap();
    assert_eq!(event.records[1].message_attributes["name"].string_value.as_deref(), Some("v"));
}

#[tokio::test]
async fn a_step_takes_one_batch_of_the_mappings_size() {
    let source = Arc::<Memory>::default();
    for id in 0..11 {
        source.send(POLL, &format!("{id:02}"));
        source.send("genmux-dispatch", &format!("{id:02}"));
    }
    let (poll, seen) = script(|_| Ok(Value::Null));
    let host = host("poll", poll, &source);
    assert_eq!(host.step_queues().await.unwrap(), 10 + 1);
    assert_eq!(host.step_queues().await.unwrap(), 1 + 1);
    let sizes: Vec<_> =
        seen.lock().unwrap().iter().map(|(event, _)| event["Records"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [10, 1]);
}

/// Counts how many of it run at a time; each waits for a permit.
struct Parallel {
    running: AtomicUsize,
    most: AtomicUsize,
    arrived: Notify,
    permits: Semaphore,
}

impl Function for Arc<Parallel> {
    fn invoke(&self, _: Value, _: Invocation) -> BoxFuture<'_, Result<Value, FunctionError>> {
        async {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            self.arrived.notify_one();
            self.permits.acquire().await.unwrap().forget();
            self.running.fetch_sub(1, Ordering::SeqCst);
            Ok(Value::Null)
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_running_mapping_keeps_to_its_concurrency_and_finishes_what_it_began() {
    let parallel = Arc::new(Parallel {
        running: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        arrived: Notify::new(),
        permits: Semaphore::new(0),
    });
    let source = Arc::<Memory>::default();
    let host = host("dispatch", Arc::new(Arc::clone(&parallel)), &source);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let background = tokio::spawn(async move { host.run_background(stop).await });
    for id in 0..50 {
        source.send("genmux-dispatch", &format!("{id:02}"));
    }
    while parallel.running.load(Ordering::SeqCst) < 20 {
        parallel.arrived.notified().await;
    }
    parallel.permits.add_permits(30);
    while source.deleted().len() < 30 || parallel.running.load(Ordering::SeqCst) < 20 {
        parallel.arrived.notified().await;
    }
    shutdown.cancel();
    parallel.permits.add_permits(20);
    background.await.unwrap().unwrap();
    assert_eq!(source.deleted().len(), 50);
    assert_eq!(parallel.most.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_batch_that_is_not_full_waits_for_its_window() {
    let source = Arc::<Memory>::default();
    let mut template = Template::load(deployment()).unwrap();
    for mapping in &mut template.mappings {
        mapping.window = Duration::from_secs(300);
    }
    let (poll, seen) = script(|_| Ok(Value::Null));
    let host = host_of(template, "poll", poll, &source);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let background = tokio::spawn(async move { host.run_background(stop).await });
    for id in 0..10 {
        source.send(POLL, &id.to_string());
        // Each is received by itself.
        while source.has_some(POLL) {
            tokio::task::yield_now().await;
        }
        assert!(id == 9 || seen.lock().unwrap().is_empty());
    }
    while source.deleted().len() < 10 {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    background.await.unwrap().unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[derive(Debug)]
struct Broken;

impl Source for Broken {
    fn receive(&self, _: &str, _: u32) -> anyhow::Result<Vec<Received>> {
        anyhow::bail!("no such queue")
    }

    fn delete(&self, _: &str, _: &str) -> anyhow::Result<()> {
        anyhow::bail!("no such queue")
    }

    fn give_up(&self, _: &str, _: &str) -> anyhow::Result<()> {
        anyhow::bail!("no such queue")
    }

    fn wait<'a>(&'a self, _: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        async { anyhow::bail!("no such queue") }.boxed()
    }
}

#[tokio::test]
async fn a_source_that_fails_ends_the_run_with_its_error() {
    let template = Template::load(deployment()).unwrap();
    let idle = |name: &String| (name.clone(), script(|_| Ok(Value::Null)).0);
    let functions = template.functions.keys().map(idle).collect();
    let clock = shared::boot::Clock::manual(NOW);
    let host = super::Host::new(template, functions, Arc::new(Broken), clock).unwrap();
    assert_eq!(host.step_queues().await.unwrap_err().to_string(), "no such queue");
    let error = host.run_background(CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "no such queue");
}
