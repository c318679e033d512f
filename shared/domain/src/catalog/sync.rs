//! A provider's list against the catalogue in force: what it changed, and where the owner changed the same.

mod openrouter;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Catalog, Model, Route, Tariff};
use crate::price_list::{Listed, Unit, costs};
use crate::provider::Provider;

/// One amount of a catalogue: a price of a model, or a cost of one of its routes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub model: String,
    /// The name of the route; `None` for a price.
    pub route: Option<String>,
    pub resolution: String,
    pub rate: Rate,
}

/// Which amount of a tariff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rate {
    PerSecond,
    PerSecondAudio,
    PerImage,
    /// The total of a length in seconds.
    Length(u32),
}

impl Rate {
    /// The amount of a tariff, if it has this one.
    fn of(self, tariff: &Tariff) -> Option<u64> {
        match self {
            Self::PerSecond => tariff.per_second,
            Self::PerSecondAudio => tariff.per_second_audio,
            Self::PerImage => tariff.per_image,
            Self::Length(seconds) => tariff.by_length.get(&seconds.to_string()).copied(),
        }
    }

    fn set(self, tariff: &mut Tariff, amount: u64) {
        match self {
            Self::PerSecond => tariff.per_second = Some(amount),
            Self::PerSecondAudio => tariff.per_second_audio = Some(amount),
            Self::PerImage => tariff.per_image = Some(amount),
            Self::Length(seconds) => drop(tariff.by_length.insert(seconds.to_string(), amount)),
        }
    }

    /// The amounts that a tariff has.
    fn all(tariff: &Tariff) -> impl Iterator<Item = Self> {
        let lengths = tariff.by_length.keys().filter_map(|length| length.parse().ok()).map(Self::Length);
        let rates = [Self::PerSecond, Self::PerSecondAudio, Self::PerImage].into_iter();
        rates.filter(|rate| rate.of(tariff).is_some()).chain(lengths)
    }
}

impl fmt::Display for Key {
    /// Stable: what was applied is kept under it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, route, resolution, rate } = self;
        let of = route.as_deref().unwrap_or("price");
        write!(f, "{model} {of} {resolution} ")?;
        match rate {
            Rate::PerSecond => f.write_str("per_second"),
            Rate::PerSecondAudio => f.write_str("per_second_audio"),
            Rate::PerImage => f.write_str("per_image"),
            Rate::Length(seconds) => write!(f, "{seconds}s"),
        }
    }
}

impl Key {
    /// Amounts that differ by less agree: a listed price is rounded to a micro-dollar, which is 100 micro-credits,
    /// and the cost of a length may be the sum of its seconds.
    fn slack(&self) -> u64 {
        match (&self.route, self.rate) {
            (None, _) => 100,
            (Some(_), Rate::Length(seconds)) => u64::from(seconds) + 1,
            (Some(_), Rate::PerSecond | Rate::PerSecondAudio | Rate::PerImage) => 2,
        }
    }
}

/// What a list says, in terms of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Theirs {
    /// Their amounts in the place of ours.
    pub amounts: BTreeMap<Key, u64>,
    /// The names of routes of which they know no endpoint.
    pub gone: BTreeSet<String>,
    /// What they offer of the families that we sell, and we do not.
    pub created: BTreeSet<String>,
    /// What is listed and cannot be applied: of what, and why.
    pub unclear: Vec<(String, String)>,
}

/// The amounts that were applied last, by [`Key`] as text: what the owner may have changed since.
pub type Synced = BTreeMap<String, u64>;

/// A change to the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Amount {
        key: Key,
        ours: u64,
        theirs: u64,
    },
    /// A route whose endpoints they do not know.
    Gone {
        model: String,
        route: String,
    },
}

impl Change {
    /// Under which it is kept that it was applied, or that the owner's was.
    pub fn key(&self) -> String {
        match self {
            Self::Amount { key, .. } => key.to_string(),
            Self::Gone { model, route } => format!("{model} {route} gone"),
        }
    }
}

/// A list compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// What they changed, and the owner did not.
    pub changes: Vec<Change>,
    /// What both changed, in different ways.
    pub conflicts: Vec<Change>,
    /// Amounts that the owner changed, and they did not: they stay.
    pub kept: usize,
    /// Amounts that agree.
    pub same: usize,
}

impl Diff {
    /// The number of amounts and of routes that change without a conflict.
    pub fn counts(&self) -> (usize, usize) {
        let gone = self.changes.iter().filter(|change| matches!(change, Change::Gone { .. })).count();
        (self.changes.len() - gone, gone)
    }
}

/// Compares a list with the catalogue in force, `ours`. An amount that was never applied counts as changed by the
/// owner if it is not the built-in one; so does a route that is not the built-in one.
pub fn diff(theirs: &Theirs, ours: &Catalog, built_in: &Catalog, synced: &Synced) -> Diff {
    let mut diff = Diff::default();
    for (key, amount) in &theirs.amounts {
        let (Some(own), theirs) = (ours.amount(key), *amount) else { continue };
        let base = synced.get(&key.to_string()).copied().or_else(|| built_in.amount(key));
        let is = |one: u64, other: u64| one.abs_diff(other) < key.slack();
        let change = Change::Amount { key: key.clone(), ours: own, theirs };
        match base {
            _ if is(own, theirs) => diff.same += 1,
            Some(base) if is(base, own) => diff.changes.push(change),
            Some(base) if is(base, theirs) => diff.kept += 1,
            Some(_) | None => diff.conflicts.push(change),
        }
    }
    for (model, route) in routes(ours) {
        let name = route.name();
        if theirs.gone.contains(&name) {
            let is_own = built_in.route(&name).is_none_or(|other| other.cost != route.cost);
            let change = Change::Gone { model: model.name.clone(), route: name };
            match is_own {
                _ if synced.contains_key(&change.key()) => diff.kept += 1,
                true => diff.conflicts.push(change),
                false => diff.changes.push(change),
            }
        }
    }
    diff
}

impl Catalog {
    fn tariffs(&self, key: &Key) -> Option<&BTreeMap<String, Tariff>> {
        let model = self.model(&key.model)?;
        match &key.route {
            Some(name) => model.routes.iter().find(|route| route.name() == *name).map(|route| &route.cost),
            None => Some(&model.price),
        }
    }

    /// An amount, if there is one.
    pub fn amount(&self, key: &Key) -> Option<u64> {
        key.rate.of(self.tariffs(key)?.get(&key.resolution)?)
    }

    /// The tariff of a key, with other amounts of its rates.
    pub fn tariff_with(&self, keys: &[(&Key, u64)]) -> Option<Tariff> {
        let (first, _) = keys.first()?;
        let mut tariff = self.tariffs(first)?.get(&first.resolution)?.clone();
        keys.iter().for_each(|(key, amount)| key.rate.set(&mut tariff, *amount));
        Some(tariff)
    }
}

fn routes(catalog: &Catalog) -> impl Iterator<Item = (&Model, &Route)> {
    catalog.models().flat_map(|model| model.routes.iter().map(move |route| (model, route)))
}

impl Theirs {
    /// Of a provider's price list, which has one price for each endpoint. It is applied where a route has one
    /// cost by the same unit; where it has several, a price among them agrees, and another is unclear. So is a price
    /// by a unit that the route does not cost by.
    pub fn of_prices(catalog: &Catalog, provider: Provider, list: &[Listed]) -> Self {
        let mut theirs = Self::default();
        for (model, route) in routes(catalog).filter(|(_, route)| route.provider == provider) {
            for unit in [Unit::Second, Unit::Video, Unit::Image] {
                let lines = list.iter().filter(|line| line.unit == unit);
                let lines = lines.filter(|line| route.endpoints().any(|name| name == line.endpoint));
                let prices: BTreeSet<u64> = lines.map(|line| line.price.0).collect();
                let ours = costs(route, unit);
                let agrees = |price: &u64| ours.iter().any(|cost| cost.0.abs_diff(*price) <= 1);
                let taken = match (prices.first(), prices.len(), ours.len()) {
                    (Some(price), 1, 1) => taken(model, route, unit, *price),
                    _ => None,
                };
                match taken {
                    Some(amounts) => theirs.amounts.extend(amounts),
                    // Also if there is none.
                    None if prices.iter().all(agrees) => {}
                    None => {
                        let listed: Vec<_> = prices.iter().map(u64::to_string).collect();
                        let ours: Vec<_> = ours.iter().map(|cost| cost.0.to_string()).collect();
                        let (listed, unit) = (listed.join(" "), unit.name());
                        let ours =
                            if ours.is_empty() { format!("nothing by the {unit}") } else { ours.join(" ") };
                        let why =
                            format!("{listed} micro-dollars per {unit} are listed, and it costs {ours}");
                        theirs.unclear.push((route.name(), why));
                    }
                }
            }
        }
        theirs
    }

    /// Endpoints that the provider does not know: `gone` is a route that has no other, and of another route each is
    /// unclear.
    pub fn lacking(&mut self, catalog: &Catalog, provider: Provider, unknown: &BTreeSet<String>) {
        for (_, route) in routes(catalog).filter(|(_, route)| route.provider == provider) {
            let lacks = |endpoint: &&str| unknown.contains(*endpoint);
            if route.endpoints().all(|endpoint| lacks(&endpoint)) {
                self.gone.insert(route.name());
                continue;
            }
            let some = route.endpoints().filter(lacks);
            let why = |endpoint| (route.name(), format!("its endpoint {endpoint} is not known, others are"));
            self.unclear.extend(some.map(why));
        }
    }

    /// What the provider offers: `created` is what belongs to a family of ours and has no route. A family is what
    /// endpoints have in common up to this many segments.
    pub fn offering(&mut self, catalog: &Catalog, provider: Provider, offered: &[String], segments: usize) {
        let family = |endpoint: &str| endpoint.split('/').take(segments).collect::<Vec<_>>().join("/");
        let ours = routes(catalog).filter(|(_, route)| route.provider == provider);
        let ours: BTreeSet<&str> = ours.flat_map(|(_, route)| route.endpoints()).collect();
        let families: BTreeSet<_> = ours.iter().map(|endpoint| family(endpoint)).collect();
        let is_new =
            |endpoint: &&String| !ours.contains(endpoint.as_str()) && families.contains(&family(endpoint));
        self.created.extend(offered.iter().filter(is_new).cloned());
    }
}

/// One price in the place of every cost of a route; `None` if one of them is not by this unit.
fn taken(model: &Model, route: &Route, unit: Unit, price: u64) -> Option<Vec<(Key, u64)>> {
    let mut amounts = Vec::new();
    for (resolution, tariff) in &route.cost {
        for rate in Rate::all(tariff) {
            let amount = match (rate, unit) {
                (Rate::PerSecond | Rate::PerSecondAudio, Unit::Second)
                | (Rate::PerImage, Unit::Image)
                | (Rate::Length(_), Unit::Video) => price,
                (Rate::Length(seconds), Unit::Second) => price.checked_mul(seconds.into())?,
                _ => return None,
            };
            let (model, route, resolution) = (model.name.clone(), Some(route.name()), resolution.clone());
            amounts.push((Key { model, route, resolution, rate }, amount));
        }
    }
    Some(amounts)
}

#[cfg(test)]
mod tests;
