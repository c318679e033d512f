//! Whose key a call is made with.

use domain::id::AccountId;
use domain::provider::Provider;

/// A key at a provider: of the deployment, or of an account that brings its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialId {
    pub provider: Provider,
    /// `None`: the deployment.
    owner: Option<AccountId>,
}

impl CredentialId {
    pub const fn deployment(provider: Provider) -> Self {
        Self { provider, owner: None }
    }

    pub const fn of_account(account: AccountId, provider: Provider) -> Self {
        Self { provider, owner: Some(account) }
    }
}

/// The deployment's.
impl From<Provider> for CredentialId {
    fn from(provider: Provider) -> Self {
        Self::deployment(provider)
    }
}
