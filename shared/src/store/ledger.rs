//! Balances and the append-only ledger.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use serde::{Deserialize, Serialize};

use super::endpoints::Listening;
use super::events::event_put;
use super::item::{Item, from_item, key, number, number_of, text, text_of, to_item};
use super::keys::{self, PK, SK};
use super::read::Page;
use super::{Error, RACES_MAX, Table, back_off, is_transient};
use domain::budget::Counter;
use domain::credit::{Balance, Credits, Entry, MicroUsd};
use domain::event::Event;
use domain::id::{AccountId, JobId};
use domain::job::{Job, Notifies};
use domain::policy::live::LiveMax;
use domain::time::Timestamp;

/// Maximum length of a key of the table.
const KEY_BYTES_MAX: usize = 1024;

/// Balances and ledger of all accounts.
#[derive(Debug, Clone)]
pub struct Ledger {
    table: Table,
}

/// A ledger line with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    #[serde(flatten)]
    pub entry: Entry,
    #[serde(rename = "created_at")]
    pub at: Timestamp,
    /// The counters of budgets that it changed as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Counter>,
}

impl Line {
    /// The key of a line, if this text is one.
    pub fn key(text: &str) -> Option<String> {
        let rest = text.strip_prefix("ENTRY#")?;
        let of_job = rest.strip_suffix("#CHARGE").or_else(|| rest.strip_suffix("#REFUND"));
        let of_other = ["#GRANT", "#CLAWBACK", "#REINSTATE"].iter().find_map(|kind| rest.strip_suffix(kind));
        let fits = match (of_job, of_other) {
            (Some(job), _) => job.len() >= JobId::BYTES && job.parse::<JobId>().is_ok(),
            (None, Some(id)) => !id.is_empty() && !id.chars().any(char::is_control),
            (None, None) => false,
        };
        (fits && text.len() <= KEY_BYTES_MAX).then(|| text.to_owned())
    }
}

/// The result of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    New,
    /// The same grant was made before; nothing was changed.
    Exists,
    /// A grant of another amount has this id. Nothing was changed.
    Conflict,
    /// The balance would exceed [`BALANCE_MAX`]. Nothing was changed.
    TooMuch,
}

/// Maximum balance: 2^53 micro-credits, an exact number in every JSON parser.
pub const BALANCE_MAX: Credits = Credits::from_micros(1 << 53);

impl Ledger {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// The balance; zero for an unknown account.
    pub async fn balance(&self, account: &AccountId) -> Result<Balance, Error> {
        balance_of(&format!("read the balance of {account}"), &self.balance_item(account).await?)
    }

    /// Whether the account has endpoints, so that its events are wanted.
    pub(super) async fn has_endpoints(&self, account: &AccountId) -> Result<bool, Error> {
        let item = self.balance_item(account).await?;
        Ok(wanted_events(&item) != Notifies::Nothing)
    }

    async fn balance_item(&self, account: &AccountId) -> Result<Item, Error> {
        let doing = format!("read the balance of {account}");
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read
            .set_key(Some(key(keys::account(account), keys::BALANCE)))
            .send()
            .await
            .map_err(|source| Error::sdk(&doing, source))?;
        Ok(answer.item.unwrap_or_default())
    }

    /// Grants credits, once per `id`. Creates the account if it is new.
    #[expect(clippy::disallowed_methods, reason = "the one transaction that grants credits")]
    pub async fn grant(
        &self,
        account: &AccountId,
        id: &str,
        amount: Credits,
        now: Timestamp,
    ) -> Result<Granted, Error> {
        let doing = format!("grant credits to {account}");
        if amount > BALANCE_MAX {
            return Ok(Granted::TooMuch);
        }
        let entry = Entry::Grant { id: id.to_owned(), amount, topup: None };
        let mut writes =
            vec![entry_put(&self.table, account, &entry, now), give(&self.table, account, amount)];
        if self.has_endpoints(account).await? {
            writes.push(event_put(&self.table, &Event::of_grant(account, id, amount, now))?);
        }
        for tries in 0..RACES_MAX {
            let send = self.table.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = send.send().await else { return Ok(Granted::New) };
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
                error.as_service_error()
            else {
                return Err(Error::sdk(doing, error));
            };
            let reasons = canceled.cancellation_reasons();
            let Some(first) = reasons.first() else { return Err(Error::sdk(doing, error)) };
            if first.code() == Some("ConditionalCheckFailed") {
                let earlier = first.item().and_then(|item| number_of(item, "amount"));
                let same = earlier == Some(amount.micros());
                return Ok(if same { Granted::Exists } else { Granted::Conflict });
            }
            if is_transient(reasons) {
                back_off(tries).await;
                continue;
            }
            if reasons.get(1).and_then(|reason| reason.code()) == Some("ConditionalCheckFailed") {
                return Ok(Granted::TooMuch);
            }
            return Err(Error::sdk(doing, error));
        }
        Err(Error::contended(doing))
    }

    /// The account's ledger, newest line first, from before `cursor`.
    pub async fn lines(
        &self,
        account: &AccountId,
        limit: i32,
        cursor: Option<(Timestamp, String)>,
    ) -> Result<Page<Line, String>, Error> {
        let doing = format!("list the ledger of {account}");
        let cursor = cursor.map(|(at, sk)| (at, key(keys::account(account), sk)));
        let sk = |key: &Item| text_of(key, SK).map(str::to_owned);
        let page = self.table.newest_items(&doing, &keys::ledger(account), limit, cursor, sk).await?;
        page.parsed(|item| from_item(&doing, item))
    }
}

/// Limits of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Active jobs.
    pub live_jobs: LiveMax,
    /// Possibly billed refunds on one day (UTC).
    pub loss_per_day: Option<MicroUsd>,
    /// A balance below this is an event, if the account has endpoints.
    pub low_below: Option<Credits>,
}

/// Whether a charge is known to take the balance below [`Limits::low_below`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Low {
    /// Not yet: the charge is refused if it does, and no event has said so.
    Unknown,
    /// It does from this balance, and is refused at any other.
    From(Credits),
}

/// Charges a job and counts it as active, if the balance and the limits allow it.
pub(super) fn take(
    table: &Table,
    job: &Job,
    limits: Limits,
    low: Low,
    listening: Listening,
) -> TransactWriteItem {
    let mut condition = format!("balance >= :amount{}", listening.condition());
    let mut update = Update::builder()
        .table_name(&table.name)
        .set_key(Some(key(keys::account(job.account()), keys::BALANCE)))
        .expression_attribute_values(":amount", number(job.price().micros()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    if let Some(loss_max) = limits.loss_per_day {
        condition.push_str(" AND (attribute_not_exists(#at_risk) OR #at_risk < :loss_max)");
        update = update
            .expression_attribute_names("#at_risk", at_risk_on(job.created_at()))
            .expression_attribute_values(":loss_max", number(loss_max.0));
    }
    let mut charge = "SET balance = balance - :amount".to_owned();
    match (low, limits.low_below) {
        (Low::From(balance), _) => {
            charge.push_str(", told_low = :one");
            condition.push_str(" AND balance = :seen AND attribute_not_exists(told_low)");
            update = update.expression_attribute_values(":seen", number(balance.micros()));
        }
        (Low::Unknown, Some(mark)) if listening.wanted != Notifies::Nothing => {
            condition.push_str(
                " AND (balance >= :stay OR attribute_exists(told_low) OR attribute_not_exists(listeners) OR \
                 listeners < :one)",
            );
            let stay = mark.micros().saturating_add(job.price().micros());
            update = update.expression_attribute_values(":stay", number(stay));
        }
        (Low::Unknown, _) => {}
    }
    if let Some(most) = limits.live_jobs.number() {
        // Without a count there is no active job; a limit of zero rejects the first, too.
        let none_yet = if most > 0 { "attribute_not_exists(live) OR " } else { "" };
        condition.push_str(&format!(" AND ({none_yet}live < :live_max)"));
        charge.push_str(" ADD live :one");
        update = update.expression_attribute_values(":live_max", number(most));
    }
    // DynamoDB refuses a value that no expression names.
    if charge.contains(":one") || condition.contains(":one") {
        update = update.expression_attribute_values(":one", number(1));
    }
    let update = update
        .update_expression(charge)
        .condition_expression(condition)
        .build()
        .expect("table, key and expression are set");
    TransactWriteItem::builder().update(update).build()
}

/// The balance from which this charge is the first to leave less than the account's mark.
pub(super) fn falls_low(
    doing: &str,
    item: &Item,
    job: &Job,
    limits: Limits,
) -> Result<Option<Credits>, Error> {
    let balance = balance_of(doing, item)?.available();
    let is_below = limits.low_below.is_some_and(|mark| balance.less(job.price()) < mark);
    let is_news = !item.contains_key("told_low") && wanted_events(item) != Notifies::Nothing;
    Ok((is_below && is_news).then_some(balance))
}

/// Raises the balance, up to [`BALANCE_MAX`].
pub(super) fn give(table: &Table, account: &AccountId, amount: Credits) -> TransactWriteItem {
    let update = Update::builder()
        .table_name(&table.name)
        .set_key(Some(key(keys::account(account), keys::BALANCE)))
        .update_expression("ADD balance :amount REMOVE told_low")
        .condition_expression("attribute_not_exists(balance) OR balance <= :room")
        .expression_attribute_values(":amount", number(amount.micros()))
        .expression_attribute_values(":room", number(BALANCE_MAX.less(amount).micros()))
        .build()
        .expect("table, key and expression are set");
    TransactWriteItem::builder().update(update).build()
}

/// Counts one active job less, refunds, and adds the cost at risk to this day's sum (UTC). `None` if the account
/// stays as it is: of an uncounted job without a refund.
pub(super) fn end_job(
    table: &Table,
    job: &Job,
    refund: Credits,
    at_risk: MicroUsd,
    now: Timestamp,
) -> Option<TransactWriteItem> {
    if job.is_uncounted() && refund == Credits::ZERO && at_risk == MicroUsd(0) {
        return None;
    }
    let mut expression = "ADD balance :amount".to_owned();
    let mut update = Update::builder()
        .table_name(&table.name)
        .set_key(Some(key(keys::account(job.account()), keys::BALANCE)))
        .expression_attribute_values(":amount", number(refund.micros()));
    if !job.is_uncounted() {
        expression.push_str(", live :one_less");
        update = update.expression_attribute_values(":one_less", number(-1));
    }
    if at_risk.0 > 0 {
        expression.push_str(", #at_risk :at_risk REMOVE ");
        let old: Vec<String> = (7..14).map(|days| format!("#before_{days}")).collect();
        expression.push_str(&old.join(", "));
        update = update
            .expression_attribute_names("#at_risk", at_risk_on(now))
            .expression_attribute_values(":at_risk", number(at_risk.0));
        for days in 7..14 {
            let day = now.minus(Duration::from_secs(days * 24 * 3_600));
            update = update.expression_attribute_names(format!("#before_{days}"), at_risk_on(day));
        }
    }
    let update = update.update_expression(expression).build().expect("table, key and expression are set");
    Some(TransactWriteItem::builder().update(update).build())
}

/// The attribute of a day's possibly billed refunds (UTC), in micro-dollars. Kept for a week.
fn at_risk_on(day: Timestamp) -> String {
    format!("at_risk_{}", day.as_secs().div_euclid(24 * 3_600))
}

/// Appends a ledger line, if it does not exist.
pub(super) fn entry_put(
    table: &Table,
    account: &AccountId,
    entry: &Entry,
    at: Timestamp,
) -> TransactWriteItem {
    line_put(table, account, &Line { entry: entry.clone(), at, budgets: Vec::new() })
}

/// The same, with the counters that it changes.
pub(super) fn line_put(table: &Table, account: &AccountId, line: &Line) -> TransactWriteItem {
    let mut item = to_item("write a ledger line", line).expect("a line of strings and numbers serialises");
    item.extend(key(keys::account(account), keys::entry(&line.entry)));
    item.insert(keys::ACCOUNT_KEY.to_owned(), text(keys::ledger(account)));
    let put = Put::builder()
        .table_name(&table.name)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(PK)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("table and item are set");
    TransactWriteItem::builder().put(put).build()
}

/// The balance in an item; zero for an empty item and for an unknown account.
pub(super) fn balance_of(doing: &str, item: &Item) -> Result<Balance, Error> {
    if item.is_empty() {
        return Ok(Balance::default());
    }
    let micros = number_of(item, "balance");
    micros
        .map(Balance::from_micros)
        .ok_or_else(|| Error::unreadable(doing, "the balance is no number of credits"))
}

/// The possibly billed refunds of this day (UTC).
pub(super) fn at_risk_of(item: &Item, now: Timestamp) -> MicroUsd {
    MicroUsd(number_of(item, &at_risk_on(now)).unwrap_or(0))
}

/// The number of active jobs in a balance item.
pub(super) fn live_of(item: &Item) -> u32 {
    number_of(item, "live").unwrap_or(0)
}

/// The events that an account's endpoints want, by the counts in its balance item: `listeners` of all,
/// `movers` of those that want more than ends.
pub(super) fn wanted_events(item: &Item) -> Notifies {
    let is_any = |name| number_of::<u32>(item, name).unwrap_or(0) > 0;
    match (is_any("movers"), is_any("listeners")) {
        (true, _) => Notifies::Moves,
        (false, true) => Notifies::Ends,
        (false, false) => Notifies::Nothing,
    }
}

/// The account of a ledger item.
pub(super) fn owner(item: &Item) -> Option<AccountId> {
    text_of(item, PK).and_then(keys::parse_account)
}

#[cfg(test)]
mod tests {
    use JobId;

    use super::*;

    #[test]
    fn a_key_is_of_a_line() {
        let id = JobId::from_bytes([7; 16]);
        for key in [
            format!("ENTRY#{id}#CHARGE"),
            format!("ENTRY#{id}#REFUND"),
            "ENTRY#a#b c#GRANT".to_owned(),
            "ENTRY#stripe:re_1#CLAWBACK".to_owned(),
            "ENTRY#stripe:dp_1#REINSTATE".to_owned(),
        ] {
            assert_eq!(Line::key(&key), Some(key.clone()));
        }
        let long = format!("ENTRY#{}#GRANT", "x".repeat(1_100));
        for key in [
            "ENTRY#",
            "ENTRY##GRANT",
            "ENTRY#job_1#CHARGE",
            "ENTRY#a\n#GRANT",
            "BALANCE#",
            "ENTRY#a#X",
            &long,
        ] {
            assert_eq!(Line::key(key), None, "{key}");
        }
    }
}
