//! The token of a source's URL: it names the account and proves that we made the URL.

use data_encoding::BASE32_NOPAD;
use domain::id::{AccountId, base32};
use domain::inbound::SourceName;
use signatures::{Secret, tag};
use url::Url;

use super::path;

/// Minimum length of a key, in bytes.
const KEY_MIN: usize = 32;

/// The keys that tokens are made with: the first signs, all verify. They are not those of callback URLs:
/// a source's URL is registered at its platform for years.
#[derive(Debug, Clone, Default)]
pub struct TokenKeys(Vec<Secret>);

impl TokenKeys {
    /// Keys separated by commas.
    ///
    /// # Errors
    ///
    /// If one is shorter than 32 characters.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let keys: Vec<_> = text.split(',').map(|key| Secret::new(key.trim())).collect();
        match keys.iter().all(|key| key.expose().len() >= KEY_MIN) {
            true => Ok(Self(keys)),
            false => Err("must be keys of at least 32 characters, separated by commas"),
        }
    }

    /// No keys: no token is genuine.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// `<account without its prefix>.<mac>`: a-z, digits and one dot. `None` without keys.
    pub fn sign(&self, account: &AccountId, source: &SourceName) -> Option<String> {
        let tag = tag::sign(self.0.first()?, &[&signed(account, source)]);
        Some(format!("{}.{}", bare(account), base32(&tag)))
    }

    /// The URL to register at the platform, below the API's own. `None` without keys.
    pub fn url(&self, api: &Url, account: &AccountId, source: &SourceName) -> Option<String> {
        let token = self.sign(account, source)?;
        api.join(&path(source.as_str(), &token)).ok().map(String::from)
    }

    /// The account of a token, if one of the keys signed exactly this text for this source.
    pub(super) fn verify(&self, text: &str, source: &SourceName) -> Option<AccountId> {
        let (account, mac) = text.split_once('.')?;
        let account: AccountId = format!("{}{account}", AccountId::PREFIX).parse().ok()?;
        let tag = BASE32_NOPAD.decode(mac.to_ascii_uppercase().as_bytes()).ok()?;
        // One spelling: lower case.
        let is_ours = base32(&tag) == mac;
        let proof = tag::verify(&self.0, &[&signed(&account, source)], &tag);
        (is_ours && proof.is_ok()).then_some(account)
    }
}

fn bare(account: &AccountId) -> &str {
    &account.as_str()[AccountId::PREFIX.len()..]
}

/// What the tag covers. Neither part can hold a zero byte.
fn signed(account: &AccountId, source: &SourceName) -> Vec<u8> {
    [b"inbound\0", account.as_str().as_bytes(), b"\0", source.as_str().as_bytes()].concat()
}
