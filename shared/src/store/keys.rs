//! All keys of the table are built and parsed here.

use data_encoding::HEXLOWER;
use domain::credit::Entry;
use domain::endpoint::Kind;
use domain::id::{AccountId, EndpointId, EventId, JobId, KeyId, TopupId};
use domain::payment::Processor;
use domain::provider::Provider;
use sha2::{Digest, Sha256};

pub const PK: &str = "PK";
pub const SK: &str = "SK";

/// The sparse index of active jobs: [`DUE_SHARD`] and [`CHECK_AT`].
pub const DUE_INDEX: &str = "due";
pub const DUE_SHARD: &str = "due_shard";
pub const CHECK_AT: &str = "check_at";
/// The transition history: see [`Move`](super::moves::Move).
pub const MOVES: &str = "moves";

/// The index of an account's items by age: [`ACCOUNT_KEY`] and [`CREATED_AT`].
pub const ACCOUNT_INDEX: &str = "account";
pub const ACCOUNT_KEY: &str = "account_key";
pub const CREATED_AT: &str = "created_at";

/// Partitions of the due index. One allows about 500 moved checks a second, of two writes each. Older
/// releases used only the first four.
pub const DUE_SHARDS: u8 = 16;

pub const JOB: &str = "JOB";
/// Of a job that its account's count of active jobs leaves out.
pub const UNCOUNTED: &str = "uc";
pub const REQUEST: &str = "REQUEST";
/// The id of the key that ordered a job: an attribute of its request.
pub const ORDERED_BY: &str = "ordered_by";
pub const BALANCE: &str = "BALANCE";
pub const POLICY: &str = "POLICY";
pub const KEY: &str = "KEY";
pub const HEALTH: &str = "HEALTH";
pub const GATE: &str = "GATE";
pub const POLLS: &str = "POLLS";
pub const REMOTE: &str = "REMOTE";
/// The provider account that webhooks are signed for.
pub const PIN: &str = "PIN";

pub const SESSION: &str = "SESSION";
pub const RETRY: &str = "RETRY";
pub const TICKET: &str = "TICKET";
pub const SOCKET: &str = "SOCKET";
/// The item of `health`, beside those of the providers.
pub const WATCH: &str = "WATCH";
/// The prefix of a provider's changes.
pub const CHANGE: &str = "CHANGE#";

pub const EVENT: &str = "EVENT";
pub const SUPPRESSED: &str = "SUPPRESSED";

pub const TOPUP: &str = "TOPUP";
/// How far a processor's events were listed.
pub const LISTED: &str = "LISTED";
/// The partition of the due index for purchases.
pub const DUE_PAYMENTS: &str = "DUE#PAYMENTS";

/// When an item may be deleted, in seconds since the epoch.
pub const EXPIRES_AT: &str = "expires_at";

/// The prefix of the partitions of budgets.
pub const BUDGETS: &str = "BUDGETS#";

pub fn job(id: &JobId) -> String {
    format!("JOB#{id}")
}

pub fn parse_job(key: &str) -> Option<JobId> {
    key.strip_prefix("JOB#")?.parse().ok()
}

pub fn account(id: &AccountId) -> String {
    format!("ACCT#{id}")
}

pub fn parse_account(key: &str) -> Option<AccountId> {
    key.strip_prefix("ACCT#")?.parse().ok()
}

/// A session of the console, by the SHA-256 of its token.
pub fn session(token_sha256: &str) -> String {
    format!("SESSION#{token_sha256}")
}

/// A ticket of a WebSocket client. Only its digest is kept: it is a secret for a minute.
pub fn ticket(ticket: &str) -> String {
    format!("TICKET#{}", HEXLOWER.encode(&Sha256::digest(ticket)))
}

/// A WebSocket connection, by API Gateway's id of it.
pub fn socket(connection: &str) -> String {
    format!("SOCKET#{connection}")
}

/// The partition of an endpoint's connections.
pub fn sockets(endpoint: &EndpointId) -> String {
    format!("SOCKETS#{endpoint}")
}

/// The key of an account's ledger lines in the account index.
pub fn ledger(id: &AccountId) -> String {
    format!("LEDGER#{id}")
}

/// The key makes a ledger line idempotent: one per job and kind, and one per grant, refund or dispute and kind.
pub fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Charge { job, .. } => format!("ENTRY#{job}#CHARGE"),
        Entry::Refund { job, .. } => format!("ENTRY#{job}#REFUND"),
        Entry::Grant { id, .. } => format!("ENTRY#{id}#GRANT"),
        Entry::Clawback { id, .. } => format!("ENTRY#{id}#CLAWBACK"),
        Entry::Reinstate { id, .. } => format!("ENTRY#{id}#REINSTATE"),
    }
}

/// The partition of the counters of an account's budgets, each under its name.
pub fn budgets(id: &AccountId) -> String {
    format!("{BUDGETS}{id}")
}

pub fn parse_budgets(key: &str) -> Option<AccountId> {
    key.strip_prefix(BUDGETS)?.parse().ok()
}

/// The partition of the versions of the price book.
pub const PRICES: &str = "PRICES";
const VERSION: &str = "VERSION#";

/// The sort key of a version of the price book: in the order of the numbers.
pub fn price_version(number: u32) -> String {
    format!("{VERSION}{number:010}")
}

pub fn topup(id: &TopupId) -> String {
    format!("TOPUP#{id}")
}

pub fn parse_topup(key: &str) -> Option<TopupId> {
    key.strip_prefix("TOPUP#")?.parse().ok()
}

/// The key of an account's purchases in the account index.
pub fn topups(id: &AccountId) -> String {
    format!("TOPUPS#{id}")
}

/// What is known of a processor as a whole.
pub fn payments(processor: Processor) -> String {
    format!("PAYMENTS#{processor}")
}

pub fn parse_payments(key: &str) -> Option<Processor> {
    key.strip_prefix("PAYMENTS#")?.parse().ok()
}

pub fn api_key(id: &KeyId) -> String {
    format!("KEY#{id}")
}

pub fn gauge(provider: Provider) -> String {
    format!("GAUGE#{provider}")
}

/// The change of a provider's condition by this version of its gauge: its sort key, beside the gauge.
pub fn change(version: u64) -> String {
    format!("{CHANGE}{version:020}")
}

/// Separate from the job's item, which is read as a whole.
pub fn polls(job: &JobId, attempt: u8) -> String {
    format!("POLLS#{job}#{attempt}")
}

/// The item of a remote job's owner.
pub fn remote(provider: Provider, id: &str) -> String {
    format!("REMOTE#{provider}#{id}")
}

/// The newest job of an order that a client without keys may repeat.
pub fn retry(account: &AccountId, digest: &str) -> String {
    format!("RETRY#{account}#{digest}")
}

/// The shard of a new job. Existing jobs keep the shard in their item.
pub fn shard(id: &JobId) -> u8 {
    id.as_str().bytes().fold(0, u8::wrapping_add) % DUE_SHARDS
}

pub fn due_shard(shard: u8) -> String {
    format!("DUE#{shard}")
}

/// Partitions of the due index for events and deliveries.
pub const EVENT_SHARDS: u8 = 4;

pub fn event(id: &EventId) -> String {
    format!("EVENT#{id}")
}

pub fn parse_event(key: &str) -> Option<EventId> {
    key.strip_prefix("EVENT#")?.parse().ok()
}

/// The key of an account's events in the account index.
pub fn events(id: &AccountId) -> String {
    format!("EVENTS#{id}")
}

pub fn event_shard(id: &EventId) -> u8 {
    id.as_str().bytes().fold(0, u8::wrapping_add) % EVENT_SHARDS
}

pub fn due_events(shard: u8) -> String {
    format!("DUE#EVENTS#{shard}")
}

/// A delivery of an event: its sort key, beside the event.
pub fn delivery(endpoint: &EndpointId) -> String {
    format!("DELIVERY#{endpoint}")
}

pub fn parse_delivery(key: &str) -> Option<EndpointId> {
    key.strip_prefix("DELIVERY#")?.parse().ok()
}

/// The key of an endpoint's deliveries in the account index. The account is part of it: the callback
/// URLs of all accounts share one id.
pub fn deliveries(account: &AccountId, endpoint: &EndpointId) -> String {
    format!("DELIVERIES#{account}#{endpoint}")
}

/// The partition of an account's endpoints.
pub fn endpoints(id: &AccountId) -> String {
    format!("ENDPOINTS#{id}")
}

/// An address that takes nothing. It may be a person's: only its digest is kept.
pub fn suppressed(kind: Kind, address: &str) -> String {
    let digest = Sha256::digest(address.to_ascii_lowercase());
    format!("SUPPRESSED#{}#{}", kind.name(), HEXLOWER.encode(&digest))
}

pub fn endpoint(id: &EndpointId) -> String {
    format!("ENDPOINT#{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_parses() {
        let id = JobId::from_bytes([3; 16]);
        assert_eq!(parse_job(&job(&id)), Some(id));
        let anna: AccountId = "acct_anna".parse().unwrap();
        assert_eq!(parse_account(&account(&anna)), Some(anna));
        assert_eq!(parse_job("ACCT#acct_anna"), None);
    }

    #[test]
    fn jobs_spread_over_the_shards() {
        let shards: std::collections::BTreeSet<u8> =
            (0..100).map(|n| shard(&JobId::from_bytes([n; 16]))).collect();
        assert_eq!(shards.len(), usize::from(DUE_SHARDS));
    }
}
