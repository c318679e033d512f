//! The price book: prices as data, in the place of the catalogue's.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::catalog::{Catalog, Tariff};
use super::credit::Credits;
use super::id::AccountId;
use super::request::JobRequest;

/// Prices by model and resolution.
type Prices = BTreeMap<String, BTreeMap<String, Tariff>>;

/// Of an account without a percentage of its own, below every tier.
pub const PERCENT_DEFAULT: u32 = 100;
/// The largest percentage.
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
    /// By volume, for accounts without a percentage of their own; ascending.
    #[serde(default)]
    tiers: Vec<Tier>,
}

/// What an account pays that was charged so much in the last month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    /// Charges less refunds, in micro-credits.
    from: Credits,
    /// Of every price.
    percent: u32,
}

/// Who pays, and how many percent of every price that is not the account's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buyer<'a> {
    pub account: &'a AccountId,
    pub percent: u32,
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
        let is_wrong = |percent: &u32| !(1..=PERCENT_MAX).contains(percent);
        let of_accounts = book.accounts.iter().filter_map(|(id, own)| Some((id.as_str(), own.percent?)));
        let of_tiers = book.tiers.iter().map(|tier| ("a tier", tier.percent));
        if let Some((whose, _)) = of_accounts.chain(of_tiers).find(|(_, percent)| is_wrong(percent)) {
            return Err(InvalidBook(format!("`percent` of {whose} must be from 1 to {PERCENT_MAX}")));
        }
        if !book.tiers.is_sorted_by(|one, next| one.from < next.from) {
            return Err(InvalidBook("the tiers must ascend by `from`".to_owned()));
        }
        Ok(book)
    }

    /// Whether each of its tariffs is a price of all media that it is for, at every percentage. Of media that
    /// this catalogue does not sell, no more is known than that each amount is above zero.
    pub fn check(&self, catalog: &Catalog) -> Result<(), InvalidBook> {
        check_tariffs(&self.models, PERCENT_MAX, catalog)?;
        let own = self.accounts.values().map(|account| &account.models);
        own.into_iter().try_for_each(|prices| check_tariffs(prices, PERCENT_DEFAULT, catalog))
    }

    /// Whether what an account pays depends on its volume.
    pub fn has_tiers(&self, account: &AccountId) -> bool {
        !self.tiers.is_empty() && self.own_percent(account).is_none()
    }

    /// What an account pays of every price, after a month in which it was charged this much.
    pub fn percent(&self, account: &AccountId, volume: Credits) -> u32 {
        let tier = || self.tiers.iter().rev().find(|tier| volume >= tier.from).map(|tier| tier.percent);
        self.own_percent(account).or_else(tier).unwrap_or(PERCENT_DEFAULT)
    }

    /// Whether an account pays this percentage after some volume.
    pub fn may_charge(&self, account: &AccountId, percent: u32) -> bool {
        match self.own_percent(account) {
            Some(own) => own == percent,
            None => percent == PERCENT_DEFAULT || self.tiers.iter().any(|tier| tier.percent == percent),
        }
    }

    fn own_percent(&self, account: &AccountId) -> Option<u32> {
        self.accounts.get(account)?.percent
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

    /// What a buyer pays for media of one resolution of a model; `None` if the model does not make it.
    pub fn tariff(
        &self,
        catalog: &Catalog,
        buyer: Buyer<'_>,
        model: &str,
        resolution: &str,
    ) -> Option<Tariff> {
        let listed = catalog.model(model)?.price.get(resolution)?;
        self.named(buyer, model, resolution, Some(listed))
    }

    /// What a request costs at one of its models, if the catalogue lists this tariff for its resolution.
    pub(super) fn amount(
        &self,
        request: &JobRequest,
        buyer: Buyer<'_>,
        model: &str,
        listed: Option<&Tariff>,
    ) -> Option<Credits> {
        let tariff = self.named(buyer, model, &request.resolution, listed)?;
        tariff.amount(request.duration_s, request.audio.unwrap_or(false)).map(Credits::from_micros)
    }

    /// The prices that a request can have had by this version alone: that of its model, and each higher one of
    /// a fallback model. Which of these could serve it was for the catalogue to say, which may have changed
    /// since. `None` if the version leaves a model to the catalogue.
    pub fn prices(&self, request: &JobRequest, buyer: Buyer<'_>) -> Option<BTreeSet<Credits>> {
        let least = self.amount(request, buyer, &request.model, None)?;
        let fallback = request.fallback_models.iter();
        let others = fallback.map(|model| self.amount(request, buyer, model, None));
        let others: Vec<_> = others.collect::<Option<_>>()?;
        Some(others.into_iter().chain([least]).filter(|price| *price >= least).collect())
    }

    /// The price that this version has, or that it makes of the one that is listed elsewhere.
    fn named(
        &self,
        buyer: Buyer<'_>,
        model: &str,
        resolution: &str,
        listed: Option<&Tariff>,
    ) -> Option<Tariff> {
        let find = |prices: &Prices| prices.get(model)?.get(resolution).cloned();
        let own = self.accounts.get(buyer.account).and_then(|own| find(&own.models));
        own.or_else(|| Some(find(&self.models).or_else(|| listed.cloned())?.percent(buyer.percent)))
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
        lines.extend(
            self.tiers
                .iter()
                .map(|Tier { from, percent }| (format!("tier from {from}"), percent.to_string())),
        );
        for (account, prices) in &self.accounts {
            lines.extend(prices.percent.map(|percent| (format!("{account} percent"), percent.to_string())));
            lines.extend(of_prices(format!("{account} "), &prices.models));
        }
        lines
    }
}

/// Puts tariffs in the place of the catalogue's, and checks the models as the catalogue does.
fn check_tariffs(prices: &Prices, percent: u32, catalog: &Catalog) -> Result<(), InvalidBook> {
    for (name, tariffs) in prices {
        for (resolution, tariff) in tariffs {
            let rates = [tariff.per_second, tariff.per_second_audio, tariff.per_image].into_iter().flatten();
            let amounts: Vec<_> = rates.chain(tariff.by_length.values().copied()).collect();
            if amounts.is_empty() || amounts.contains(&0) {
                let problem = format!("{name} {resolution} must have a price, and none of zero");
                return Err(InvalidBook(problem));
            }
        }
        let Some(mut model) = catalog.model(name).cloned() else { continue };
        let tariffs = tariffs.iter().map(|(resolution, it)| (resolution.clone(), it.percent(percent)));
        model.price.extend(tariffs);
        model.check_prices().map_err(|problem| InvalidBook(format!("{name} {problem}")))?;
    }
    Ok(())
}

fn text(tariff: &Tariff) -> String {
    serde_json::to_string(tariff).expect("numbers by name serialise")
}

#[cfg(test)]
mod tests;
