//! The counters of budgets: charges less refunds, in the transactions that create and end jobs.
//!
//! A job without budgets has none of these writes.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};

use super::item::{Item, key, number, number_of, text_of};
use super::keys::{self, SK};
use super::{Error, Table};
use domain::budget::{Budget, Charge, Counter, MARKS, Spent, Standing};
use domain::credit::Credits;
use domain::event::Event;
use domain::id::AccountId;
use domain::job::Job;

/// The attribute of a counter in which an older release recorded the last mark that was an event.
const OLD_MARK: &str = "mark";

/// The counters of all accounts.
#[derive(Debug, Clone)]
pub struct BudgetStore {
    table: Table,
}

impl BudgetStore {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// What is spent of these budgets of one account; without a call if there are none.
    pub async fn standings(&self, account: &AccountId, budgets: Vec<Budget>) -> Result<Vec<Standing>, Error> {
        let doing = format!("read the budgets of {account}");
        let wanted = budgets.iter().map(|budget| counter_key(account, &budget.counter)).collect();
        let items = self.table.batch_get(&doing, wanted).await?;
        let named = items.iter().filter_map(|item| Some((counter_of(item)?, spent_of(item))));
        let spent: BTreeMap<Counter, Credits> = named.collect();
        let standing = |budget: Budget| {
            let spent = spent.get(&budget.counter).copied().unwrap_or_default();
            Standing { budget, spent }
        };
        Ok(budgets.into_iter().map(standing).collect())
    }

    /// What one counter of an account says, read consistently.
    pub async fn spent(&self, account: &AccountId, counter: &Counter) -> Result<Credits, Error> {
        let doing = format!("read the budget {counter} of {account}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read.set_key(Some(counter_key(account, counter))).send().await;
        let answer = answer.map_err(|source| Error::sdk(doing, source))?;
        Ok(answer.item.as_ref().map(spent_of).unwrap_or_default())
    }
}

/// A budget in the transaction that charges a job.
#[derive(Debug)]
pub(super) struct Charging<'a> {
    budget: &'a Budget,
    /// The mark that the charge was found to be the first to reach, and from where.
    reaches: Option<(Spent, u8)>,
}

impl<'a> Charging<'a> {
    pub(super) fn new(budget: &'a Budget) -> Self {
        Self { budget, reaches: None }
    }

    /// Whether the charge is announced, if the account has endpoints.
    pub(super) const fn is_news(&self) -> bool {
        self.reaches.is_some()
    }

    /// The write that charges it. It fails if the budget is exceeded, and, for an account with endpoints, if
    /// the charge is the first to reach a mark and no event says so.
    pub(super) fn write(&self, table: &Table, job: &Job, listens: bool) -> TransactWriteItem {
        let Budget { counter, limit } = self.budget;
        let price = job.price();
        let mut update = Update::builder()
            .table_name(&table.name)
            .set_key(Some(counter_key(job.account(), counter)))
            .expression_attribute_values(":price", number(price.micros()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut charge = "ADD spent :price".to_owned();
        // Without a counter, nothing is spent yet. Nothing is below zero: a price above the limit never fits.
        let mut condition = match limit.micros().checked_sub(price.micros()) {
            Some(room) => {
                update = update.expression_attribute_values(":room", number(room));
                "(attribute_not_exists(spent) OR spent <= :room)".to_owned()
            }
            None => {
                update = update.expression_attribute_values(":none", number(0));
                "spent < :none".to_owned()
            }
        };
        match self.reaches.filter(|_| listens) {
            Some((from, mark)) => {
                charge.push_str(" SET announced = :share");
                update = update
                    .expression_attribute_values(":share", number(self.budget.share(mark).micros()))
                    .expression_attribute_values(":seen", number(from.spent.micros()))
                    .expression_attribute_values(":mark", number(mark));
                let unspent =
                    if from.spent == Credits::ZERO { "attribute_not_exists(spent) OR " } else { "" };
                condition.push_str(&format!(
                    " AND ({unspent}spent = :seen) AND (announced < :share OR attribute_not_exists(announced) \
                     AND (attribute_not_exists({OLD_MARK}) OR {OLD_MARK} < :mark))"
                ));
            }
            None if listens => {
                for mark in MARKS {
                    let share = self.budget.share(mark);
                    let unspent = if share > price { "attribute_not_exists(spent) OR " } else { "" };
                    condition.push_str(&format!(
                        " AND ({unspent}spent < :below_{mark} OR announced >= :share_{mark} \
                         OR attribute_not_exists(announced) AND {OLD_MARK} >= :mark_{mark})"
                    ));
                    update = update
                        .expression_attribute_values(
                            format!(":below_{mark}"),
                            number(share.less(price).micros()),
                        )
                        .expression_attribute_values(format!(":share_{mark}"), number(share.micros()))
                        .expression_attribute_values(format!(":mark_{mark}"), number(mark));
                }
            }
            None => {}
        }
        let update = update.update_expression(charge).condition_expression(condition);
        let update = update.build().expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }

    /// The event that the charge reaches a mark, if it does.
    pub(super) fn event(&self, job: &Job) -> Option<Event> {
        let (from, mark) = self.reaches?;
        let spent = from.spent.checked_add(job.price())?;
        Some(Event::of_budget(job, &Standing { budget: self.budget.clone(), spent }, mark))
    }

    /// Learns from the counter that refused the write; returns the budget if it is exceeded.
    pub(super) fn refused(&mut self, item: &Item, job: &Job) -> Option<Standing> {
        let from = Spent { spent: spent_of(item), announced: announced_of(item, self.budget) };
        match self.budget.charge(from, job.price()) {
            Charge::Exceeds => Some(Standing { budget: self.budget.clone(), spent: from.spent }),
            Charge::Reaches(mark) => {
                self.reaches = Some((from, mark));
                None
            }
            Charge::Fits => {
                self.reaches = None;
                None
            }
        }
    }
}

/// Takes the refund of a job that ends from each counter that it was charged to.
pub(super) fn refunds(table: &Table, job: &Job, refund: Credits) -> Vec<TransactWriteItem> {
    let of_counter = |counter: &Counter| {
        let update = Update::builder()
            .table_name(&table.name)
            .set_key(Some(counter_key(job.account(), counter)))
            // Also if the counter is missing: nothing keeps a job from its end. The audit finds it.
            .update_expression("ADD spent :less")
            .expression_attribute_values(":less", number(-i128::from(refund.micros())))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    };
    if refund == Credits::ZERO { Vec::new() } else { job.budgets().iter().map(of_counter).collect() }
}

fn counter_key(account: &AccountId, counter: &Counter) -> Item {
    key(keys::budgets(account), counter.to_string())
}

/// The counter of an item.
pub(super) fn counter_of(item: &Item) -> Option<Counter> {
    text_of(item, SK)?.parse().ok()
}

/// Charges less refunds; nothing for an absent counter.
fn spent_of(item: &Item) -> Credits {
    Credits::from_micros(number_of(item, "spent").unwrap_or(0))
}

/// The amount up to which shares of a limit were events. An older release recorded the last mark instead: it counts
/// as one of this budget, until the next event.
fn announced_of(item: &Item, budget: &Budget) -> Credits {
    let announced = number_of(item, "announced").map(Credits::from_micros);
    let of_mark = || number_of(item, OLD_MARK).map(|mark: u8| budget.share(mark));
    announced.or_else(of_mark).unwrap_or_default()
}
