//! The record of a purchase. Its private fields change by [`Purchase::decide`] alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::money::{Money, share};
use super::{Method, Mode, Processor};
use crate::credit::Credits;
use crate::id::{AccountId, TopupId};
use crate::time::Timestamp;

/// How long a buyer may pay. Processors keep a session for 24 hours at most, and a repeat of the same request
/// must ask for the same end.
pub const PAYABLE_FOR: Duration = Duration::from_secs(23 * 3_600);
/// How long a session may be asked for that the processor has not confirmed yet: it remembers an idempotency key
/// for a day, and the end that is asked for must be half an hour ahead.
pub const OPENED_WITHIN: Duration = Duration::from_secs(3_600);
/// How long the money of a buyer who has paid may be on its way: a bank transfer, a slip of paper.
const PROCESSED_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);
/// When the processor is asked again about money that is on its way.
const PROCESSING_CHECK: Duration = Duration::from_secs(24 * 3_600);
/// How long after the end of the session the processor is asked for the last time.
const LAST_CHECK: Duration = Duration::from_secs(3_600);
/// How long after the deadline a processor is asked that does not answer.
const GIVE_UP_AFTER: Duration = Duration::from_secs(7 * 24 * 3_600);
/// When the processor is asked about a purchase that is open, after it was made and before its deadline.
const OPEN_CHECKS: [Duration; 2] = [Duration::from_secs(900), Duration::from_secs(3_600)];
/// The same for one that is paid or may be paid late, at a processor that lists no events: a webhook about that or
/// about a refund may be lost.
const PAID_CHECKS_DAYS: [u64; 4] = [1, 7, 30, 85];

/// The state of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Recorded; the processor has not confirmed its session.
    Created,
    /// The buyer may pay, or has, and the processor waits for the money.
    Pending,
    /// The money is there, and the credits are granted.
    Paid,
    /// It was not paid in time. A late payment is still taken.
    Expired,
    /// It could not be paid. A late payment is still taken.
    Failed,
    /// All of the payment was paid back, and its credits were taken back.
    Refunded,
    /// The money was withdrawn in a dispute, and its credits were taken back.
    Disputed,
    /// A dispute was won or a refund failed: the credits are back.
    Reinstated,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Pending,
        Self::Paid,
        Self::Expired,
        Self::Failed,
        Self::Refunded,
        Self::Disputed,
        Self::Reinstated,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
            Self::Reinstated => "reinstated",
        }
    }

    /// Whether it waits for its payment.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Created | Self::Pending)
    }
}

/// Where the buyer pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The processor's id of it.
    pub id: String,
    /// Its page, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The code that a bank's app reads, of PIX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pix: Option<String>,
}

/// Why money left again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Refund,
    Dispute,
}

/// Money that left again, by one refund or dispute: its own amount, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    pub cause: Cause,
    pub amount: u64,
    /// Whether it came back.
    #[serde(default)]
    pub returned: bool,
}

/// What a purchase is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    pub id: TopupId,
    pub account: AccountId,
    pub processor: Processor,
    pub method: Method,
    pub mode: Mode,
    pub price: Money,
    pub credits: Credits,
    pub pack: Option<String>,
    pub return_url: Option<String>,
    /// Of the request: a repeat with another body is no repeat.
    pub digest: String,
}

/// A purchase of credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    pub(super) id: TopupId,
    pub(super) account: AccountId,
    pub(super) processor: Processor,
    /// Absent in purchases of earlier releases: the processor's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<Method>,
    pub(super) mode: Mode,
    pub(super) status: Status,
    pub(super) price: Money,
    #[serde(rename = "micro_credits")]
    pub(super) credits: Credits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pack: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) return_url: Option<String>,
    pub(super) digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Session>,
    /// The processor's id of the payment, once it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payment: Option<String>,
    /// The processor's receipt of it, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receipt_url: Option<String>,
    /// Whether the buyer has paid, and the processor waits for the money.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) processing: bool,
    /// By the processor's id of the refund or dispute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) withdrawals: BTreeMap<String, Withdrawal>,
    /// Why it failed, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) version: u64,
}

impl Purchase {
    pub fn new(new: New, now: Timestamp) -> Self {
        let New { id, account, processor, method, mode, price, credits, pack, return_url, digest } = new;
        Self {
            id,
            account,
            processor,
            method: Some(method),
            mode,
            status: Status::Created,
            price,
            credits,
            pack,
            return_url,
            digest,
            session: None,
            payment: None,
            receipt_url: None,
            processing: false,
            withdrawals: BTreeMap::new(),
            failure: None,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    pub const fn id(&self) -> &TopupId {
        &self.id
    }

    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    pub const fn processor(&self) -> Processor {
        self.processor
    }

    pub fn method(&self) -> Method {
        self.method.unwrap_or(self.processor.methods()[0])
    }

    pub const fn mode(&self) -> Mode {
        self.mode
    }

    pub const fn status(&self) -> Status {
        self.status
    }

    pub const fn price(&self) -> Money {
        self.price
    }

    /// The credits that it brings, fixed when it was made.
    pub const fn credits(&self) -> Credits {
        self.credits
    }

    /// The address that the buyer is led back to.
    pub fn return_url(&self) -> Option<&str> {
        self.return_url.as_deref()
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    pub fn payment(&self) -> Option<&str> {
        self.payment.as_deref()
    }

    /// An https URL.
    pub fn receipt_url(&self) -> Option<&str> {
        self.receipt_url.as_deref()
    }

    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub const fn withdrawals(&self) -> &BTreeMap<String, Withdrawal> {
        &self.withdrawals
    }

    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    pub const fn version(&self) -> u64 {
        self.version
    }

    /// What the credit card statement and the processor's pages call it.
    pub fn title(&self) -> String {
        format!("{} credits", self.credits)
    }

    /// Until when the buyer may pay.
    pub fn payable_until(&self) -> Timestamp {
        self.created_at + PAYABLE_FOR
    }

    /// When an open purchase has had its last check, and expires if that finds no payment.
    pub fn deadline(&self) -> Timestamp {
        match self.processing {
            true => self.created_at + PROCESSED_FOR,
            false => self.payable_until() + LAST_CHECK,
        }
    }

    /// Whether its processor is no longer waited for, which does not answer: an open purchase then expires, and one
    /// that is paid has its next check.
    pub fn is_given_up(&self, now: Timestamp) -> bool {
        let asked = match self.status.is_open() {
            true => Some(self.deadline()),
            false => self.paid_checks().filter(|at| *at <= now).last(),
        };
        asked.is_none_or(|at| now >= at + GIVE_UP_AFTER)
    }

    /// When it is asked about once it is no longer open, at a processor that lists no events.
    fn paid_checks(&self) -> impl Iterator<Item = Timestamp> {
        PAID_CHECKS_DAYS.into_iter().map(|days| self.created_at + Duration::from_secs(days * 24 * 3_600))
    }

    /// The money that is out again, in minor units; at most the price, as a refund may be listed beside the
    /// dispute that caused it.
    pub fn withdrawn(&self) -> u64 {
        let out = self.withdrawals.values().filter(|one| !one.returned);
        let sum = out.fold(0_u64, |sum, one| sum.saturating_add(one.amount));
        sum.min(self.price.minor)
    }

    /// The credits that were taken back and have not returned: the share of what is out, in any order in which
    /// it left.
    pub fn taken_back(&self) -> Credits {
        share(self.credits, self.withdrawn(), self.price.minor)
    }

    /// The id of a ledger line: the processor's ids are unique among its own alone.
    pub fn line_id(&self, theirs: &str) -> String {
        format!("{}:{theirs}", self.processor)
    }

    /// When the processor is to be asked next; `None` if its webhooks and its list of events are enough.
    pub fn next_check(&self, now: Timestamp) -> Option<Timestamp> {
        let due = |at: &Timestamp| *at > now;
        if self.status.is_open() {
            let checks = OPEN_CHECKS.map(|after| self.created_at + after).into_iter();
            let checks = checks.chain(self.processing.then(|| now + PROCESSING_CHECK));
            let next = checks.filter(due).min().unwrap_or_else(|| self.deadline());
            return Some(next.min(self.deadline()));
        }
        let is_watched = self.payment.is_some() || self.may_be_paid_late();
        if !is_watched || self.processor.lists_events() {
            return None;
        }
        self.paid_checks().find(due)
    }

    /// Whether the processor's page may take a payment although it was not paid in time.
    fn may_be_paid_late(&self) -> bool {
        self.status == Status::Expired && self.session.is_some() && self.method() == Method::Hosted
    }

    /// As the API and events show it.
    pub fn shown(&self) -> Value {
        let session = self.session.as_ref().filter(|_| self.status == Status::Pending);
        json!({
            "id": self.id,
            "status": self.status,
            "processor": self.processor,
            "method": self.method(),
            "mode": self.mode,
            "pack": self.pack,
            "amount": self.price.minor,
            "currency": self.price.currency,
            "price": self.price.decimal(),
            "micro_credits": self.credits.micros(),
            "withdrawn_amount": self.withdrawn(),
            "taken_back_micro_credits": if self.payment.is_some() { self.taken_back().micros() } else { 0 },
            "url": session.and_then(|session| session.url.as_deref()),
            "pix_code": session.and_then(|session| session.pix.as_deref()),
            "payable_until": self.payable_until().to_string(),
            "failure": self.failure,
            "payment": self.payment,
            "receipt_url": self.receipt_url,
            "created_at": self.created_at.to_string(),
            "updated_at": self.updated_at.to_string(),
        })
    }
}
