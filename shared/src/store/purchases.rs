//! Purchases of credits. A move is one transaction: the purchase, its ledger line, the balance, its events.

mod due;

use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};

use super::events::event_put;
use super::item::{Item, from_item, key, number, text, text_of, to_item};
use super::keys::{self, ACCOUNT_KEY, CHECK_AT, DUE_SHARD, PK};
use super::ledger::{Ledger, entry_put, give};
use super::queue::{Message, Queue};
use super::read::Page;
use super::{Error, RACES_MAX, Table, back_off, is_transient};
use domain::credit::Entry;
use domain::event::Event;
use domain::id::{AccountId, TopupId};
use domain::payment::decide::{Decision, Fact, Transition};
use domain::payment::purchase::Purchase;
use domain::time::Timestamp;

pub use due::{DuePayment, Listing, What};

/// The purchases of the table.
#[derive(Debug, Clone)]
pub struct Purchases {
    table: Table,
    /// Where events are announced; `None` in a function that leaves it to `reconcile`.
    notify: Option<Queue>,
}

/// The result of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// This call moved the purchase.
    Moved(Purchase),
    Unchanged(Purchase),
    /// Another amount was paid than is due. Nothing was changed.
    Mismatch(Purchase),
}

impl Applied {
    pub fn into_purchase(self) -> Purchase {
        match self {
            Self::Moved(purchase) | Self::Unchanged(purchase) | Self::Mismatch(purchase) => purchase,
        }
    }
}

enum Commit {
    Done,
    /// Another move was first.
    Lost,
}

impl Purchases {
    pub fn new(table: Table) -> Self {
        Self { table, notify: None }
    }

    /// With the queue of events.
    #[must_use]
    pub fn announcing(self, notify: Queue) -> Self {
        Self { notify: Some(notify), ..self }
    }

    /// Records a new purchase; `Some` if one of this id exists, which is unchanged.
    #[expect(clippy::disallowed_methods, reason = "the one write of a new purchase")]
    pub async fn create(&self, purchase: &Purchase) -> Result<Option<Purchase>, Error> {
        let doing = format!("create purchase {}", purchase.id());
        let put = self.table.client.put_item().table_name(&self.table.name);
        let sent = put
            .set_item(Some(purchase_item(&doing, purchase)?))
            .condition_expression("attribute_not_exists(PK)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = sent else { return Ok(None) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let item = failed.item().cloned();
                let item = item.ok_or_else(|| Error::contended(&doing))?;
                let found: Purchase = from_item(&doing, item)?;
                // Its own write, whose answer was lost.
                Ok((found != *purchase).then_some(found))
            }
            _ => Err(Error::sdk(doing, error)),
        }
    }

    /// The purchase, read consistently.
    pub async fn get(&self, id: &TopupId) -> Result<Option<Purchase>, Error> {
        let doing = format!("read purchase {id}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read.set_key(Some(key(keys::topup(id), keys::TOPUP))).send().await;
        let answer = answer.map_err(|source| Error::sdk(&doing, source))?;
        answer.item.map(|item| from_item(&doing, item)).transpose()
    }

    /// An account's purchases, newest first, from before `cursor`.
    pub async fn list(
        &self,
        account: &AccountId,
        limit: i32,
        cursor: Option<(Timestamp, TopupId)>,
    ) -> Result<Page<Purchase, TopupId>, Error> {
        let doing = format!("list the purchases of {account}");
        let cursor = cursor.map(|(at, id)| (at, key(keys::topup(&id), keys::TOPUP)));
        let id_of = |key: &Item| keys::parse_topup(text_of(key, PK)?);
        let page = self.table.newest_items(&doing, &keys::topups(account), limit, cursor, id_of).await?;
        page.parsed(|item| from_item(&doing, item))
    }

    /// Applies a fact. After a lost race it decides again from the winner. At most one caller wins each version.
    pub async fn apply(&self, mut purchase: Purchase, fact: &Fact, now: Timestamp) -> Result<Applied, Error> {
        let id = purchase.id().clone();
        let doing = format!("move purchase {id}");
        for tries in 0..RACES_MAX {
            let transition = match purchase.decide(fact, now) {
                Decision::Stay => return Ok(Applied::Unchanged(purchase)),
                Decision::Mismatch => return Ok(Applied::Mismatch(purchase)),
                Decision::Move(transition) => transition,
            };
            match self.commit(&doing, &transition, now).await? {
                Commit::Done => return Ok(Applied::Moved(transition.after().clone())),
                Commit::Lost => {
                    back_off(tries).await;
                    purchase = self.get(&id).await?.ok_or_else(|| Error::missing(&doing))?;
                }
            }
        }
        Err(Error::contended(doing))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one transaction that moves a purchase and its credits"
    )]
    async fn commit(&self, doing: &str, transition: &Transition, now: Timestamp) -> Result<Commit, Error> {
        let purchase = transition.after();
        let events = self.events(transition, now).await?;
        let mut writes = vec![self.replace(doing, transition)?];
        if let Some(entry) = transition.entry() {
            writes.push(entry_put(&self.table, purchase.account(), entry, now));
            writes.push(match entry {
                Entry::Clawback { .. } => self.take_back(purchase.account(), entry),
                _ => give(&self.table, purchase.account(), entry.amount()),
            });
        }
        for event in &events {
            writes.push(event_put(&self.table, event)?);
        }
        let sent = self.table.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        let Err(error) = sent else {
            let (status, processor) = (purchase.status().name(), purchase.processor().name());
            tracing::info!(topup = %purchase.id(), processor, status, "topup.moved");
            self.announce(&events).await;
            return Ok(Commit::Done);
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error()
        else {
            return Err(Error::sdk(doing, error));
        };
        let reasons = canceled.cancellation_reasons();
        let failed = |place: usize| {
            reasons.get(place).is_some_and(|reason| reason.code() == Some("ConditionalCheckFailed"))
        };
        if failed(0) || is_transient(reasons) {
            return Ok(Commit::Lost);
        }
        Err(match (failed(1), failed(2)) {
            (true, _) => Error::corrupt(doing, "its ledger line exists, written for something else"),
            (_, true) => Error::corrupt(doing, "the balance would exceed its maximum"),
            _ => Error::sdk(doing, error),
        })
    }

    fn replace(&self, doing: &str, transition: &Transition) -> Result<TransactWriteItem, Error> {
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(purchase_item(doing, transition.after())?))
            .condition_expression("version = :seen")
            .expression_attribute_values(":seen", number(transition.before()))
            .build()
            .expect("table and item are set");
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Lowers the balance, also below zero: the money has left already.
    fn take_back(&self, account: &AccountId, entry: &Entry) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::account(account), keys::BALANCE)))
            .update_expression("ADD balance :effect")
            .expression_attribute_values(":effect", number(entry.effect()))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }

    /// The events of a move, if the account has endpoints.
    async fn events(&self, transition: &Transition, now: Timestamp) -> Result<Vec<Event>, Error> {
        let purchase = transition.after();
        let Some(kind) = transition.event() else { return Ok(Vec::new()) };
        if !Ledger::new(self.table.clone()).has_endpoints(purchase.account()).await? {
            return Ok(Vec::new());
        }
        let mut events = vec![Event::of_topup(kind, purchase)];
        if let Some(Entry::Grant { id, amount, .. }) = transition.entry() {
            events.push(Event::of_grant(purchase.account(), id, *amount, now));
        }
        Ok(events)
    }

    /// Queues events that are written. `reconcile` finds one whose message was lost.
    async fn announce(&self, events: &[Event]) {
        let Some(queue) = &self.notify else { return };
        for event in events {
            let message = Message::Notify { event: event.id.clone() };
            let sent = queue.send(&message, Some(event.account.as_str()), Duration::ZERO).await;
            if let Err(error) = sent {
                tracing::warn!(error = error.with_causes(), "message.not_queued");
            }
        }
    }
}

/// The item of a purchase, in the due index while its processor is to be asked.
fn purchase_item(doing: &str, purchase: &Purchase) -> Result<Item, Error> {
    let mut item = to_item(doing, purchase)?;
    item.extend(key(keys::topup(purchase.id()), keys::TOPUP));
    item.insert(ACCOUNT_KEY.to_owned(), text(keys::topups(purchase.account())));
    if let Some(at) = purchase.next_check(purchase.updated_at()) {
        item.insert(DUE_SHARD.to_owned(), text(keys::DUE_PAYMENTS));
        item.insert(CHECK_AT.to_owned(), number(at.as_millis()));
    }
    Ok(item)
}
