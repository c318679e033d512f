//! API keys: only a SHA-256 of each secret is kept.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValue;
use serde::{Deserialize, Serialize};

use super::item::{Update, from_item, key, text_of, to_item};
use super::keys::{self, PK};
use super::{Error, Table};
use domain::allowed::Allowed;
use domain::budget::Budgets;
use domain::id::{AccountId, KeyId};
use domain::time::Timestamp;

/// A stored key: enough to verify a key, not to create one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: KeyId,
    pub account: AccountId,
    /// SHA-256 of the secret, in hex.
    pub secret_sha256: String,
    pub scopes: Vec<Scope>,
    pub revoked: bool,
    pub created_at: Timestamp,
    #[serde(flatten)]
    pub rules: KeyRules,
}

/// What an operator has set for a key. Absent fields set no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyRules {
    #[serde(flatten)]
    pub budgets: Budgets,
    #[serde(flatten)]
    pub allowed: Allowed,
}

impl KeyRules {
    /// The names of its fields.
    const NAMES: [&str; 5] = ["budget_day", "budget_month", "budget_total", "models", "providers"];
}

/// The scope of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Submit and cancel jobs.
    Write,
    /// Read jobs, the catalogue and the account.
    Read,
}

impl Scope {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// The keys of all accounts.
#[derive(Debug, Clone)]
pub struct KeyStore {
    table: Table,
}

impl KeyStore {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// A key, read consistently, because its absence is cached.
    pub async fn get(&self, id: &KeyId) -> Result<Option<ApiKey>, Error> {
        let doing = format!("read key {id}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read
            .set_key(Some(key(keys::api_key(id), keys::KEY)))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        answer.item.map(|item| from_item(&doing, item)).transpose()
    }

    #[expect(clippy::disallowed_methods, reason = "the one write that creates a key")]
    pub async fn create(&self, api_key: &ApiKey) -> Result<(), Error> {
        let doing = format!("create key {}", api_key.id);
        let mut item = to_item(&doing, api_key)?;
        item.extend(key(keys::api_key(&api_key.id), keys::KEY));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        put.condition_expression("attribute_not_exists(PK)")
            .send()
            .await
            .map_err(|source| Error::sdk(doing, source))?;
        Ok(())
    }

    /// Sets the given rules and keeps the rest, or removes the rest with `reset`. `None` if the id does not
    /// exist.
    #[expect(clippy::disallowed_methods, reason = "the one change of a key's rules")]
    pub async fn change(&self, id: &KeyId, reset: bool, named: &KeyRules) -> Result<Option<ApiKey>, Error> {
        let doing = format!("change key {id}");
        let mut update = Update::naming(&KeyRules::NAMES, to_item(&doing, named)?, reset);
        if update.names.is_empty() {
            return self.get(id).await;
        }
        let sent = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::api_key(id), keys::KEY)))
            .update_expression(update.expression())
            .condition_expression("attribute_exists(PK)")
            .set_expression_attribute_values(update.take_values())
            .set_expression_attribute_names(Some(update.names))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match sent {
            Ok(answer) => answer.attributes.map(|item| from_item(&doing, item)).transpose(),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(Error::sdk(doing, error)),
            },
        }
    }

    /// Revokes a key permanently. `false` if the id does not exist.
    #[expect(clippy::disallowed_methods, reason = "the one write that revokes a key")]
    pub async fn revoke(&self, id: &KeyId) -> Result<bool, Error> {
        let sent = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::api_key(id), keys::KEY)))
            .update_expression("SET revoked = :yes")
            .condition_expression("attribute_exists(PK)")
            .expression_attribute_values(":yes", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(Error::sdk(format!("revoke key {id}"), error)),
            },
        }
    }

    /// Every key of every account, oldest first. Reads the whole table: for operators.
    pub async fn list(&self) -> Result<Vec<ApiKey>, Error> {
        let doing = "list the keys";
        let mut found = Vec::new();
        self.table
            .scan(doing, |item| {
                if text_of(&item, PK).is_some_and(|pk| pk.starts_with("KEY#")) {
                    found.push(from_item::<ApiKey>(doing, item)?);
                }
                Ok(())
            })
            .await?;
        found.sort_by_key(|key| key.created_at);
        Ok(found)
    }
}
