//! The prices in force: the newest version of the price book, or the catalogue's.

use std::sync::Arc;

use domain::price_book::PriceBook;
use domain::time::Timestamp;

use super::recent::Recent;
use crate::store::prices::{PriceStore, Version};
use crate::store::{Error, Table};

/// A version that can be used.
#[derive(Debug, Default)]
pub struct Book {
    /// 0 for the catalogue's prices.
    pub version: u32,
    pub prices: PriceBook,
}

/// The prices in force, at most as old as [`Recent`] keeps them.
#[derive(Debug)]
pub struct Prices {
    store: PriceStore,
    recent: Recent<(), Arc<Book>>,
}

impl Prices {
    pub fn new(table: Table) -> Self {
        Self { store: PriceStore::new(table), recent: Recent::default() }
    }

    pub async fn current(&self, now: Timestamp) -> Result<Arc<Book>, Error> {
        if let Some(book) = self.recent.get(&(), now) {
            return Ok(book);
        }
        let book = match self.store.newest().await? {
            None => Book::default(),
            Some(version) => Book { version: version.number, prices: version.book()? },
        };
        let book = Arc::new(book);
        self.recent.put((), Arc::clone(&book), now);
        Ok(book)
    }
}

/// The result of a change of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// The new version.
    New(u32),
    /// The version in force has this very file.
    Same(u32),
    /// Another operator set a version at the same time. Nothing was changed.
    Overtaken,
}

/// Makes a valid file the newest version.
pub async fn set(store: &PriceStore, file: &str, now: Timestamp) -> Result<Set, Error> {
    let newest = store.newest().await?;
    if let Some(same) = newest.as_ref().filter(|newest| newest.file == file) {
        return Ok(Set::Same(same.number));
    }
    let number = newest.map_or(0, |newest| newest.number) + 1;
    let version = Version { number, file: file.to_owned(), set_at: now };
    Ok(if store.add(&version).await? { Set::New(number) } else { Set::Overtaken })
}
