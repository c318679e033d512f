//! Gates: read often, written seldom, each write over the version it was made from.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::gauges::Gauges;
use super::item::{from_item, key, number, text_of, to_item};
use super::keys::{self, PK, SK};
use super::{Error, RACES_MAX, step_aside};
use domain::attempt::{Attempt, Phase};
use domain::policy::gate::Gate;
use domain::policy::health::Gauge;
use domain::provider::Provider;
use domain::time::Timestamp;

/// What is stored of a provider: its pings, and its gate. What was never written is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub health: Option<Gauge>,
    pub gate: Option<Gate>,
}

impl Gauges {
    /// All that is stored of these providers, in one eventually consistent read.
    pub async fn known(&self, providers: &[Provider]) -> Result<BTreeMap<Provider, Known>, Error> {
        let doing = "read the gauges of the providers";
        let kinds = [keys::HEALTH, keys::GATE];
        let keys = providers.iter().flat_map(|provider| kinds.map(|kind| key(keys::gauge(*provider), kind)));
        let mut all: BTreeMap<Provider, Known> = BTreeMap::new();
        for item in self.table.batch_get(doing, keys.collect()).await? {
            let name = text_of(&item, PK).unwrap_or_default();
            let Some(provider) = providers.iter().find(|provider| keys::gauge(**provider) == name) else {
                continue;
            };
            let known = all.entry(*provider).or_default();
            match text_of(&item, SK) {
                Some(keys::GATE) => known.gate = Some(from_item(doing, item)?),
                _ => known.health = Some(from_item(doing, item)?),
            }
        }
        Ok(all)
    }

    /// A provider's gate, read consistently.
    pub async fn gate(&self, provider: Provider, now: Timestamp) -> Result<Gate, Error> {
        let doing = format!("read the gate of {provider}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let read = read.set_key(Some(key(keys::gauge(provider), keys::GATE)));
        let answer = read.send().await.map_err(|source| Error::sdk(&doing, source))?;
        Ok(answer.item.map(|item| from_item(&doing, item)).transpose()?.unwrap_or_else(|| Gate::new(now)))
    }

    /// Changes a gate as `change` says, from `seen`; after a lost race from the winner. The
    /// gate as it is then, and what kept `change` from it, if anything did. `change` gives
    /// `None` to leave the gate as it is, which writes nothing.
    pub async fn change_gate<E>(
        &self,
        provider: Provider,
        seen: Gate,
        stamp: u64,
        change: impl Fn(&Gate) -> Result<Option<Gate>, E>,
    ) -> Result<(Gate, Option<E>), Error> {
        let mut gate = seen;
        for tries in 0..RACES_MAX {
            let after = match change(&gate) {
                Ok(None) => return Ok((gate, None)),
                Ok(Some(after)) => Gate { version: gate.version + 1, stamp, ..after },
                Err(refusal) => return Ok((gate, Some(refusal))),
            };
            match self.put_gate(provider, &after).await? {
                None => return Ok((after, None)),
                Some(winner) => gate = winner,
            }
            step_aside(tries).await;
        }
        Err(Error::contended(format!("change the gate of {provider}")))
    }

    /// Whether one more "not found" about an attempt may count: not where it would make a loss, and
    /// its provider has lost so many jobs or files at once that something else must be wrong.
    pub async fn is_loss_believed(
        &self,
        attempt: &Attempt,
        stamp: u64,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let awaited = attempt.phase.is_open() || attempt.phase == Phase::Finished;
        if !awaited || !attempt.is_about_to_be_lost(now) {
            return Ok(true);
        }
        let believed = self.count_loss(attempt.provider, stamp, now).await?;
        if !believed {
            let (provider, class) = (attempt.provider, "many_losses");
            tracing::error!(provider = %provider, class, alert = true, "provider.needs_attention");
        }
        Ok(believed)
    }

    async fn count_loss(&self, provider: Provider, stamp: u64, now: Timestamp) -> Result<bool, Error> {
        let seen = self.gate(provider, now).await?;
        let count = |gate: &Gate| Ok::<_, Error>(Some(gate.lose(now)));
        let (gate, _) = self.change_gate(provider, seen, stamp, count).await?;
        Ok(gate.losses.are_believed(now))
    }

    /// Writes a gate over the version it was made from; the gate that stands there if
    /// another was faster.
    #[expect(clippy::disallowed_methods, reason = "the one write of a gate")]
    async fn put_gate(&self, provider: Provider, gate: &Gate) -> Result<Option<Gate>, Error> {
        let doing = format!("write the gate of {provider}");
        let mut item = to_item(&doing, gate)?;
        item.extend(key(keys::gauge(provider), keys::GATE));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        let put = match gate.version {
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
        let winner: Gate = from_item(&doing, item)?;
        // The SDK repeats a call whose answer was lost: our own write is not a rival.
        Ok(Some(winner).filter(|winner| winner != gate))
    }
}
