//! The HTTP API as its callers see it: what it answers, and what it refuses.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use harness::{Answer, World};
use serde_json::Value;

mod callers;
mod health;
mod idempotency;
mod lists;
mod reads;
mod refusals;
mod releases;
mod webhooks;

/// Asserts that an answer is this problem document, whole; gives its `detail`.
fn assert_problem<'a>(answer: &'a Answer, status: u16, code: &str) -> &'a str {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{answer:?}");
    assert_eq!(header("content-type"), "application/problem+json", "{answer:?}");
    assert_eq!(answer.text("/type"), format!("urn:genmux:problem:{code}"), "{answer:?}");
    assert_eq!(answer.body["status"], status, "{answer:?}");
    assert_eq!(answer.body["retryable"], matches!(status, 429 | 503), "{answer:?}");
    assert!(!answer.text("/title").is_empty() && !answer.text("/detail").is_empty(), "{answer:?}");
    assert!(!answer.text("/request_id").is_empty(), "{answer:?}");
    assert_eq!(answer.text("/request_id"), header("x-request-id"), "{answer:?}");
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{answer:?}");
    answer.text("/detail")
}

/// Every item of the table and what waits in the queues: equal means that nothing changed.
#[derive(Debug, PartialEq)]
struct Snapshot {
    items: BTreeMap<[String; 2], HashMap<String, AttributeValue>>,
    next_message: Option<domain::time::Timestamp>,
}

impl Snapshot {
    async fn take(world: &World) -> Self {
        let name = world.operator.env.get("TABLE").unwrap();
        let mut pages = world.operator.dynamodb().scan().table_name(name).into_paginator().items().send();
        let mut items = BTreeMap::new();
        while let Some(item) = pages.next().await {
            let item = item.unwrap();
            let key = ["PK", "SK"].map(|name| item[name].as_s().unwrap().clone());
            items.insert(key, item);
        }
        Self { items, next_message: world.stack.sqs.next_visible_at().unwrap() }
    }
}

/// Asserts that since `before` nothing was written, sent or called, and that the books hold.
async fn assert_unchanged(world: &World, before: &Snapshot) {
    assert_eq!(*before, Snapshot::take(world).await);
    let reads = ["GetItem", "BatchGetItem", "Query"];
    let calls = world.wire.calls();
    assert!(calls.iter().all(|call| reads.contains(&call.as_str())), "{calls:?}");
    world.audit().await;
}

/// The answer in the document that a function gives to API Gateway.
fn gateway_answer(document: &Value) -> Answer {
    let status = document["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap();
    let headers = document["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.as_str().unwrap().parse().unwrap()));
    Answer {
        status: status.try_into().unwrap(),
        headers: headers.collect(),
        body: serde_json::from_str(document["body"].as_str().unwrap_or_default()).unwrap_or_default(),
    }
}
