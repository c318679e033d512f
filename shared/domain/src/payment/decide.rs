//! The state machine of a purchase.
//!
//! A fact is what the processor says when it is asked, never the claim of a webhook. Each fact moves a purchase
//! once, in any order: a repeat changes nothing, and the credits that are out are a function of the set of facts.

use super::money::Money;
use super::purchase::{Cause, Purchase, Session, Status, Withdrawal};
use crate::credit::{Credits, Entry};
use crate::event::EventType;
use crate::time::Timestamp;

/// What the processor says of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The buyer can pay.
    Opened(Session),
    /// The buyer has paid, and the money is on its way.
    Processing,
    /// The money is there, perhaps with the https URL of a receipt.
    Paid { payment: String, amount: Money, receipt_url: Option<String> },
    /// It cannot be paid any more, or the buyer was declined.
    Failed { code: String },
    /// It was not paid in time.
    Expired,
    /// Money left, by this refund or dispute: its own amount, in minor units.
    Withdrawn { id: String, cause: Cause, amount: u64 },
    /// The money of this refund or dispute came back.
    Returned { id: String },
}

/// What a fact means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Move(Box<Transition>),
    /// Known, or of no effect.
    Stay,
    /// Another amount was paid than is due: a person must look.
    Mismatch,
}

/// A move of a purchase, which [`Purchase::decide`] alone makes, with its one ledger line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    before: u64,
    after: Purchase,
    entry: Option<Entry>,
    event: Option<&'static str>,
}

impl Transition {
    /// The version that it moves from.
    pub const fn before(&self) -> u64 {
        self.before
    }

    pub const fn after(&self) -> &Purchase {
        &self.after
    }

    pub const fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// The type of its event.
    pub const fn event(&self) -> Option<&'static str> {
        self.event
    }
}

/// Refunds and disputes of one purchase; further ones are a mismatch.
const WITHDRAWALS_MAX: usize = 100;

impl Purchase {
    /// What a fact makes of the purchase.
    pub fn decide(&self, fact: &Fact, now: Timestamp) -> Decision {
        match fact {
            Fact::Opened(session) => self.open(session, now),
            Fact::Processing => self.wait(now),
            Fact::Paid { payment, amount, receipt_url } => {
                self.pay(payment, *amount, receipt_url.as_ref(), now)
            }
            Fact::Failed { code } => self.end(Status::Failed, Some(code), EventType::TOPUP_FAILED, now),
            Fact::Expired => self.end(Status::Expired, None, EventType::TOPUP_EXPIRED, now),
            Fact::Withdrawn { id, cause, amount } => self.withdraw(id, *cause, *amount, now),
            Fact::Returned { id } => self.give_back(id, now),
        }
    }

    fn open(&self, session: &Session, now: Timestamp) -> Decision {
        if self.status != Status::Created {
            return Decision::Stay;
        }
        self.moved(now, None, None, |after| {
            after.status = Status::Pending;
            after.session = Some(session.clone());
        })
    }

    fn wait(&self, now: Timestamp) -> Decision {
        if !self.status.is_open() || self.processing {
            return Decision::Stay;
        }
        self.moved(now, None, None, |after| {
            after.status = Status::Pending;
            after.processing = true;
        })
    }

    fn pay(&self, payment: &str, amount: Money, receipt_url: Option<&String>, now: Timestamp) -> Decision {
        if self.payment.is_some() {
            return Decision::Stay;
        }
        if amount != self.price {
            return Decision::Mismatch;
        }
        let (id, topup) = (self.line_id(payment), Some(self.id.clone()));
        let entry = Entry::Grant { id, amount: self.credits, topup };
        self.moved(now, Some(entry), Some(EventType::TOPUP_PAID), |after| {
            after.status = Status::Paid;
            after.processing = false;
            after.payment = Some(payment.to_owned());
            after.receipt_url = receipt_url.cloned();
            after.failure = None;
        })
    }

    /// One that has expired may still fail: its late payment was declined, or is of another amount.
    fn end(&self, status: Status, code: Option<&String>, event: &'static str, now: Timestamp) -> Decision {
        let is_late_failure = status == Status::Failed && self.status == Status::Expired;
        if !self.status.is_open() && !is_late_failure {
            return Decision::Stay;
        }
        self.moved(now, None, Some(event), |after| {
            after.status = status;
            after.processing = false;
            after.failure = code.cloned();
        })
    }

    fn withdraw(&self, id: &str, cause: Cause, amount: u64, now: Timestamp) -> Decision {
        if self.payment.is_none() || self.withdrawals.contains_key(id) {
            return Decision::Stay;
        }
        if self.withdrawals.len() >= WITHDRAWALS_MAX {
            return Decision::Mismatch;
        }
        let event = match cause {
            Cause::Refund => EventType::TOPUP_REFUNDED,
            Cause::Dispute => EventType::TOPUP_DISPUTED,
        };
        let mut after = self.clone();
        after.withdrawals.insert(id.to_owned(), Withdrawal { cause, amount, returned: false });
        let taken = after.taken_back().less(self.taken_back());
        let entry = Entry::Clawback { id: self.line_id(id), amount: taken, topup: self.id.clone() };
        self.settled(after, entry, event, now)
    }

    fn give_back(&self, id: &str, now: Timestamp) -> Decision {
        let mut after = self.clone();
        match after.withdrawals.get_mut(id) {
            Some(one) if !one.returned => one.returned = true,
            _ => return Decision::Stay,
        }
        let given = self.taken_back().less(after.taken_back());
        let entry = Entry::Reinstate { id: self.line_id(id), amount: given, topup: self.id.clone() };
        self.settled(after, entry, EventType::TOPUP_REINSTATED, now)
    }

    /// The move to what the withdrawals make of it. A line of nothing is none.
    fn settled(&self, settled: Purchase, entry: Entry, event: &'static str, now: Timestamp) -> Decision {
        let entry = (entry.amount() > Credits::ZERO).then_some(entry);
        self.moved(now, entry, Some(event), |after| {
            *after = settled;
            after.status = after.settled_status();
        })
    }

    /// The status of a paid purchase, by the set of its withdrawals.
    fn settled_status(&self) -> Status {
        let all = self.withdrawals.values();
        let is_disputed = all.clone().any(|one| one.cause == Cause::Dispute && !one.returned);
        if is_disputed {
            Status::Disputed
        } else if self.withdrawn() >= self.price.minor {
            Status::Refunded
        } else if all.clone().any(|one| one.returned) {
            Status::Reinstated
        } else {
            Status::Paid
        }
    }

    fn moved(
        &self,
        now: Timestamp,
        entry: Option<Entry>,
        event: Option<&'static str>,
        change: impl FnOnce(&mut Self),
    ) -> Decision {
        let mut after = self.clone();
        change(&mut after);
        after.version = self.version + 1;
        after.updated_at = now.max(self.updated_at);
        Decision::Move(Box::new(Transition { before: self.version, after, entry, event }))
    }
}

#[cfg(test)]
mod tests;
