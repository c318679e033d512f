//! The price book: prices as data, in the place of the catalogue's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::catalog::{Catalog, Tariff};
use super::credit::Credits;
use super::id::AccountId;
use super::request::JobRequest;

/// Prices by model and resolution.
type Prices = BTreeMap<String, BTreeMap<String, Tariff>>;

/// The largest percentage of an account.
const PERCENT_MAX: u32 = 1_000;

/// One version of the price book. An empty one is version 0: the catalogue's prices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceBook {
    /// Prices in the place of the catalogue's, in micro-credits.
    #[serde(default)]
    models: Prices,
    #[serde(default)]
    accounts: BTreeMap<AccountId, AccountPrices>,
}

/// What one account pays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountPrices {
    /// Of every price that has none of its own below; rounded up to a micro-credit.
    percent: Option<u32>,
    /// Its own prices.
    #[serde(default)]
    models: Prices,
}

/// A file that is no price book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidBook(String);

impl PriceBook {
    /// The largest file, in bytes.
    pub const BYTES_MAX: usize = 100_000;

    /// Reads a file in TOML.
    pub fn parse(text: &str) -> Result<Self, InvalidBook> {
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidBook(format!("it is larger than {} bytes", Self::BYTES_MAX)));
        }
        let book: Self = toml::from_str(text).map_err(|error| InvalidBook(error.to_string()))?;
        for (account, prices) in &book.accounts {
            if prices.percent.is_some_and(|percent| !(1..=PERCENT_MAX).contains(&percent)) {
                let range = format!("`percent` of {account} must be from 1 to {PERCENT_MAX}");
                return Err(InvalidBook(range));
            }
        }
        Ok(book)
    }

    /// The names and resolutions that it has and this catalogue has not: their prices are never used.
    pub fn idle(&self, catalog: &Catalog) -> Vec<String> {
        let own = self.accounts.values().flat_map(|account| &account.models);
        let named = self.models.iter().chain(own).flat_map(|(model, prices)| {
            prices.keys().map(move |resolution| (model.as_str(), resolution.as_str()))
        });
        let is_known = |(model, resolution): &(&str, &str)| {
            catalog.model(model).is_some_and(|model| model.price.contains_key(*resolution))
        };
        named
            .filter(|name| !is_known(name))
            .map(|(model, resolution)| format!("{model} {resolution}"))
            .collect()
    }

    /// What an account pays for media of one resolution of a model; `None` if the model does not make it.
    pub fn tariff(
        &self,
        catalog: &Catalog,
        account: &AccountId,
        model: &str,
        resolution: &str,
    ) -> Option<Tariff> {
        let listed = catalog.model(model)?.price.get(resolution)?;
        Some(self.named(account, model, resolution, Some(listed)).unwrap_or_else(|| listed.clone()))
    }

    /// The price of a request if this version alone decides it; `None` if it leaves a model to the catalogue,
    /// which may have changed since.
    pub fn amount(&self, request: &JobRequest, account: &AccountId) -> Option<Credits> {
        let mut names = std::iter::once(&request.model).chain(&request.fallback_models);
        let price = |model: &String| {
            let tariff = self.named(account, model, &request.resolution, None)?;
            tariff.amount(request.duration_s, request.audio.unwrap_or(false))
        };
        let most = names.try_fold(0, |most: u64, model| Some(most.max(price(model)?)))?;
        Some(Credits::from_micros(most))
    }

    /// The price that this version has, or that it makes of the one that is listed elsewhere.
    fn named(
        &self,
        account: &AccountId,
        model: &str,
        resolution: &str,
        listed: Option<&Tariff>,
    ) -> Option<Tariff> {
        let find = |prices: &Prices| prices.get(model)?.get(resolution).cloned();
        let own = self.accounts.get(account);
        if let Some(tariff) = own.and_then(|own| find(&own.models)) {
            return Some(tariff);
        }
        let tariff = find(&self.models).or_else(|| listed.cloned())?;
        Some(match own.and_then(|own| own.percent) {
            Some(percent) => tariff.percent(percent),
            None => tariff,
        })
    }

    /// Every line in which two versions differ: what it is about, its value before, and after.
    pub fn diff(&self, other: &Self) -> Vec<(String, Option<String>, Option<String>)> {
        let (before, after) = (self.lines(), other.lines());
        let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
        changed.map(|name| (name.clone(), before.get(name).cloned(), after.get(name).cloned())).collect()
    }

    /// Each of its values by name, as `acct_anna veo-3.1 720p`.
    pub fn lines(&self) -> BTreeMap<String, String> {
        let of_prices = |start: String, prices: &Prices| {
            let lines = prices.iter().flat_map(|(model, prices)| {
                let name = format!("{start}{model}");
                prices.iter().map(move |(resolution, tariff)| (format!("{name} {resolution}"), text(tariff)))
            });
            lines.collect::<Vec<_>>()
        };
        let mut lines: BTreeMap<String, String> =
            of_prices(String::new(), &self.models).into_iter().collect();
        for (account, prices) in &self.accounts {
            lines.extend(prices.percent.map(|percent| (format!("{account} percent"), percent.to_string())));
            lines.extend(of_prices(format!("{account} "), &prices.models));
        }
        lines
    }
}

fn text(tariff: &Tariff) -> String {
    serde_json::to_string(tariff).expect("numbers by name serialise")
}

#[cfg(test)]
mod tests;
