//! The prices in force: the newest version of the price book, or the catalogue's.

use std::sync::Arc;
use std::time::Duration;

use domain::budget::Budget;
use domain::catalog::{Catalog, Tariff};
use domain::credit::Credits;
use domain::id::AccountId;
use domain::price;
use domain::price_book::{Buyer, PriceBook};
use domain::request::JobRequest;
use domain::time::Timestamp;

use super::recent::Recent;
use crate::store::budgets::BudgetStore;
use crate::store::prices::{PriceStore, Version};
use crate::store::{Error, Table};

/// A version that can be used.
#[derive(Debug, Default)]
struct Book {
    /// 0 for the catalogue's prices.
    version: u32,
    prices: PriceBook,
}

/// What one account pays now.
#[derive(Debug, Clone)]
pub struct Terms {
    account: AccountId,
    book: Arc<Book>,
    /// Of every price that is not the account's own.
    pub percent: u32,
}

impl Terms {
    /// The version of the price book; 0 for the catalogue's prices.
    pub fn version(&self) -> u32 {
        self.book.version
    }

    /// What the account pays for media of one resolution of a model, if the model makes it.
    pub fn tariff(&self, catalog: &Catalog, model: &str, resolution: &str) -> Option<Tariff> {
        self.book.prices.tariff(catalog, self.buyer(), model, resolution)
    }

    /// What the account pays for a request.
    pub fn quote(&self, request: &JobRequest, catalog: &Catalog) -> Option<Credits> {
        price::quote(request, catalog, &self.book.prices, self.buyer())
    }

    /// Whether this month decides what the account pays in the next.
    pub fn counts_volume(&self) -> bool {
        self.book.prices.has_tiers(&self.account)
    }

    fn buyer(&self) -> Buyer<'_> {
        Buyer { account: &self.account, percent: self.percent }
    }
}

/// The prices in force, at most as old as [`Recent`] keeps them.
#[derive(Debug)]
pub struct Prices {
    store: PriceStore,
    budgets: BudgetStore,
    recent: Recent<(), Arc<Book>>,
    /// What accounts were charged last month, where that matters.
    volumes: Recent<AccountId, Credits>,
}

impl Prices {
    pub fn new(table: Table) -> Self {
        let (store, budgets) = (PriceStore::new(table.clone()), BudgetStore::new(table));
        Self { store, budgets, recent: Recent::default(), volumes: Recent::default() }
    }

    /// What an account pays now.
    pub async fn of(&self, account: &AccountId, now: Timestamp) -> Result<Terms, Error> {
        let book = self.current(now).await?;
        let volume = match book.prices.has_tiers(account) {
            true => self.volume(account, now).await?,
            false => Credits::ZERO,
        };
        let percent = book.prices.percent(account, volume);
        Ok(Terms { account: account.clone(), book, percent })
    }

    /// What an account was charged last month, less refunds.
    async fn volume(&self, account: &AccountId, now: Timestamp) -> Result<Credits, Error> {
        if let Some(volume) = self.volumes.get(account, now) {
            return Ok(volume);
        }
        let last = now.month().map_or(now, |(start, _)| start.minus(Duration::from_millis(1)));
        let volume = self.budgets.spent(account, &Budget::volume(last).counter).await?;
        self.volumes.put(account.clone(), volume, now);
        Ok(volume)
    }

    async fn current(&self, now: Timestamp) -> Result<Arc<Book>, Error> {
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

/// Makes a file the newest version, if it is a price book whose prices this catalogue's models can have.
pub async fn set(store: &PriceStore, catalog: &Catalog, file: &str, now: Timestamp) -> Result<Set, Error> {
    let newest = store.newest().await?;
    if let Some(same) = newest.as_ref().filter(|newest| newest.file == file) {
        return Ok(Set::Same(same.number));
    }
    let number = newest.map_or(0, |newest| newest.number) + 1;
    let version = Version { number, file: file.to_owned(), set_at: now };
    version.check(catalog)?;
    Ok(if store.add(&version).await? { Set::New(number) } else { Set::Overtaken })
}
