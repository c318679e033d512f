//! The audit: that it sees each thing that can be wrong, and nothing where all is right.

mod busy;
mod events;
mod rows;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::id::JobId;
use domain::job::State;
use harness::World;
use serde_json::json;
use shared::store::keys::{PK, SK};

type Item = HashMap<String, AttributeValue>;

/// A world with a job in each kind of state, all of them right.
struct Cast {
    world: World,
    succeeded: JobId,
    failed: JobId,
    canceled: JobId,
    live: JobId,
}

impl Cast {
    async fn new() -> Self {
        let world = World::new().await;
        let succeeded = world.submit("pika-2.2", "a boat", "succeeded").await;
        let failed = world.submit("pika-2.2", "a boat [[sim: fail=content_policy]]", "failed").await;
        let canceled = world.submit("pika-2.2", "a boat [[sim: latency=60]]", "canceled").await;
        world.drain().await;
        world.cancel(&canceled).await;
        for id in [&succeeded, &failed, &canceled] {
            world.finish(id).await;
        }
        let live = world.submit("pika-2.2", "a boat [[sim: latency=600]]", "live").await;
        world.drain().await;
        let states = [&succeeded, &failed, &canceled, &live].map(|id| world.state(id));
        let states = futures_util::future::join_all(states).await;
        assert_eq!(states, [State::Succeeded, State::Failed, State::Canceled, State::Running]);
        world.audit().await;
        Self { world, succeeded, failed, canceled, live }
    }

    /// What the audit finds while an item is changed; the item is put back then.
    async fn while_changed(&self, pk: &str, sk: &str, change: impl FnOnce(&mut Item)) -> Vec<String> {
        let before = item(&self.world, pk, sk).await.unwrap_or_else(|| panic!("{pk} {sk} is there"));
        let mut changed = before.clone();
        change(&mut changed);
        put(&self.world, changed).await;
        let found = violations(&self.world).await;
        put(&self.world, before).await;
        found
    }

    /// What the audit finds while an item is missing.
    async fn without(&self, pk: &str, sk: &str) -> Vec<String> {
        let before = item(&self.world, pk, sk).await.unwrap_or_else(|| panic!("{pk} {sk} is there"));
        remove(&self.world, pk, sk).await;
        let found = violations(&self.world).await;
        put(&self.world, before).await;
        found
    }
}

async fn violations(world: &World) -> Vec<String> {
    world.inspect().await.violations.iter().map(ToString::to_string).collect()
}

async fn item(world: &World, pk: &str, sk: &str) -> Option<Item> {
    let get = world.operator.dynamodb().get_item().table_name(table_name(world)).consistent_read(true);
    get.key(PK, text(pk)).key(SK, text(sk)).send().await.expect("the table answers").item
}

#[expect(clippy::disallowed_methods, reason = "a test spoils an item")]
async fn put(world: &World, item: Item) {
    let put = world.operator.dynamodb().put_item().table_name(table_name(world));
    put.set_item(Some(item)).send().await.expect("the item is put");
}

#[expect(clippy::disallowed_methods, reason = "a test removes an item")]
async fn remove(world: &World, pk: &str, sk: &str) {
    let delete = world.operator.dynamodb().delete_item().table_name(table_name(world));
    delete.key(PK, text(pk)).key(SK, text(sk)).send().await.expect("the item is removed");
}

fn table_name(world: &World) -> &str {
    world.operator.env.get("TABLE").expect("the operator knows the table")
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn list<'a>(item: &'a mut Item, name: &str) -> &'a mut Vec<AttributeValue> {
    match item.get_mut(name) {
        Some(AttributeValue::L(list)) => list,
        other => panic!("{name} is no list: {other:?}"),
    }
}

fn map(value: &mut AttributeValue) -> &mut Item {
    match value {
        AttributeValue::M(map) => map,
        other => panic!("no map: {other:?}"),
    }
}

/// The job's first attempt.
fn attempt(job: &mut Item) -> &mut Item {
    map(&mut list(job, "attempts")[0])
}

/// The body of a submit.
fn order(prompt: &str) -> serde_json::Value {
    json!({"model": "pika-2.2", "prompt": prompt})
}
