//! Values ⇄ items. Unreadable values are errors, never defaults.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use super::keys::{PK, SK};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn to_item<T: Serialize>(doing: &str, value: &T) -> Result<Item, Error> {
    serde_dynamo::to_item(value).map_err(|source| Error::corrupt(doing, source))
}

pub(super) fn from_item<T: DeserializeOwned>(doing: &str, item: Item) -> Result<T, Error> {
    serde_dynamo::from_item(item).map_err(|source| Error::unreadable(doing, source))
}

pub(super) fn to_value<T: Serialize>(doing: &str, value: &T) -> Result<AttributeValue, Error> {
    serde_dynamo::to_attribute_value(value).map_err(|source| Error::corrupt(doing, source))
}

pub(super) fn from_value<T: DeserializeOwned>(doing: &str, value: AttributeValue) -> Result<T, Error> {
    serde_dynamo::from_attribute_value(value).map_err(|source| Error::unreadable(doing, source))
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The primary key of an item.
pub(super) fn key(pk: impl Into<String>, sk: impl Into<String>) -> Item {
    Item::from([(PK.to_owned(), text(pk)), (SK.to_owned(), text(sk))])
}

pub(super) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(super) fn number_of<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// `SET` and `REMOVE` clauses that turn one item into another, with placeholders for all names and
/// values. Other attributes are not changed.
#[derive(Debug, Default)]
pub(super) struct Update {
    sets: Vec<String>,
    removes: Vec<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

impl Update {
    pub(super) fn between(before: &Item, after: &Item) -> Self {
        let mut update = Self::default();
        for (name, value) in after {
            if before.get(name) != Some(value) {
                update.set(name, value.clone());
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            update.remove(name);
        }
        update
    }

    /// Sets those of these attributes that are given and keeps the others, or removes the others with `reset`.
    pub(super) fn naming(names: &[&str], mut given: Item, reset: bool) -> Self {
        let mut update = Self::default();
        for name in names {
            match given.remove(*name) {
                Some(value) => update.set(name, value),
                None if reset => update.remove(name),
                None => {}
            }
        }
        update
    }

    pub(super) fn set(&mut self, name: &str, value: AttributeValue) {
        let placeholder = self.name(name);
        self.sets.push(format!("{placeholder} = :{name}"));
        self.values.insert(format!(":{name}"), value);
    }

    /// Appends a value to a list, which is created if missing.
    pub(super) fn append(&mut self, name: &str, value: AttributeValue) {
        let placeholder = self.name(name);
        self.sets
            .push(format!("{placeholder} = list_append(if_not_exists({placeholder}, :no_{name}), :{name})"));
        self.values.insert(format!(":no_{name}"), AttributeValue::L(Vec::new()));
        self.values.insert(format!(":{name}"), AttributeValue::L(vec![value]));
    }

    pub(super) fn remove(&mut self, name: &str) {
        let placeholder = self.name(name);
        self.removes.push(placeholder);
    }

    /// The placeholder of an attribute name.
    pub(super) fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    /// Its values, for a request: none if it only removes.
    pub(super) fn take_values(&mut self) -> Option<Item> {
        Some(std::mem::take(&mut self.values)).filter(|values| !values.is_empty())
    }

    pub(super) fn expression(&self) -> String {
        let mut clauses = Vec::new();
        if !self.sets.is_empty() {
            clauses.push(format!("SET {}", self.sets.join(", ")));
        }
        if !self.removes.is_empty() {
            clauses.push(format!("REMOVE {}", self.removes.join(", ")));
        }
        clauses.join(" ")
    }
}
