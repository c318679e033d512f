//! Rows of jobs that no release can read. They are due like others.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::id::JobId;
use shared::store::keys::{self, CHECK_AT, DUE_SHARD, PK, SK};

use crate::world::World;

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// The ids of so many such rows, all of one shard.
pub(super) fn ids(count: usize) -> Vec<JobId> {
    let ids = (0..=u16::MAX).map(|n| {
        let mut bytes = [0xee; 16];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        JobId::from_bytes(bytes)
    });
    ids.filter(|id| keys::shard(id) == 0).take(count).collect()
}

#[expect(clippy::disallowed_methods, reason = "what is spoilt is written past the store")]
pub(super) async fn put(world: &World, ids: &[JobId]) {
    let table = world.operator.env.get("TABLE").unwrap_or_default();
    for id in ids {
        let put = world.operator.dynamodb().put_item().table_name(table);
        let put = put.item(PK, text(keys::job(id))).item(SK, text(keys::JOB));
        let put = put.item(DUE_SHARD, text(keys::due_shard(0)));
        let put = put.item(CHECK_AT, AttributeValue::N(world.clock.now().as_millis().to_string()));
        let put = put.item("id", text(id.as_str())).item("attempts", text("junk"));
        put.send().await.expect("the row is put");
    }
}

#[expect(clippy::disallowed_methods, reason = "as for `put`")]
pub(super) async fn remove(world: &World, ids: &[JobId]) {
    let table = world.operator.env.get("TABLE").unwrap_or_default();
    for id in ids {
        let delete = world.operator.dynamodb().delete_item().table_name(table);
        let delete = delete.key(PK, text(keys::job(id))).key(SK, text(keys::JOB));
        delete.send().await.expect("the row is removed");
    }
}
