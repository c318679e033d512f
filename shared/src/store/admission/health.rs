//! Health of the providers.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;

use super::super::Error;
use super::super::item::{from_item, key, number, text_of, to_item};
use super::super::keys::{self, PK};
use super::AdmissionStore;
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
        let mut item = to_item(&doing, gauge)?;
        item.extend(key(keys::gauge(provider), keys::HEALTH));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        let sent = put
            .condition_expression("attribute_not_exists(PK) OR version = :before")
            .expression_attribute_values(":before", number(gauge.version.saturating_sub(1)))
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
}
