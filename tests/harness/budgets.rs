//! Budgets of the account of a world and of its key.

use domain::budget::{Budgets, Standing};
use domain::id::KeyId;
use shared::operate;
use shared::operate::recent::CACHED_FOR;
use shared::store::accounts::{Accounts, Policy};
use shared::store::budgets::BudgetStore;
use shared::store::keystore::{KeyRules, KeyStore};

use crate::world::World;

impl World {
    /// The id of its key.
    pub fn key_id(&self) -> KeyId {
        let id = self.key.split('_').nth(1).and_then(|id| id.parse().ok());
        id.expect("a key has an id")
    }

    /// Sets the budgets of the account and of its key, and lets all instances see them.
    pub async fn set_budgets(&self, of_account: Budgets, of_key: Budgets) {
        let policy = Policy { budgets: of_account, ..Policy::default() };
        Accounts::new(self.table())
            .change_policy(&self.account, true, &policy)
            .await
            .expect("the policy is written");
        self.set_rules(KeyRules { budgets: of_key, ..KeyRules::default() }).await;
    }

    /// Sets the rules of its key, and lets all instances see them.
    pub async fn set_rules(&self, rules: KeyRules) {
        let changed = KeyStore::new(self.table()).change(&self.key_id(), true, &rules).await;
        assert!(changed.expect("the key is written").is_some());
        self.clock.advance(CACHED_FOR);
    }

    /// The current budgets of the account and of its key.
    pub async fn budgets(&self) -> Vec<Standing> {
        let policy = Accounts::new(self.table()).policy(&self.account).await.expect("the policy is read");
        let id = self.key_id();
        let key = KeyStore::new(self.table()).get(&id).await.expect("the key is read").expect("it exists");
        let (store, now) = (BudgetStore::new(self.table()), self.clock.now());
        let of_key = Some((&id, &key.rules));
        let found = operate::budgets::standings(&store, &self.account, &policy, of_key, now).await;
        found.expect("the counters are read")
    }
}
