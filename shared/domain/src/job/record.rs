//! What a job records, for all who may read it.

use super::{CancelRefund, Job, Notifies, State, Stop};
use crate::attempt::Attempt;
use crate::budget::Counter;
use crate::credit::Credits;
use crate::id::{AccountId, JobId};
use crate::media::Media;
use crate::time::Timestamp;
use crate::verdict::Fault;

impl Job {
    pub const fn id(&self) -> &JobId {
        &self.id
    }

    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    pub const fn version(&self) -> u64 {
        self.version
    }

    pub const fn state(&self) -> State {
        self.state
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    pub const fn price(&self) -> Credits {
        self.price
    }

    pub fn request_hash(&self) -> &str {
        &self.request_hash
    }

    pub fn body_digest(&self) -> Option<&str> {
        self.body_digest.as_deref()
    }

    /// Whether a request of this digest, or its body of that one, is the one that made the job.
    pub fn is_made_by(&self, request_hash: &str, body_digest: Option<&str>) -> bool {
        let is_same_body = body_digest.is_some() && self.body_digest() == body_digest;
        is_same_body || self.request_hash == request_hash
    }

    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    pub const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// When its state became terminal; `None` while it is live. Later moves, as of its files or of another attempt,
    /// do not change it.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.state.is_terminal().then(|| self.ended_at.unwrap_or(self.updated_at))
    }

    /// The number of the current attempt; 0 before the first.
    pub const fn current_number(&self) -> u8 {
        self.attempt
    }

    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    pub const fn copy_until(&self) -> Option<Timestamp> {
        self.copy_until
    }

    pub const fn copy_lease(&self) -> Option<u64> {
        self.copy_lease
    }

    pub const fn stop(&self) -> Option<Stop> {
        self.stop
    }

    pub const fn media(&self) -> Option<&Media> {
        self.media.as_ref()
    }

    pub const fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    pub const fn cancel_refund(&self) -> CancelRefund {
        self.cancel_refund
    }

    pub const fn notifies(&self) -> Notifies {
        self.notifies
    }

    pub const fn price_version(&self) -> u32 {
        self.price_version
    }

    pub const fn price_percent(&self) -> u32 {
        self.price_percent
    }

    /// Whether its account's count of active jobs leaves it out.
    pub const fn is_uncounted(&self) -> bool {
        self.uncounted
    }

    pub fn budgets(&self) -> &[Counter] {
        &self.budgets
    }

    pub const fn deleted_at(&self) -> Option<Timestamp> {
        self.deleted_at
    }

    pub const fn refunded(&self) -> Option<Credits> {
        self.refunded
    }
}
