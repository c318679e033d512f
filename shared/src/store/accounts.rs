//! Policies of accounts, set by an operator.

use aws_sdk_dynamodb::types::ReturnValue;
use serde::{Deserialize, Serialize};

use super::item::{Update, from_item, key, to_item};
use super::keys;
use super::{Error, Table};
use domain::budget::Budgets;
use domain::credit::{Credits, MicroUsd};
use domain::id::AccountId;
use domain::policy::live::LiveMax;
use domain::request::Prefer;

/// The policy of an account. Absent fields have their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Default for requests without a preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
    /// Maximum number of active jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_jobs_max: Option<LiveMax>,
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

impl Policy {
    /// The names of its fields.
    const NAMES: [&str; 7] = [
        "prefer",
        "live_jobs_max",
        "loss_per_day",
        "low_below",
        "budget_day",
        "budget_month",
        "budget_total",
    ];
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

    /// Sets the given fields and keeps the rest, or resets the rest to the defaults with `reset`. Returns the
    /// new policy.
    #[expect(clippy::disallowed_methods, reason = "the one change of an account's policy")]
    pub async fn change_policy(
        &self,
        account: &AccountId,
        reset: bool,
        named: &Policy,
    ) -> Result<Policy, Error> {
        let doing = format!("change the policy of {account}");
        let mut update = Update::naming(&Policy::NAMES, to_item(&doing, named)?, reset);
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
            .set_expression_attribute_values(update.take_values())
            .set_expression_attribute_names(Some(update.names))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        from_item(&doing, answer.attributes.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_every_field_of_a_policy() {
        let credits = Some(Credits::from_micros(1));
        let all = Policy {
            prefer: Some(Prefer::Fastest),
            live_jobs_max: Some(LiveMax::AtMost(1)),
            loss_per_day: Some(MicroUsd(1)),
            low_below: credits,
            budgets: Budgets { day: credits, month: credits, total: credits },
        };
        let mut names: Vec<_> = to_item("test", &all).unwrap().into_keys().collect();
        let mut known = Policy::NAMES.map(str::to_owned);
        names.sort();
        known.sort();
        assert_eq!(names, known);
    }
}
