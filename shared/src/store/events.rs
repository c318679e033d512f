//! Events and their deliveries. An event is put in the transaction that makes it true; both have a
//! `check_at` in the due index until they are done.

mod deliveries;
mod due;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

use super::item::{Item, from_item, key, number, text, text_of, to_item};
use super::keys::{self, CHECK_AT, EXPIRES_AT, PK};
use super::read::Page;
use super::{Error, Table};
use domain::event::Event;
use domain::id::{AccountId, EventId};
use domain::time::Timestamp;

pub use due::{DueEvent, What};

/// The events of the table.
#[derive(Debug, Clone)]
pub struct EventStore {
    table: Table,
}

/// The write that adds an event. It is due at once: the message about it may be lost.
pub(super) fn event_put(table: &Table, event: &Event) -> Result<TransactWriteItem, Error> {
    let item = event_item(&format!("write event {}", event.id), event)?;
    let put = Put::builder().table_name(&table.name).set_item(Some(item));
    let put = put.condition_expression("attribute_not_exists(PK)").build().expect("table and item are set");
    Ok(TransactWriteItem::builder().put(put).build())
}

fn event_item(doing: &str, event: &Event) -> Result<Item, Error> {
    let mut item = to_item(doing, event)?;
    item.extend(key(keys::event(&event.id), keys::EVENT));
    item.insert(EXPIRES_AT.to_owned(), number(event.expires_at()));
    due::add(&mut item, &event.id, event.created_at + due::UNSENT);
    Ok(item)
}

/// The event in a key.
fn event_of(key: &Item) -> Option<EventId> {
    keys::parse_event(text_of(key, PK)?)
}

impl EventStore {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// The event and whether it has its deliveries, read consistently.
    pub async fn get(&self, id: &EventId) -> Result<Option<(Event, bool)>, Error> {
        let doing = format!("read event {id}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read
            .set_key(Some(key(keys::event(id), keys::EVENT)))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        let Some(item) = answer.item else { return Ok(None) };
        let is_fanned_out = !item.contains_key(CHECK_AT);
        Ok(Some((from_item(&doing, item)?, is_fanned_out)))
    }

    /// Adds an event that belongs to no other write. `false` if it exists.
    #[expect(clippy::disallowed_methods, reason = "the one write of an event that stands alone")]
    pub async fn put(&self, event: &Event) -> Result<bool, Error> {
        let doing = format!("write event {}", event.id);
        let put = self.table.client.put_item().table_name(&self.table.name);
        let sent = put
            .set_item(Some(event_item(&doing, event)?))
            .condition_expression("attribute_not_exists(PK)")
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::sdk(doing, error)),
        }
    }

    /// Records the body of an event whose deliveries are written, lists it, and takes it out of the due
    /// index. The first body stays.
    #[expect(clippy::disallowed_methods, reason = "the one write that completes an event")]
    pub async fn fanned_out(&self, event: &Event, body: &str) -> Result<(), Error> {
        let sent = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::event(&event.id), keys::EVENT)))
            .update_expression(
                "SET #body = if_not_exists(#body, :body), account_key = :account REMOVE check_at, due_shard",
            )
            .condition_expression("attribute_exists(check_at)")
            .expression_attribute_names("#body", "body")
            .expression_attribute_values(":body", text(body))
            .expression_attribute_values(":account", text(keys::events(&event.account)))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // Another run was faster.
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(Error::sdk(format!("complete event {}", event.id), error)),
            },
        }
    }

    /// An account's events, newest first, from before `cursor`.
    pub async fn list(
        &self,
        account: &AccountId,
        limit: i32,
        cursor: Option<(Timestamp, EventId)>,
    ) -> Result<Page<Event, EventId>, Error> {
        let doing = format!("list the events of {account}");
        let cursor = cursor.map(|(at, id)| (at, key(keys::event(&id), keys::EVENT)));
        let page = self.table.newest_items(&doing, &keys::events(account), limit, cursor, event_of).await?;
        page.parsed(|item| from_item(&doing, item))
    }
}
