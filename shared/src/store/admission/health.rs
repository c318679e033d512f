//! Health of the providers.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};

use super::super::Error;
use super::super::events::event_put;
use super::super::item::{Item, from_item, key, number, text_of, to_item};
use super::super::keys::{self, PK};
use super::AdmissionStore;
use domain::event::Event;
use domain::policy::health::Gauge;
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

    /// The same, with the event of its change.
    #[expect(clippy::disallowed_methods, reason = "the one write of a health gauge with an alert")]
    pub async fn set_health_with(
        &self,
        provider: Provider,
        gauge: &Gauge,
        event: &Event,
    ) -> Result<bool, Error> {
        let doing = format!("write the health of {provider} with an alert");
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(gauge_item(&doing, provider, gauge)?))
            .condition_expression(UNCHANGED)
            .expression_attribute_values(":before", before(gauge))
            .build()
            .expect("table and item are set");
        let writes = vec![TransactWriteItem::builder().put(put).build(), event_put(&self.table, event)?];
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
