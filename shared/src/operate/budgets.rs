//! Budgets of an account and of a key, with what is spent of them.

use domain::budget::{Budget, Holder, Standing};
use domain::id::{AccountId, KeyId};
use domain::time::Timestamp;

use crate::store::Error;
use crate::store::accounts::Policy;
use crate::store::budgets::BudgetStore;
use crate::store::keystore::KeyRules;

/// The budgets that a charge at this time counts against: of the account, then of the key.
pub fn at(policy: &Policy, key: Option<(&KeyId, &KeyRules)>, now: Timestamp) -> impl Iterator<Item = Budget> {
    let of_key = key.into_iter().flat_map(move |(id, rules)| rules.budgets.at(Holder::Key(id.clone()), now));
    policy.budgets.at(Holder::Account, now).chain(of_key)
}

/// The same, with what is spent.
pub async fn standings(
    store: &BudgetStore,
    account: &AccountId,
    policy: &Policy,
    key: Option<(&KeyId, &KeyRules)>,
    now: Timestamp,
) -> Result<Vec<Standing>, Error> {
    store.standings(account, at(policy, key, now).collect()).await
}
