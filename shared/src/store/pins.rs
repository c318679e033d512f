//! The provider accounts that webhooks are signed for: observed, not configured.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

use super::item::{key, text, text_of};
use super::keys;
use super::{Error, Table};
use domain::provider::Provider;

const USER: &str = "user";

/// The pinned accounts.
#[derive(Debug, Clone)]
pub struct Pins {
    table: Table,
}

impl Pins {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// The account that is pinned for a provider, read consistently.
    pub async fn get(&self, provider: Provider) -> Result<Option<String>, Error> {
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let read = read.set_key(Some(key(keys::gauge(provider), keys::PIN)));
        let doing = || format!("read the account that {provider} signs for");
        let answer = read.send().await.map_err(|source| Error::sdk(doing(), source))?;
        Ok(answer.item.and_then(|item| text_of(&item, USER).map(str::to_owned)))
    }

    /// Pins an account. The last write wins.
    #[expect(clippy::disallowed_methods, reason = "the one write of a pinned account")]
    pub async fn set(&self, provider: Provider, user: &str) -> Result<(), Error> {
        let update = self.table.client.update_item().table_name(&self.table.name);
        let sent = update
            .set_key(Some(key(keys::gauge(provider), keys::PIN)))
            .update_expression("SET #user = :user")
            .condition_expression("attribute_not_exists(PK) OR #user <> :user")
            .expression_attribute_names("#user", USER)
            .expression_attribute_values(":user", text(user))
            .send()
            .await;
        match sent {
            Err(error) if !is_known_already(&error) => {
                Err(Error::sdk(format!("pin the account that {provider} signs for"), error))
            }
            _ => Ok(()),
        }
    }
}

fn is_known_already<R>(error: &aws_sdk_dynamodb::error::SdkError<UpdateItemError, R>) -> bool {
    matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_)))
}
