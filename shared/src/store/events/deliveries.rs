//! Deliveries: one item for each event and endpoint.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{EventStore, due, event_of};
use crate::store::Error;
use crate::store::item::{Item, from_item, key, number, number_of, text, text_of, to_item};
use crate::store::keys::{self, EXPIRES_AT, SK};
use crate::store::read::Page;
use domain::delivery::{Delivery, Status};
use domain::event::{Event, KEPT_S};
use domain::id::{AccountId, EndpointId, EventId};
use domain::time::Timestamp;

/// Who wrote this version: a random number.
const WRITER: &str = "writer";

impl EventStore {
    /// Adds a delivery, unless the event has one for this endpoint.
    #[expect(clippy::disallowed_methods, reason = "the one write that adds a delivery")]
    pub async fn put_delivery(&self, delivery: &Delivery) -> Result<(), Error> {
        let doing = format!("write the delivery of event {}", delivery.event);
        let put = self.table.client.put_item().table_name(&self.table.name);
        let sent = put
            .set_item(Some(delivery_item(&doing, delivery)?))
            .condition_expression("attribute_not_exists(PK)")
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(Error::sdk(doing, error)),
        }
    }

    /// Replaces a delivery by its next version. `false` if another write was faster.
    #[expect(clippy::disallowed_methods, reason = "the one write that changes a delivery")]
    pub async fn replace_delivery(&self, next: &Delivery) -> Result<bool, Error> {
        let doing = format!("write version {} of a delivery of event {}", next.version, next.event);
        let put = self.table.client.put_item().table_name(&self.table.name);
        let mut item = delivery_item(&doing, next)?;
        // Two functions that decide at the same moment write equal versions otherwise.
        let writer = getrandom::u64().map_err(|source| Error::failed(&doing, source))?;
        item.insert(WRITER.to_owned(), number(writer));
        let sent = put
            .set_item(Some(item))
            .condition_expression("#version = :before")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":before", number(next.version - 1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = sent else { return Ok(true) };
        match error.as_service_error() {
            Some(aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                found,
            )) => {
                // The SDK repeats a call whose answer was lost: this may be our own write.
                let is_own = found.item.as_ref().and_then(|item| number_of(item, WRITER)) == Some(writer);
                Ok(is_own)
            }
            _ => Err(Error::sdk(doing, error)),
        }
    }

    pub async fn delivery(&self, event: &EventId, endpoint: &EndpointId) -> Result<Option<Delivery>, Error> {
        let doing = format!("read the delivery of event {event} to {endpoint}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read
            .set_key(Some(key(keys::event(event), keys::delivery(endpoint))))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        answer.item.map(|item| from_item(&doing, item)).transpose()
    }

    /// An event with its deliveries, read consistently.
    pub async fn with_deliveries(&self, id: &EventId) -> Result<Option<(Event, Vec<Delivery>)>, Error> {
        let doing = format!("read event {id} with its deliveries");
        let query = self.table.client.query().table_name(&self.table.name).consistent_read(true);
        let mut pages = query
            .key_condition_expression("PK = :pk")
            .expression_attribute_values(":pk", text(keys::event(id)))
            .into_paginator()
            .items()
            .send();
        let (mut event, mut deliveries) = (None, Vec::new());
        while let Some(item) = pages.next().await {
            let item = item.map_err(|source| Error::sdk(&doing, source))?;
            match text_of(&item, SK) {
                Some(keys::EVENT) => event = Some(from_item(&doing, item)?),
                _ => deliveries.push(from_item(&doing, item)?),
            }
        }
        Ok(event.map(|event| (event, deliveries)))
    }

    /// An endpoint's deliveries, newest first, from before `cursor`.
    pub async fn deliveries(
        &self,
        account: &AccountId,
        endpoint: &EndpointId,
        limit: i32,
        cursor: Option<(Timestamp, EventId)>,
    ) -> Result<Page<Delivery, EventId>, Error> {
        let doing = format!("list the deliveries to {endpoint}");
        let cursor = cursor.map(|(at, event)| (at, key(keys::event(&event), keys::delivery(endpoint))));
        let of = keys::deliveries(account, endpoint);
        let page = self.table.newest_items(&doing, &of, limit, cursor, event_of).await?;
        page.parsed(|item| from_item(&doing, item))
    }
}

fn delivery_item(doing: &str, delivery: &Delivery) -> Result<Item, Error> {
    let mut item = to_item(doing, delivery)?;
    item.extend(key(keys::event(&delivery.event), keys::delivery(&delivery.endpoint)));
    let of = keys::deliveries(&delivery.account, &delivery.endpoint);
    item.insert(keys::ACCOUNT_KEY.to_owned(), text(of));
    item.insert(EXPIRES_AT.to_owned(), number(delivery.created_at.as_secs() + KEPT_S));
    if delivery.status == Status::Pending {
        let grace = if delivery.claimed { Duration::ZERO } else { due::UNSENT };
        due::add(&mut item, &delivery.event, delivery.next_at + grace);
    }
    Ok(item)
}
