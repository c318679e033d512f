//! Purchases whose processor is to be asked, and lists of events that are to be read, in a part of the due index
//! of their own: they delay no job.

use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

use super::Purchases;
use crate::store::Error;
use crate::store::due::PageEnd;
use crate::store::item::{Item, key, number, number_of, text, text_of};
use crate::store::keys::{self, CHECK_AT, DUE_SHARD, PK};
use domain::id::TopupId;
use domain::payment::Processor;
use domain::payment::purchase::Purchase;
use domain::time::Timestamp;

/// How often a processor's events are listed.
const LIST_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// How far before the last list the next one begins: an event may become listed late.
const OVERLAP: Duration = Duration::from_secs(3_600);

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Purchase(TopupId),
    /// The events of a processor.
    List(Processor),
}

/// Something whose `check_at` has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePayment {
    pub what: What,
    pub check_at: Timestamp,
}

/// How far a processor's events were listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    until: Timestamp,
}

impl Listing {
    /// The span to list now. Of what is new since the last list, it has all, or after so many halvings the first part,
    /// with as much less of what was listed before; it always goes further than the last one.
    pub fn span(self, halvings: u32, now: Timestamp) -> (Timestamp, Timestamp) {
        let part = 2_u32.pow(halvings);
        (self.until.minus(OVERLAP / part), self.until + now.since(self.until) / part)
    }
}

impl Purchases {
    /// What is due, longest overdue first, by pages. Returns the end of the page if there are more.
    pub async fn due(
        &self,
        now: Timestamp,
        limit: i32,
        start: Option<PageEnd>,
    ) -> Result<(Vec<DuePayment>, Option<PageEnd>), Error> {
        let (doing, shard) = ("read the due purchases", keys::DUE_PAYMENTS.to_owned());
        self.table.due_page(doing, shard, (now, limit), start, due_of).await
    }

    /// Moves a check. `false` if another run has moved it, or it is done.
    pub async fn check_again(&self, due: &DuePayment, at: Timestamp) -> Result<bool, Error> {
        let key = match &due.what {
            What::Purchase(id) => key(keys::topup(id), keys::TOPUP),
            What::List(processor) => key(keys::payments(*processor), keys::LISTED),
        };
        self.table.move_check("move the check of a purchase", key, due.check_at, at).await
    }

    /// Sets the next check of a purchase after its processor was asked and it has not moved.
    #[expect(clippy::disallowed_methods, reason = "the one write of a check that was made")]
    pub async fn checked(&self, purchase: &Purchase, now: Timestamp) -> Result<(), Error> {
        let mut update = self.table.client.update_item().table_name(&self.table.name);
        update = update
            .set_key(Some(key(keys::topup(purchase.id()), keys::TOPUP)))
            .condition_expression("version = :seen")
            .expression_attribute_values(":seen", number(purchase.version()));
        update = match purchase.next_check(now) {
            Some(at) => update
                .update_expression("SET check_at = :at, due_shard = :shard")
                .expression_attribute_values(":at", number(at.as_millis()))
                .expression_attribute_values(":shard", text(keys::DUE_PAYMENTS)),
            None => update.update_expression("REMOVE check_at, due_shard"),
        };
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // It has moved since, and that move has set its check.
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(Error::sdk("set the check of a purchase", error)),
            },
        }
    }

    /// Has the events of a processor listed daily from now on, if they are not yet.
    #[expect(clippy::disallowed_methods, reason = "the one write that begins the lists of a processor")]
    pub async fn begin_listing(&self, processor: Processor, now: Timestamp) -> Result<(), Error> {
        let mut item = key(keys::payments(processor), keys::LISTED);
        item.insert("until".to_owned(), number(now.as_millis()));
        item.insert(DUE_SHARD.to_owned(), text(keys::DUE_PAYMENTS));
        item.insert(CHECK_AT.to_owned(), number((now + LIST_EVERY).as_millis()));
        let put = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        match put.condition_expression("attribute_not_exists(PK)").send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(Error::sdk("begin to list the events of a processor", error)),
            },
        }
    }

    /// How far the events of a processor were listed; `None` if they are not.
    pub async fn listing(&self, processor: Processor) -> Result<Option<Listing>, Error> {
        let read = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let answer = read.set_key(Some(key(keys::payments(processor), keys::LISTED))).send().await;
        let answer = answer.map_err(|source| Error::sdk("read how far events were listed", source))?;
        let until = |item: Item| {
            let until = number_of(&item, "until").map(Timestamp::from_millis);
            until.ok_or_else(|| Error::unreadable("read how far events were listed", "it has no time"))
        };
        Ok(answer.item.map(until).transpose()?.map(|until| Listing { until }))
    }

    /// Leaves the list of a processor for a day, as it was.
    pub async fn list_later(&self, processor: Processor, seen: Listing, now: Timestamp) -> Result<(), Error> {
        self.listed(processor, seen, seen.until, false, now).await
    }

    /// Records that the events of a processor were listed until `until`. The next list is due a day later, or at
    /// once if there are more. A concurrent run that went further stays.
    #[expect(clippy::disallowed_methods, reason = "the one write of how far events were listed")]
    pub async fn listed(
        &self,
        processor: Processor,
        seen: Listing,
        until: Timestamp,
        has_more: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let next = if has_more { now } else { now + LIST_EVERY };
        let sent = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key(keys::payments(processor), keys::LISTED)))
            .update_expression("SET #until = :until, check_at = :next")
            .condition_expression("#until = :seen")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":until", number(until.as_millis()))
            .expression_attribute_values(":next", number(next.as_millis()))
            .expression_attribute_values(":seen", number(seen.until.as_millis()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(Error::sdk("record how far events were listed", error)),
            },
        }
    }
}

fn due_of(item: &Item) -> Option<DuePayment> {
    let pk = text_of(item, PK)?;
    let purchase = keys::parse_topup(pk).map(What::Purchase);
    let what = purchase.or_else(|| keys::parse_payments(pk).map(What::List))?;
    Some(DuePayment { what, check_at: Timestamp::from_millis(number_of(item, CHECK_AT)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_goes_further_than_the_last_one() {
        let day = |days: u64| Timestamp::from_secs(1_800_000_000) + Duration::from_secs(days * 86_400);
        let seen = Listing { until: day(0) };
        assert_eq!(seen.span(0, day(1)), (day(0).minus(OVERLAP), day(1)));
        let length = |halvings| {
            let (since, until) = seen.span(halvings, day(1));
            assert!(since < day(0) && day(0) < until && until <= day(1), "{halvings}: {until}");
            until.since(since)
        };
        for halvings in 0..16 {
            assert!(length(halvings + 1) <= length(halvings) / 2 + Duration::from_millis(1), "{halvings}");
        }
        assert!(length(15) < Duration::from_secs(3));
    }
}
