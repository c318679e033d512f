//! Many jobs in the table, without the time that it takes to make them.

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use domain::id::JobId;
use futures_util::{StreamExt, stream};
use shared::store::keys;

use crate::world::World;

type Item = std::collections::HashMap<String, AttributeValue>;

/// The items that one call writes, at most.
const BATCH: usize = 25;
const AT_ONCE: usize = 8;

/// Writes so many copies of an ended job of this world, each under an id of its own; every second one is active
/// again, and due in a year.
#[expect(clippy::disallowed_methods, reason = "copies of rows that the store has written")]
pub async fn add(world: &World, job: &JobId, copies: usize) {
    let items = items_of(world, job).await;
    let job_items = items.len();
    assert!(job_items >= 3, "a job, its request and its charge");
    let copy = |number: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let id = JobId::from_bytes(bytes);
        let (job, is_active) = (job.clone(), number % 2 == 1);
        items.clone().into_iter().map(move |mut item| {
            item.values_mut().for_each(|value| rename(value, job.as_str(), id.as_str()));
            if is_active && matches!(&item["SK"], AttributeValue::S(sk) if sk == keys::JOB) {
                let (shard, year) = (keys::due_shard(keys::shard(&id)), 365 * 24 * 3_600_000);
                let due = world.clock.now().as_millis() + year;
                item.insert("state".to_owned(), AttributeValue::S("running".to_owned()));
                item.insert(keys::DUE_SHARD.to_owned(), AttributeValue::S(shard));
                item.insert(keys::CHECK_AT.to_owned(), AttributeValue::N(due.to_string()));
            }
            item
        })
    };
    let all = (0..copies).flat_map(copy).map(|item| {
        let put = PutRequest::builder().set_item(Some(item)).build().expect("an item");
        WriteRequest::builder().put_request(put).build()
    });
    let (client, name) = (world.operator.dynamodb(), table(world));
    let write = |batch: Vec<WriteRequest>| {
        let write = client.batch_write_item().request_items(name, batch);
        async move { write.send().await.expect("the table takes it") }
    };
    stream::iter(all).chunks(BATCH).map(write).buffer_unordered(AT_ONCE).for_each(async |_written| {}).await;
}

fn table(world: &World) -> &str {
    world.operator.env.get("TABLE").unwrap_or_default()
}

/// The items that are a job's own.
async fn items_of(world: &World, job: &JobId) -> Vec<Item> {
    let scan = world.operator.dynamodb().scan().table_name(table(world));
    let all = scan.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.expect("the table");
    let names_it =
        |value: &AttributeValue| matches!(value, AttributeValue::S(text) if text.contains(job.as_str()));
    all.into_iter().filter(|item| names_it(&item["PK"]) || names_it(&item["SK"])).collect()
}

fn rename(value: &mut AttributeValue, from: &str, to: &str) {
    match value {
        AttributeValue::S(text) => *text = text.replace(from, to),
        AttributeValue::L(list) => list.iter_mut().for_each(|value| rename(value, from, to)),
        AttributeValue::M(map) => map.values_mut().for_each(|value| rename(value, from, to)),
        _ => {}
    }
}
