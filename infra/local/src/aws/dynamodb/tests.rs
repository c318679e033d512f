#![expect(clippy::disallowed_methods, reason = "these test the wire, not the store")]

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use tokio::task::JoinSet;

use super::*;

const TABLE: &str = "state";

async fn start(file: Option<&Path>) -> (DynamoDb, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tables = DynamoDb::start(listener, file, CancellationToken::new()).await.unwrap();
    tables.ensure_table(&properties()).unwrap();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(tables.url())
        .build();
    (tables, Client::from_conf(config))
}

fn properties() -> Value {
    let attributes =
        ["PK", "SK", "due", "at"].map(|name| json!({ "AttributeName": name, "AttributeType": "S" }));
    json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": attributes,
        "KeySchema": keys("PK", "SK"),
        "GlobalSecondaryIndexes": [{
            "IndexName": "due", "KeySchema": keys("due", "at"), "Projection": { "ProjectionType": "ALL" },
        }],
        "TimeToLiveSpecification": { "AttributeName": "expires_at", "Enabled": true },
        "PointInTimeRecoverySpecification": { "PointInTimeRecoveryEnabled": true },
    })
}

fn keys(partition: &str, sort: &str) -> Value {
    json!([{ "AttributeName": partition, "KeyType": "HASH" }, { "AttributeName": sort, "KeyType": "RANGE" }])
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

type Item = HashMap<String, AttributeValue>;

fn item(key: &str) -> Item {
    HashMap::from([("PK".to_owned(), text(key)), ("SK".to_owned(), text("ROW"))])
}

fn with(mut item: Item, name: &str, value: AttributeValue) -> Item {
    item.insert(name.to_owned(), value);
    item
}

async fn put(client: &Client, item: Item) {
    client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
}

async fn get(client: &Client, key: &str) -> Option<Item> {
    client.get_item().table_name(TABLE).set_key(Some(item(key))).send().await.unwrap().item
}

fn create(item: Item) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(TABLE)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(PK)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    TransactWriteItem::builder().put(put.build().unwrap()).build()
}

fn decrement(key: &str) -> TransactWriteItem {
    let update = Update::builder()
        .table_name(TABLE)
        .set_key(Some(item(key)))
        .update_expression("SET balance = balance - :one")
        .condition_expression("balance >= :one")
        .expression_attribute_values(":one", number(1));
    TransactWriteItem::builder().update(update.build().unwrap()).build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_parallel_decrements_a_balance_of_40_admits_exactly_40() {
    let (_tables, client) = start(None).await;
    put(&client, with(item("A"), "balance", number(40))).await;
    let mut racers = JoinSet::new();
    for racer in 0..64 {
        let charge = client
            .transact_write_items()
            .transact_items(decrement("A"))
            .transact_items(create(item(&format!("ENTRY#{racer}"))));
        racers.spawn(async move { charge.send().await.is_ok() });
    }
    let admitted = racers.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 40);
    assert_eq!(get(&client, "A").await.unwrap()["balance"], number(0));
    let entries = client.scan().table_name(TABLE).send().await.unwrap().count - 1;
    assert_eq!(entries, 40);
}

#[tokio::test]
async fn a_canceled_transaction_names_each_reason_shows_the_old_item_and_writes_nothing() {
    let (_tables, client) = start(None).await;
    put(&client, with(item("OLD"), "owner", text("first"))).await;
    put(&client, with(item("EMPTY"), "balance", number(0))).await;
    let canceled = client
        .transact_write_items()
        .transact_items(create(item("NEW")))
        .transact_items(create(with(item("OLD"), "owner", text("second"))))
        .transact_items(decrement("EMPTY"))
        .transact_items(create(item("NEWER")))
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = canceled else {
        panic!("{canceled:?}")
    };
    let reasons = canceled.cancellation_reasons();
    let codes: Vec<_> = reasons.iter().map(|reason| reason.code().unwrap()).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed", "ConditionalCheckFailed", "None"]);
    assert_eq!(reasons[1].item().unwrap()["owner"], text("first"));
    assert_eq!((get(&client, "NEW").await, get(&client, "NEWER").await), (None, None));
}

#[tokio::test]
async fn a_put_of_an_existing_key_fails_with_the_old_item() {
    let (_tables, client) = start(None).await;
    put(&client, with(item("A"), "owner", text("first"))).await;
    let refused = client
        .put_item()
        .table_name(TABLE)
        .set_item(Some(with(item("A"), "owner", text("second"))))
        .condition_expression("attribute_not_exists(PK)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    let PutItemError::ConditionalCheckFailedException(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.item().unwrap()["owner"], text("first"));
}

#[tokio::test]
async fn an_index_lists_in_order_only_the_items_that_have_its_key() {
    let (_tables, client) = start(None).await;
    put(&client, item("DONE")).await;
    for (key, at) in [("LATE", "2"), ("EARLY", "1")] {
        put(&client, with(with(item(key), "due", text("DUE#0")), "at", text(at))).await;
    }
    let due = client
        .query()
        .table_name(TABLE)
        .index_name("due")
        .key_condition_expression("due = :shard")
        .expression_attribute_values(":shard", text("DUE#0"));
    let due = due.send().await.unwrap().items.unwrap();
    let keys: Vec<_> = due.iter().map(|item| item["PK"].as_s().unwrap().as_str()).collect();
    assert_eq!(keys, ["EARLY", "LATE"]);
}

#[tokio::test]
async fn a_sweep_deletes_only_items_that_expired_before_the_given_time() {
    let (tables, client) = start(None).await;
    put(&client, with(item("OLD"), "expires_at", number(999))).await;
    put(&client, with(item("NEW"), "expires_at", number(1_000))).await;
    put(&client, with(item("WORDS"), "expires_at", text("1"))).await;
    put(&client, item("FOREVER")).await;
    // More than the megabyte that one page holds.
    for fat in 0..4 {
        let item = with(item(&format!("FAT#{fat}")), "expires_at", number(1));
        put(&client, with(item, "padding", text(&"x".repeat(350_000)))).await;
    }
    assert_eq!(tables.sweep_ttl(1_000).unwrap(), 5);
    assert_eq!(tables.sweep_ttl(1_000).unwrap(), 0);
    assert_eq!(get(&client, "OLD").await, None);
    for kept in ["NEW", "WORDS", "FOREVER"] {
        assert!(get(&client, kept).await.is_some(), "{kept}");
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (_tables, client) = start(Some(&folder.path().join("live/state.db"))).await;
    put(&client, with(item("A"), "balance", number(40))).await;
    // What lies on disk while the first instance still runs is what a kill leaves.
    let left = folder.path().join("left");
    std::fs::create_dir(&left).unwrap();
    for file in ["state.db", "state.db-wal"] {
        std::fs::copy(folder.path().join("live").join(file), left.join(file)).unwrap();
    }
    let (_tables, client) = start(Some(&left.join("state.db"))).await;
    assert_eq!(get(&client, "A").await.unwrap()["balance"], number(40));
}

#[tokio::test]
async fn a_table_that_is_there_is_kept_but_not_with_other_indexes() {
    let (tables, client) = start(None).await;
    put(&client, item("A")).await;
    tables.ensure_table(&properties()).unwrap();
    assert!(get(&client, "A").await.is_some());
    let mut other = properties();
    other["GlobalSecondaryIndexes"][0]["IndexName"] = json!("account");
    assert!(tables.ensure_table(&other).unwrap_err().to_string().contains("other keys or indexes"));
}
