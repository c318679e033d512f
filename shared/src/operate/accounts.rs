//! An account's balance and policy.

use domain::credit::Balance;
use domain::id::AccountId;

use crate::store::Error;
use crate::store::accounts::{Accounts, Policy};
use crate::store::ledger::Ledger;

/// What an operator sees of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    pub balance: Balance,
    pub policy: Policy,
}

pub async fn show(ledger: &Ledger, accounts: &Accounts, account: &AccountId) -> Result<Overview, Error> {
    let balance = ledger.balance(account).await?;
    Ok(Overview { balance, policy: accounts.policy(account).await? })
}
