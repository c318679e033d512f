//! Policies of accounts, set by an operator.

use aws_sdk_dynamodb::types::ReturnValue;
use serde::{Deserialize, Serialize};

use super::item::{Update, from_item, key, to_item};
use super::keys;
use super::{Error, Table};
use domain::budget::Budgets;
use domain::credit::{Credits, MicroUsd};
use domain::id::AccountId;
use domain::request::Prefer;

/// The policy of an account. Absent fields have their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Default for requests without a preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
    /// Maximum number of active jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_jobs_max: Option<u32>,
    /// Maximum of possibly billed refunds on one day (UTC), in micro-dollars. Beyond that, requests are
    /// rejected until the next day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_per_day: Option<MicroUsd>,
    /// A balance below this is an event, `credits.low`, once after each grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_below: Option<Credits>,
    #[serde(flatten)]
    pub budgets: Budgets,
}

/// The accounts' policies.
#[derive(Debug, Clone)]
pub struct Accounts {
    table: Table,
}

impl Accounts {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// The policy of the account, or the default.
    pub async fn policy(&self, account: &AccountId) -> Result<Policy, Error> {
        let doing = format!("read the policy of {account}");
        let read = self.table.client.get_item().table_name(&self.table.name);
        let answer = read
            .set_key(Some(key(keys::account(account), keys::POLICY)))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        answer.item.map_or(Ok(Policy::default()), |item| from_item(&doing, item))
    }

    /// Sets the given fields and keeps the rest; returns the new policy.
    #[expect(clippy::disallowed_methods, reason = "the one change of an account's policy")]
    pub async fn change_policy(&self, account: &AccountId, named: &Policy) -> Result<Policy, Error> {
        let doing = format!("change the policy of {account}");
        let mut update = Update::default();
        for (name, value) in to_item(&doing, named)? {
            update.set(&name, value);
        }
        if update.names.is_empty() {
            return self.policy(account).await;
        }
        let answer = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::account(account), keys::POLICY)))
            .update_expression(update.expression())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        from_item(&doing, answer.attributes.unwrap_or_default())
    }

    /// Replaces the policy. The last write wins.
    #[expect(clippy::disallowed_methods, reason = "the one write of an account's policy")]
    pub async fn set_policy(&self, account: &AccountId, policy: &Policy) -> Result<(), Error> {
        let doing = format!("write the policy of {account}");
        let mut item = to_item(&doing, policy)?;
        item.extend(key(keys::account(account), keys::POLICY));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        put.send().await.map(drop).map_err(|source| Error::sdk(doing, source))
    }
}
