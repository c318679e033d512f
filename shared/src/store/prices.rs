//! Versions of the price book. A version is never changed; the newest is in force.

use serde::{Deserialize, Serialize};

use super::item::{from_item, key, text, to_item};
use super::keys::{self, SK};
use super::{Error, Table};
use domain::catalog::Catalog;
use domain::price_book::PriceBook;
use domain::time::Timestamp;

/// A stored version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counted from 1; 0 is the catalogue.
    pub number: u32,
    /// The file that it was set by.
    pub file: String,
    pub set_at: Timestamp,
}

impl Version {
    /// Its prices; an error if this release cannot read them.
    pub fn book(&self) -> Result<PriceBook, Error> {
        let doing = format!("read version {} of the prices", self.number);
        PriceBook::parse(&self.file).map_err(|why| Error::unreadable(doing, why))
    }

    /// Whether its prices can be those of this catalogue's models.
    pub fn check(&self, catalog: &Catalog) -> Result<(), Error> {
        let doing = format!("check version {} of the prices", self.number);
        self.book()?.check(catalog).map_err(|why| Error::unreadable(doing, why))
    }
}

/// The versions of the table.
#[derive(Debug, Clone)]
pub struct PriceStore {
    table: Table,
}

impl PriceStore {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// The newest version, read consistently; `None` if the catalogue's prices are in force.
    pub async fn newest(&self) -> Result<Option<Version>, Error> {
        Ok(self.latest(1).await?.into_iter().next())
    }

    /// The newest versions, newest first.
    pub async fn latest(&self, limit: i32) -> Result<Vec<Version>, Error> {
        let doing = "read the newest prices";
        let query = self.table.client.query().table_name(&self.table.name).consistent_read(true);
        let answer = query
            .key_condition_expression("PK = :pk")
            .expression_attribute_values(":pk", text(keys::PRICES))
            .scan_index_forward(false)
            .limit(limit)
            .send()
            .await
            .map_err(|source| Error::sdk(doing, source))?;
        answer.items.unwrap_or_default().into_iter().map(|item| from_item(doing, item)).collect()
    }

    pub async fn version(&self, number: u32) -> Result<Option<Version>, Error> {
        let doing = format!("read version {number} of the prices");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let read = read.set_key(Some(key(keys::PRICES, keys::price_version(number))));
        let answer = read.send().await.map_err(|source| Error::sdk(&doing, source))?;
        answer.item.map(|item| from_item(&doing, item)).transpose()
    }

    /// Adds a version. `false` if its number exists: another operator was faster.
    #[expect(clippy::disallowed_methods, reason = "the one write of prices")]
    pub async fn add(&self, version: &Version) -> Result<bool, Error> {
        let doing = format!("write version {} of the prices", version.number);
        let mut item = to_item(&doing, version)?;
        item.extend(key(keys::PRICES, keys::price_version(version.number)));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        let sent = put
            .condition_expression("attribute_not_exists(#sk)")
            .expression_attribute_names("#sk", SK)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                // The SDK repeats a call whose answer was lost: this may be our own write.
                Ok(self.version(version.number).await?.as_ref() == Some(version))
            }
            Err(error) => Err(Error::sdk(doing, error)),
        }
    }
}
