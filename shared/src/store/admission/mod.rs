//! Admission control and health of the providers, stored in one item each. Every write is
//! conditional on the version that it was made from.

mod health;
mod slots;

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::alerts::Alerts;
use super::item::{from_item, key, number, text_of, to_item};
use super::keys::{self, PK, SK};
use super::{Error, RACES_MAX, Table, back_off};
use domain::attempt::{Attempt, Phase};
use domain::event::Event;
use domain::policy::admission::Admission;
use domain::policy::health::Gauge;
use domain::provider::Provider;
use domain::time::Timestamp;

/// The stored state of one provider. An item that was never written is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderState {
    pub health: Option<Gauge>,
    pub admission: Option<Admission>,
}

/// Admission control and health of all providers.
#[derive(Debug, Clone)]
pub struct AdmissionStore {
    table: Table,
}

impl AdmissionStore {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// The states of these providers, in one eventually consistent read.
    pub async fn states(&self, providers: &[Provider]) -> Result<BTreeMap<Provider, ProviderState>, Error> {
        let doing = "read the states of the providers";
        let kinds = [keys::HEALTH, keys::GATE];
        let keys = providers.iter().flat_map(|provider| kinds.map(|kind| key(keys::gauge(*provider), kind)));
        let mut states: BTreeMap<Provider, ProviderState> = BTreeMap::new();
        for item in self.table.batch_get(doing, keys.collect()).await? {
            let name = text_of(&item, PK).unwrap_or_default();
            let Some(provider) = providers.iter().find(|provider| keys::gauge(**provider) == name) else {
                continue;
            };
            let state = states.entry(*provider).or_default();
            match text_of(&item, SK) {
                Some(keys::GATE) => state.admission = Some(from_item(doing, item)?),
                _ => state.health = Some(from_item(doing, item)?),
            }
        }
        Ok(states)
    }

    /// A provider's admission control, read consistently.
    pub async fn admission(&self, provider: Provider, now: Timestamp) -> Result<Admission, Error> {
        let doing = format!("read the admission control of {provider}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let read = read.set_key(Some(key(keys::gauge(provider), keys::GATE)));
        let answer = read.send().await.map_err(|source| Error::sdk(&doing, source))?;
        Ok(answer
            .item
            .map(|item| from_item(&doing, item))
            .transpose()?
            .unwrap_or_else(|| Admission::new(now)))
    }

    /// Applies `change` to `seen` and writes the result; after a lost race, to the winner. Returns
    /// the stored state and the error of `change`, if any. If `change` returns `None`, nothing is
    /// written.
    pub async fn change<E>(
        &self,
        provider: Provider,
        seen: Admission,
        stamp: u64,
        change: impl Fn(&Admission) -> Result<Option<Admission>, E>,
    ) -> Result<(Admission, Option<E>), Error> {
        let mut admission = seen;
        for tries in 0..RACES_MAX {
            let after = match change(&admission) {
                Ok(None) => return Ok((admission, None)),
                Ok(Some(after)) => Admission { version: admission.version + 1, stamp, ..after },
                Err(error) => return Ok((admission, Some(error))),
            };
            match self.put(provider, &after).await? {
                None => return Ok((after, None)),
                Some(winner) => admission = winner,
            }
            back_off(tries).await;
        }
        Err(Error::contended(format!("change the admission control of {provider}")))
    }

    /// Tells the operator of a provider that a retry does not help.
    pub async fn alert(&self, provider: Provider, class: &str, reason: Option<&str>, now: Timestamp) {
        self.raise(Event::of_attention(provider, class, reason, now)).await;
    }

    /// Writes an alert for the operator.
    pub async fn raise(&self, alert: Event) {
        Alerts::new(self.table.clone()).raise(alert).await;
    }

    /// Whether one more "not found" about an attempt counts. It does not if it would make a loss
    /// and the provider has lost too many jobs or files at once.
    pub async fn accepts_loss(&self, attempt: &Attempt, stamp: u64, now: Timestamp) -> Result<bool, Error> {
        let awaited = attempt.phase.is_open() || attempt.phase == Phase::Finished;
        if !awaited || !attempt.is_next_not_found_a_loss(now) {
            return Ok(true);
        }
        let accepted = self.count_loss(attempt.provider, stamp, now).await?;
        if !accepted {
            let (provider, class) = (attempt.provider, "many_losses");
            tracing::error!(provider = %provider, class, alert = true, "provider.needs_attention");
            self.alert(provider, class, None, now).await;
        }
        Ok(accepted)
    }

    async fn count_loss(&self, provider: Provider, stamp: u64, now: Timestamp) -> Result<bool, Error> {
        let seen = self.admission(provider, now).await?;
        let count = |admission: &Admission| Ok::<_, Error>(Some(admission.count_loss(now)));
        let (admission, _) = self.change(provider, seen, stamp, count).await?;
        Ok(admission.losses.is_accepted(now))
    }

    /// Writes the next version; returns the stored state if the race was lost.
    #[expect(clippy::disallowed_methods, reason = "the one write of admission control")]
    async fn put(&self, provider: Provider, admission: &Admission) -> Result<Option<Admission>, Error> {
        let doing = format!("write the admission control of {provider}");
        let mut item = to_item(&doing, admission)?;
        item.extend(key(keys::gauge(provider), keys::GATE));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        let put = match admission.version {
            1 => put.condition_expression("attribute_not_exists(PK)"),
            version => put
                .condition_expression("version = :before")
                .expression_attribute_values(":before", number(version - 1)),
        };
        let old = ReturnValuesOnConditionCheckFailure::AllOld;
        let Err(error) = put.return_values_on_condition_check_failure(old).send().await else {
            return Ok(None);
        };
        let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(Error::sdk(doing, error));
        };
        let Some(item) = failed.item.clone() else { return Err(Error::contended(doing)) };
        let winner: Admission = from_item(&doing, item)?;
        // The SDK repeats a call whose answer was lost: the stored state may be our own write.
        Ok(Some(winner).filter(|winner| winner != admission))
    }
}
