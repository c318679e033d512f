//! Reads that several stores share.

use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::item::{Item, key, number, number_of, text, text_of};
use super::{Error, Table, back_off, keys};
use domain::time::Timestamp;

/// Maximum number of keys per batch read.
const BATCH_GET_MAX: usize = 100;

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    NewestFirst,
    OldestFirst,
}

/// A page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    pub items: Vec<T>,
    /// The place of the last item that was read, if more follow. Items may be missing there: some are
    /// deleted meanwhile.
    pub next: Option<(Timestamp, C)>,
}

impl<C> Page<Item, C> {
    /// The same page of what the items say.
    pub(super) fn parsed<T>(self, parse: impl Fn(Item) -> Result<T, Error>) -> Result<Page<T, C>, Error> {
        let items = self.items.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Page { items, next: self.next })
    }
}

/// Retries of a batch read for unprocessed keys.
const ROUNDS_MAX: u32 = 10;

impl Table {
    /// Keys of an account's items in the account index, newest first.
    pub(super) async fn newest_first(
        &self,
        doing: &str,
        account_key: &str,
        limit: i32,
        start: Option<Item>,
    ) -> Result<Vec<Item>, Error> {
        self.by_age(doing, account_key, Age::NewestFirst, limit, start).await
    }

    /// The same in either order.
    pub(super) async fn by_age(
        &self,
        doing: &str,
        account_key: &str,
        age: Age,
        limit: i32,
        start: Option<Item>,
    ) -> Result<Vec<Item>, Error> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(keys::ACCOUNT_INDEX)
            .key_condition_expression("account_key = :account_key")
            .expression_attribute_values(":account_key", text(account_key))
            .scan_index_forward(age == Age::OldestFirst)
            .limit(limit)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|source| Error::sdk(doing, source))?;
        Ok(answer.items.unwrap_or_default())
    }

    /// An account's items, newest first, from before the one at `cursor`, which is named by its time and
    /// key. One that was deleted meanwhile is omitted. `place` reads the cursor's part from a key.
    pub(super) async fn newest_items<C>(
        &self,
        doing: &str,
        account_key: &str,
        limit: i32,
        cursor: Option<(Timestamp, Item)>,
        place: impl Fn(&Item) -> Option<C>,
    ) -> Result<Page<Item, C>, Error> {
        let start = cursor.map(|(at, mut start)| {
            start.insert(keys::ACCOUNT_KEY.to_owned(), text(account_key));
            start.insert(keys::CREATED_AT.to_owned(), number(at.as_millis()));
            start
        });
        let key_of = |item: &Item| {
            let part = |name| text_of(item, name).unwrap_or_default().to_owned();
            (part(keys::PK), part(keys::SK))
        };
        let found = self.newest_first(doing, account_key, limit, start).await?;
        let order: Vec<_> = found.iter().map(key_of).collect();
        let keys = order.iter().map(|(pk, sk)| key(pk, sk)).collect();
        let mut items = self.batch_get(doing, keys).await?;
        items.sort_by_key(|item| order.iter().position(|key| *key == key_of(item)));
        let is_full = usize::try_from(limit).is_ok_and(|limit| found.len() >= limit);
        let next = found.last().filter(|_| is_full).and_then(|last| {
            Some((Timestamp::from_millis(number_of(last, keys::CREATED_AT)?), place(last)?))
        });
        Ok(Page { items, next })
    }

    /// The items with these keys, unordered, without missing ones; eventually consistent.
    pub(super) async fn batch_get(&self, doing: &str, keys: Vec<Item>) -> Result<Vec<Item>, Error> {
        self.batch(doing, keys, false).await
    }

    /// The same, strongly consistent.
    pub(super) async fn batch_get_now(&self, doing: &str, keys: Vec<Item>) -> Result<Vec<Item>, Error> {
        self.batch(doing, keys, true).await
    }

    async fn batch(&self, doing: &str, keys: Vec<Item>, now: bool) -> Result<Vec<Item>, Error> {
        let mut items = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(BATCH_GET_MAX) {
            let mut open = chunk.to_vec();
            for round in 0..ROUNDS_MAX {
                if open.is_empty() {
                    break;
                }
                if round > 0 {
                    back_off(round).await; // unprocessed because of throttling
                }
                let request = KeysAndAttributes::builder().set_keys(Some(open)).consistent_read(now).build();
                let request = request.map_err(|source| Error::corrupt(doing, source))?;
                let answer = self.client.batch_get_item().request_items(&self.name, request).send().await;
                let answer = answer.map_err(|source| Error::sdk(doing, source))?;
                items.extend(answer.responses.unwrap_or_default().remove(&self.name).unwrap_or_default());
                let left = answer.unprocessed_keys.unwrap_or_default().remove(&self.name);
                open = left.map(|left| left.keys).unwrap_or_default();
            }
            if !open.is_empty() {
                return Err(Error::contended(doing));
            }
        }
        Ok(items)
    }

    /// Every item of the table, by pages. For audits and operators.
    pub(super) async fn scan(
        &self,
        doing: &str,
        mut each: impl FnMut(Item) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut start = None;
        loop {
            let scan = self.client.scan().table_name(&self.name).consistent_read(true);
            let page = scan.set_exclusive_start_key(start).send().await;
            let page = page.map_err(|source| Error::sdk(doing, source))?;
            for item in page.items.unwrap_or_default() {
                each(item)?;
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(());
            }
        }
    }
}
