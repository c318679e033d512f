//! What an operator has set for an account, where it differs from all others.

use aws_sdk_dynamodb::types::ReturnValue;
use serde::{Deserialize, Serialize};

use super::item::{Update, from_item, key, to_item};
use super::keys;
use super::{Error, Table};
use domain::credit::MicroUsd;
use domain::id::AccountId;
use domain::request::Prefer;

/// An account's own rules. What it leaves open is as it is for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// For orders that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
    /// Live jobs that it may have at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_jobs_max: Option<u32>,
    /// What may be given back to it on one day (UTC) though providers may bill it, in
    /// micro-dollars; beyond that it may order nothing until the next day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_per_day: Option<MicroUsd>,
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

    /// What was set for the account; nothing, if nothing ever was.
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

    /// Sets what is named and leaves the rest; gives what then holds.
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

    /// Sets all of it anew. Of two at once, the later stands.
    #[expect(clippy::disallowed_methods, reason = "the one write of an account's policy")]
    pub async fn set_policy(&self, account: &AccountId, policy: &Policy) -> Result<(), Error> {
        let doing = format!("write the policy of {account}");
        let mut item = to_item(&doing, policy)?;
        item.extend(key(keys::account(account), keys::POLICY));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        put.send().await.map(drop).map_err(|source| Error::sdk(doing, source))
    }
}
