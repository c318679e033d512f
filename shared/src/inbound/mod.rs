//! Inbound sources: other platforms whose signed webhooks become events of an account.
//!
//! Which there are is the owner's configuration. A source has a URL of its own, whose token is derived from
//! a signing key; what comes there is verified by the scheme of its kind, and then read.

mod kind;
mod read;
mod receipts;
mod token;

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::id::AccountId;
use domain::inbound::SourceName;
use domain::time::Timestamp;
use http::HeaderMap;
use serde::Deserialize;
use signatures::{Secret, Signing, Verified, VerifyError};

pub use crate::outside::platforms::Platforms;
pub use kind::Kind;
pub use read::{Content, Report, Unreadable};
pub use token::TokenKeys;

/// The maximum number of sources.
const SOURCES_MAX: usize = 1_000;

/// One source, with all of its active secrets.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: SourceName,
    pub account: AccountId,
    pub kind: Kind,
    /// Whether it reports what became of the mails and texts that we send, of any account: the owner's own
    /// sender. What a customer's sender says of them is not theirs to say.
    pub deliveries: bool,
    signing: Signing,
}

impl Source {
    /// What is wrong begins with its field.
    fn of(written: Written) -> Result<Self, String> {
        let Written { source: name, kind, account, secrets, deliveries, authorities } = written;
        let kind = Kind::named(kind.as_deref().unwrap_or(name.as_str())).ok_or_else(|| {
            let kinds = Kind::ALL.map(Kind::name).join(", ");
            format!("kind must be one of: {kinds}")
        })?;
        let secrets: Vec<_> = secrets.into_iter().map(Secret::new).collect();
        let signing = kind.signing(&secrets, authorities.as_deref());
        let signing = signing.map_err(|bad| format!("secrets: {bad}"))?;
        if deliveries && !kind.reports_deliveries() {
            return Err(format!("deliveries: a source of the kind {} reports none", kind.name()));
        }
        Ok(Self { name, account, kind, deliveries, signing })
    }

    /// Proves that the source's platform sent this. `url` is the address that it called, query and all.
    pub async fn verify(
        &self,
        platforms: &Platforms,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Verified<Bytes>, VerifyError> {
        platforms.verify(&self.signing, url, headers, body, now).await
    }

    /// What the platform reports. `query` is of the URL that it called.
    pub fn read(
        &self,
        query: &str,
        headers: &HeaderMap,
        body: &Verified<Bytes>,
    ) -> Result<Content, Unreadable> {
        read::content(self, query, headers, body.get())
    }
}

/// The sources of a deployment.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    all: BTreeMap<(AccountId, SourceName), Source>,
    keys: TokenKeys,
}

/// One source as its owner writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    source: SourceName,
    /// By default, what the name says.
    #[serde(default)]
    kind: Option<String>,
    account: AccountId,
    secrets: Vec<String>,
    #[serde(default)]
    deliveries: bool,
    /// Whom a certificate may be from, in PEM; by default, whom the system trusts.
    #[serde(default)]
    authorities: Option<String>,
}

impl Sources {
    /// Reads a JSON list of `{source, kind?, account, secrets, deliveries?, authorities?}`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by the place in the list and the field, without a word of a secret.
    pub fn parse(text: &str, keys: TokenKeys) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let written: Vec<Written> = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            // The parser's own words may quote a secret.
            match error.inner().is_data() {
                true => format!("{}: the field is unknown, missing or malformed", error.path()),
                false => format!("is not JSON: line {}", error.inner().line()),
            }
        })?;
        if written.len() > SOURCES_MAX {
            return Err(format!("has more than {SOURCES_MAX} sources"));
        }
        let mut all = BTreeMap::new();
        for (place, written) in written.into_iter().enumerate() {
            let source = Source::of(written).map_err(|wrong| format!("[{place}].{wrong}"))?;
            if all.insert((source.account.clone(), source.name.clone()), source).is_some() {
                return Err(format!("[{place}].source: the account has one of this name already"));
            }
        }
        Ok(Self { all, keys })
    }

    /// The source of a URL, if its token is genuine and the source is configured.
    pub fn find(&self, name: &str, token: &str) -> Option<&Source> {
        let name: SourceName = name.parse().ok()?;
        let account = self.keys.verify(token, &name)?;
        self.all.get(&(account, name))
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// The path of a source, below the API's URL.
pub fn path(name: &str, token: &str) -> String {
    format!("v1/inbound/{name}/{token}")
}

#[cfg(test)]
mod tests;
