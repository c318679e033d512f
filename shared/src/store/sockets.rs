//! Tickets and connections of WebSocket clients.
//!
//! A connection is two items: one among those of its endpoint, which a delivery reads consistently, and one by its
//! own id, which is all that API Gateway names.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{Delete, Put, ReturnValue, TransactWriteItem};
use domain::id::{EndpointId, JobId};
use domain::socket::{CONNECTION_FOR, Connection, Subscriber};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::item::{Item, from_item, key, number, number_of, text, to_item};
use super::keys::{self, EXPIRES_AT};
use super::{Error, Table};

/// The tickets and connections of all endpoints.
#[derive(Debug, Clone)]
pub struct Sockets {
    table: Table,
}

/// A connection, among those of its endpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    id: String,
    #[serde(flatten)]
    subscriber: Subscriber,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watched: Option<Vec<JobId>>,
}

impl Sockets {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// Adds a ticket.
    #[expect(clippy::disallowed_methods, reason = "a random name: there is nothing to overwrite")]
    pub async fn put_ticket(&self, ticket: &str, of: &Subscriber, until: Timestamp) -> Result<(), Error> {
        let doing = format!("write a ticket of {}", of.endpoint);
        let mut item = to_item(&doing, of)?;
        item.extend(ticket_key(ticket));
        item.insert(EXPIRES_AT.to_owned(), number(until.as_secs()));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        put.send().await.map(|_| ()).map_err(|source| Error::sdk(doing, source))
    }

    /// Uses up a ticket. `None` if there is none, it has expired, or it was used before.
    #[expect(clippy::disallowed_methods, reason = "the one write that uses a ticket, once")]
    pub async fn take_ticket(&self, ticket: &str, now: Timestamp) -> Result<Option<Subscriber>, Error> {
        let doing = "use a ticket";
        let delete = self.table.client.delete_item().table_name(&self.table.name);
        let delete = delete
            .set_key(Some(ticket_key(ticket)))
            .condition_expression("attribute_exists(PK)")
            .return_values(ReturnValue::AllOld);
        let item = match delete.send().await {
            Ok(deleted) => deleted.attributes.unwrap_or_default(),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => return Ok(None),
                _ => return Err(Error::sdk(doing, error)),
            },
        };
        let until = number_of::<i64>(&item, EXPIRES_AT).unwrap_or(0);
        if until <= now.as_secs() {
            return Ok(None);
        }
        from_item(doing, item).map(Some)
    }

    /// The connections of an endpoint that have not expired.
    pub async fn of_endpoint(&self, endpoint: &EndpointId, now: Timestamp) -> Result<Vec<Connection>, Error> {
        let doing = format!("list the connections of {endpoint}");
        let query = self.table.client.query().table_name(&self.table.name).consistent_read(true);
        let answer = query
            .key_condition_expression("PK = :pk")
            .filter_expression("expires_at > :now")
            .expression_attribute_values(":pk", text(keys::sockets(endpoint)))
            .expression_attribute_values(":now", number(now.as_secs()))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        let rows = answer.items.unwrap_or_default().into_iter();
        let rows = rows.map(|item| from_item::<Row>(&doing, item).map(Connection::from));
        rows.collect()
    }

    /// Adds a connection.
    #[expect(clippy::disallowed_methods, reason = "the one write that adds a connection")]
    pub async fn connect(&self, connection: &Connection, now: Timestamp) -> Result<(), Error> {
        let doing = format!("add a connection of {}", connection.subscriber.endpoint);
        let mut by_id = to_item(&doing, &connection.subscriber)?;
        by_id.extend(id_key(&connection.id));
        let mut row = to_item(&doing, &Row::from(connection.clone()))?;
        row.extend(row_key(&connection.subscriber.endpoint, &connection.id));
        let writes = [by_id, row].map(|mut item| {
            item.insert(EXPIRES_AT.to_owned(), number((now + CONNECTION_FOR).as_secs()));
            let put = Put::builder().table_name(&self.table.name).set_item(Some(item));
            TransactWriteItem::builder().put(put.build().expect("table and item are set")).build()
        });
        let transact = self.table.client.transact_write_items().set_transact_items(Some(writes.into()));
        transact.send().await.map(|_| ()).map_err(|source| Error::sdk(doing, source))
    }

    /// The endpoint of a connection. `None` if it is not known any more.
    pub async fn subscriber(&self, connection: &str) -> Result<Option<Subscriber>, Error> {
        let doing = "read a connection";
        let get = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = get.set_key(Some(id_key(connection))).send().await;
        let item = answer.map_err(|source| Error::sdk(doing, source))?.item;
        item.map(|item| from_item(doing, item)).transpose()
    }

    /// Sets which jobs a connection watches. `false` if it is not known any more.
    #[expect(clippy::disallowed_methods, reason = "the one write that changes a connection")]
    pub async fn watch(&self, connection: &Connection) -> Result<bool, Error> {
        let doing = format!("change a connection of {}", connection.subscriber.endpoint);
        let update = self.table.client.update_item().table_name(&self.table.name);
        let update = update
            .set_key(Some(row_key(&connection.subscriber.endpoint, &connection.id)))
            .condition_expression("attribute_exists(PK)");
        let update = match to_item(&doing, &Row::from(connection.clone()))?.remove("watched") {
            Some(jobs) => {
                update.update_expression("SET watched = :jobs").expression_attribute_values(":jobs", jobs)
            }
            None => update.update_expression("REMOVE watched"),
        };
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(Error::sdk(doing, error)),
            },
        }
    }

    /// Removes a connection. A repeat changes nothing.
    #[expect(clippy::disallowed_methods, reason = "the one write that removes a connection")]
    pub async fn disconnect(&self, endpoint: &EndpointId, connection: &str) -> Result<(), Error> {
        let doing = format!("remove a connection of {endpoint}");
        let writes = [id_key(connection), row_key(endpoint, connection)].map(|key| {
            let delete = Delete::builder().table_name(&self.table.name).set_key(Some(key));
            TransactWriteItem::builder().delete(delete.build().expect("table and key are set")).build()
        });
        let transact = self.table.client.transact_write_items().set_transact_items(Some(writes.into()));
        transact.send().await.map(|_| ()).map_err(|source| Error::sdk(doing, source))
    }
}

fn ticket_key(ticket: &str) -> Item {
    key(keys::ticket(ticket), keys::TICKET)
}

fn id_key(connection: &str) -> Item {
    key(keys::socket(connection), keys::SOCKET)
}

fn row_key(endpoint: &EndpointId, connection: &str) -> Item {
    key(keys::sockets(endpoint), keys::socket(connection))
}

impl From<Row> for Connection {
    fn from(Row { id, subscriber, watched }: Row) -> Self {
        Self { id, subscriber, watched }
    }
}

impl From<Connection> for Row {
    fn from(Connection { id, subscriber, watched }: Connection) -> Self {
        Self { id, subscriber, watched }
    }
}
