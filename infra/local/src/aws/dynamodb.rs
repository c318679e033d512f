//! An AWS-compatible DynamoDB, embedded.

mod serve;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use dynoxide::{Database, DynoxideError};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sim::guard::guarded;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What of a table's declaration means something here. The rest (backups,
/// alarms, encryption) only means something in an account.
const TABLE_PROPERTIES: [&str; 7] = [
    "TableName",
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "BillingMode",
    "ProvisionedThroughput",
];

/// A DynamoDB on a loopback port. Clones are handles to the same one.
///
/// # Guarantees
///
/// - Every write that was answered survives the end of this process, however
///   it ends, if there is a file. (A power cut may take the last few.)
/// - Conditional writes and transactions are exact under concurrency.
///
/// Reads are always strongly consistent, there is no throttling and no
/// transaction conflict, and credentials are not looked at. Requests of web pages are refused.
#[derive(Clone)]
pub struct DynamoDb {
    database: Database,
    address: SocketAddr,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").field("address", &self.address).finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// Serves on `listener` until `shutdown`, from `file` (created with its
    /// folder where absent), or from memory alone.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub async fn start(
        listener: TcpListener,
        file: Option<&Path>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let database = match file {
            Some(file) => {
                open(file).await.with_context(|| format!("tables could not be opened: {}", file.display()))?
            }
            None => Database::memory()?,
        };
        let address = listener.local_addr()?;
        let router = guarded(serve::router(database.clone()), None, Vec::new());
        tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!(%error, "the local DynamoDB stopped");
            }
        });
        Ok(Self { database, address })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Creates the table if it is absent, and switches its TTL on.
    ///
    /// `properties` are those of an `AWS::DynamoDB::Table`, with `TableName`.
    ///
    /// # Errors
    ///
    /// If the properties are not valid, or if the table is there with other
    /// keys or indexes than these.
    pub fn ensure_table(&self, properties: &Value) -> anyhow::Result<()> {
        let name = properties["TableName"].as_str().context("a table without a TableName")?;
        let known: Map<String, Value> = TABLE_PROPERTIES
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), properties.get(key)?.clone())))
            .collect();
        match self.database.create_table(read(Value::Object(known))?) {
            Ok(_) => {}
            Err(DynoxideError::ResourceInUseException(_)) => self.require_same_shape(name, properties)?,
            Err(error) => return Err(error).with_context(|| format!("table {name} could not be created")),
        }
        if let Some(ttl) = properties.get("TimeToLiveSpecification") {
            let request = read(json!({ "TableName": name, "TimeToLiveSpecification": ttl }))?;
            self.database
                .update_time_to_live(request)
                .with_context(|| format!("table {name} refused its TTL"))?;
        }
        Ok(())
    }

    /// Deletes every item whose TTL lies before `now_secs` (Unix seconds), and
    /// returns their number. Nothing else deletes them: the stack calls this on a timer.
    ///
    /// Blocks while it reads all tables, a page at a time.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written.
    pub fn sweep_ttl(&self, now_secs: i64) -> anyhow::Result<usize> {
        let tables = self.database.list_tables(read(json!({}))?)?;
        let mut deleted = 0;
        for table in tables.table_names {
            let ttl = self.database.describe_time_to_live(read(json!({ "TableName": &table }))?)?;
            if let Some(attribute) = ttl.time_to_live_description.attribute_name {
                deleted += self
                    .sweep_table(&table, &attribute, now_secs)
                    .with_context(|| format!("table {table} could not be swept"))?;
            }
        }
        Ok(deleted)
    }

    // The crate's own sweep of a file uses the system clock only.
    fn sweep_table(&self, table: &str, ttl: &str, now_secs: i64) -> anyhow::Result<usize> {
        let keys: Vec<String> = rows(&self.describe(table)?["KeySchema"])
            .filter_map(|key| key["AttributeName"].as_str().map(str::to_owned))
            .collect();
        let expired = json!({
            "TableName": table,
            "FilterExpression": "#ttl < :now",
            "ExpressionAttributeNames": { "#ttl": ttl },
            "ExpressionAttributeValues": { ":now": { "N": now_secs.to_string() } },
        });
        let (mut deleted, mut page) = (0, expired.clone());
        loop {
            let found = serde_json::to_value(self.database.scan(read(page)?)?)?;
            for item in rows(&found["Items"]) {
                let mut delete = expired.clone();
                // On condition: it may have been given more time since the scan.
                delete["ConditionExpression"] = delete["FilterExpression"].take();
                delete["Key"] = keys.iter().map(|key| (key.clone(), item[key].clone())).collect();
                match self.database.delete_item(read(delete)?) {
                    Ok(_) => deleted += 1,
                    Err(DynoxideError::ConditionalCheckFailedException(..)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let Some(last) = found.get("LastEvaluatedKey") else { return Ok(deleted) };
            page = expired.clone();
            page["ExclusiveStartKey"] = last.clone();
        }
    }

    fn require_same_shape(&self, name: &str, properties: &Value) -> anyhow::Result<()> {
        if shape(&self.describe(name)?) != shape(properties) {
            bail!("table {name} was made with other keys or indexes; remove the local data to start afresh");
        }
        Ok(())
    }

    fn describe(&self, table: &str) -> anyhow::Result<Value> {
        let answer = self.database.describe_table(read(json!({ "TableName": table }))?)?;
        Ok(serde_json::to_value(answer)?["Table"].take())
    }
}

async fn open(file: &Path) -> anyhow::Result<Database> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let database = Database::new(file.to_str().context("the path is not Unicode")?)?;
    // Leaves SQLite at `synchronous = NORMAL`, the crate's only setting for it:
    // no write waits for the disk, and only a power cut can undo one.
    database.disable_bulk_loading()?;
    Ok(database)
}

fn read<T: DeserializeOwned>(request: Value) -> anyhow::Result<T> {
    Ok(serde_json::from_value(request)?)
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A table's keys and its indexes with theirs.
fn shape(table: &Value) -> (&Value, Vec<(Option<&str>, &Value)>) {
    let mut indexes: Vec<_> = rows(&table["GlobalSecondaryIndexes"])
        .chain(rows(&table["LocalSecondaryIndexes"]))
        .map(|index| (index["IndexName"].as_str(), &index["KeySchema"]))
        .collect();
    indexes.sort_by_key(|(name, _)| *name);
    (&table["KeySchema"], indexes)
}
