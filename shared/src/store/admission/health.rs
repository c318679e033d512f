//! Health of the providers.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use futures_util::future::try_join_all;

use super::super::Error;
use super::super::events::event_put;
use super::super::item::{Item, from_item, key, number, text, text_of, to_item};
use super::super::keys::{self, PK};
use super::AdmissionStore;
use domain::event::Event;
use domain::policy::health::{CHANGES_KEPT_S, Change, Gauge};
use domain::provider::Provider;

impl AdmissionStore {
    /// The health of these providers; one that was never written is absent.
    pub async fn health(&self, providers: &[Provider]) -> Result<BTreeMap<Provider, Gauge>, Error> {
        let doing = "read the health of the providers";
        let keys = providers.iter().map(|provider| key(keys::gauge(*provider), keys::HEALTH)).collect();
        let mut gauges = BTreeMap::new();
        for item in self.table.batch_get(doing, keys).await? {
            let name = text_of(&item, PK).unwrap_or_default().to_owned();
            let provider = providers.iter().find(|provider| keys::gauge(**provider) == name);
            if let Some(provider) = provider {
                gauges.insert(*provider, from_item(doing, item)?);
            }
        }
        Ok(gauges)
    }

    /// Writes the next version. `false` if the race was lost.
    #[expect(clippy::disallowed_methods, reason = "the one write of a health gauge")]
    pub async fn set_health(&self, provider: Provider, gauge: &Gauge) -> Result<bool, Error> {
        let doing = format!("write the health of {provider}");
        let put = self.table.client.put_item().table_name(&self.table.name);
        let sent = put
            .set_item(Some(gauge_item(&doing, provider, gauge)?))
            .condition_expression(UNCHANGED)
            .expression_attribute_values(":before", before(gauge))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(Error::sdk(doing, error)),
            },
        }
    }

    /// The same, with the change of its condition and the event of that.
    #[expect(clippy::disallowed_methods, reason = "the one write of a health gauge with what it changes")]
    pub async fn set_health_with(
        &self,
        provider: Provider,
        gauge: &Gauge,
        change: Option<&Change>,
        event: Option<&Event>,
    ) -> Result<bool, Error> {
        let doing = format!("write the health of {provider} with its change");
        let put = |item: Item| Put::builder().table_name(&self.table.name).set_item(Some(item));
        let gauge_put = put(gauge_item(&doing, provider, gauge)?)
            .condition_expression(UNCHANGED)
            .expression_attribute_values(":before", before(gauge))
            .build()
            .expect("table and item are set");
        let mut writes = vec![TransactWriteItem::builder().put(gauge_put).build()];
        if let Some(change) = change {
            let mut item = to_item(&doing, change)?;
            item.extend(key(keys::gauge(provider), keys::change(gauge.version)));
            item.insert(keys::EXPIRES_AT.to_owned(), number(change.at.as_secs() + CHANGES_KEPT_S));
            let change_put = put(item).build().expect("table and item are set");
            writes.push(TransactWriteItem::builder().put(change_put).build());
        }
        if let Some(event) = event {
            writes.push(event_put(&self.table, event)?);
        }
        let sent = self.table.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                // Another run was faster; the next one decides again.
                Some(TransactWriteItemsError::TransactionCanceledException(_)) => Ok(false),
                _ => Err(Error::sdk(doing, error)),
            },
        }
    }

    /// The latest changes of each of these providers, as [`changes`](Self::changes), in their order.
    pub async fn changes_of(&self, providers: &[Provider], limit: i32) -> Result<Vec<Vec<Change>>, Error> {
        try_join_all(providers.iter().map(|provider| self.changes(*provider, limit))).await
    }

    /// The latest changes of a provider's condition, newest first, of the last 30 days.
    pub async fn changes(&self, provider: Provider, limit: i32) -> Result<Vec<Change>, Error> {
        let doing = format!("list the changes of {provider}");
        let query = self.table.client.query().table_name(&self.table.name);
        let answer = query
            .key_condition_expression("PK = :pk AND begins_with(SK, :changes)")
            .expression_attribute_values(":pk", text(keys::gauge(provider)))
            .expression_attribute_values(":changes", text(keys::CHANGE))
            .scan_index_forward(false)
            .limit(limit)
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        answer.items.unwrap_or_default().into_iter().map(|item| from_item(&doing, item)).collect()
    }
}

const UNCHANGED: &str = "attribute_not_exists(PK) OR version = :before";

fn before(gauge: &Gauge) -> AttributeValue {
    number(gauge.version.saturating_sub(1))
}

fn gauge_item(doing: &str, provider: Provider, gauge: &Gauge) -> Result<Item, Error> {
    let mut item = to_item(doing, gauge)?;
    item.extend(key(keys::gauge(provider), keys::HEALTH));
    Ok(item)
}
