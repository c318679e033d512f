//! A job's row: charges and refunds, transitions, request, due index.

use std::time::Duration;

use domain::credit::{Credits, Entry};
use domain::id::{AccountId, JobId};
use domain::job::{CancelRefund, Job, State, Stop};
use domain::price_book::Buyer;
use domain::time::Timestamp;

use crate::store::audit::{AuditedJob, DueEntry, JobRow, LedgerSnapshot, Row};
use crate::store::keys;
use crate::store::ledger::Line;
use crate::store::moves::Move;

/// The latest next check of a live job: a failed check is postponed by at most an hour.
const CHECK_WITHIN: Duration = Duration::from_secs(65 * 60);
/// How long after its deadline a job may be live.
const LATE_MAX: Duration = Duration::from_secs(600);
/// By how much the clocks of two functions may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);
/// The number of shards of older releases.
const OLD_SHARDS: u8 = 4;

/// What is wrong with a job.
pub(super) fn problems(id: &JobId, audited: &AuditedJob, now: Timestamp) -> Vec<String> {
    match &audited.row {
        Row::Read(row) => {
            let mut problems = money(row, &audited.lines);
            problems.extend(due(row, &audited.indexed, now));
            problems.extend(moves(row));
            problems.extend(request(&row.job, audited));
            problems
        }
        Row::Unreadable { .. } => Vec::new(), // reported as such
        Row::Missing => {
            let mut problems = Vec::new();
            for (account, _) in &audited.lines {
                problems.push(format!("a ledger line of {account} is about it, and it does not exist"));
            }
            if audited.has_request {
                problems.push("its request exists, and it does not".to_owned());
            }
            if !audited.indexed.is_empty() {
                problems.push(format!("the due index has it, and {id} does not exist"));
            }
            problems
        }
    }
}

fn money(row: &JobRow, lines: &[(AccountId, Line)]) -> Vec<String> {
    let (job, mut problems) = (&row.job, Vec::new());
    let of_kind = |is_kind: fn(&Entry) -> bool| {
        let lines = lines.iter().filter(move |(_, line)| is_kind(&line.entry));
        lines.map(|(account, line)| (account, line.entry.amount())).collect::<Vec<_>>()
    };
    if job.price() == Credits::ZERO {
        problems.push("has no price".to_owned());
    }
    if of_kind(|entry| matches!(entry, Entry::Charge { .. })) != [(job.account(), job.price())] {
        problems.push("was not charged its price, once, to its account".to_owned());
    }
    if lines.iter().any(|(_, line)| line.budgets != job.budgets()) {
        problems.push("has other budgets than its ledger lines".to_owned());
    }
    let refunds = of_kind(|entry| matches!(entry, Entry::Refund { .. }));
    if !matches!(job.state(), State::Failed | State::Canceled) {
        if !refunds.is_empty() || job.refunded().is_some() {
            problems.push(format!("is {} and was refunded", job.state().name()));
        }
        return problems;
    }
    // A row from before the amount was recorded got back the price.
    let refunded = job.refunded().unwrap_or(job.price());
    if refunds != [(job.account(), refunded)] {
        problems.push(format!(
            "is {} and was not refunded {refunded} credits, once, to its account",
            job.state().name()
        ));
    }
    if let Some(owed) = owed(row).filter(|owed| *owed != refunded) {
        problems
            .push(format!("is {} and was refunded {refunded} credits instead of {owed}", job.state().name()));
    }
    problems.extend(refund_time(row, lines));
    problems
}

/// Whether the charge is the price that the job's version of the price book has for its request. What that
/// version leaves to the catalogue, whose prices change with releases, cannot be computed again.
pub(super) fn price(row: &JobRow, audited: &AuditedJob, snapshot: &LedgerSnapshot) -> Option<String> {
    let (job, version) = (&row.job, row.job.price_version());
    if version == 0 {
        return None;
    }
    let Some(book) = snapshot.prices.get(&version) else {
        return Some(format!("has a price of version {version}, which does not exist"));
    };
    let buyer = Buyer { account: job.account(), percent: job.price_percent() };
    if !book.may_charge(buyer.account, buyer.percent) {
        return Some(format!(
            "pays {} percent, which version {version} of the prices has not",
            buyer.percent
        ));
    }
    let prices = book.prices(audited.priced.as_deref()?, buyer)?;
    let wrong = || {
        let prices: Vec<_> = prices.iter().map(Credits::to_string).collect();
        format!(
            "costs {} credits and {} in version {version} of the prices",
            job.price(),
            prices.join(" or ")
        )
    };
    (!prices.contains(&job.price())).then(wrong)
}

/// What an ended job should have got back. `None` where it can no longer be computed: something was
/// learnt of it since.
fn owed(row: &JobRow) -> Option<Credits> {
    let job = &row.job;
    let is_less_cost = job.stop() == Some(Stop::Caller) && job.cancel_refund() == CancelRefund::LessCost;
    if job.state() == State::Failed || !is_less_cost || job.refunded().is_none() {
        return Some(job.price());
    }
    let is_last = ending(&row.moves).is_some_and(|(index, _)| index + 1 == row.moves.len());
    is_last.then(|| job.price().less(job.cost().as_credits()))
}

/// The move that ended the job, and its place.
fn ending(moves: &[Move]) -> Option<(usize, &Move)> {
    moves.iter().enumerate().find(|(_, moved)| moved.state.is_terminal())
}

fn refund_time(row: &JobRow, lines: &[(AccountId, Line)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (_, line) in lines.iter().filter(|(_, line)| matches!(line.entry, Entry::Refund { .. })) {
        if ending(&row.moves).is_some_and(|(_, end)| end.at != line.at) {
            problems.push(format!("was refunded at {}, which is not when it ended", line.at));
        }
        if line.at + CLOCKS_DIFFER < row.job.created_at() {
            problems.push(format!("was refunded at {}, before it was charged", line.at));
        }
    }
    problems
}

/// A live job is in the due index, and an ended one is not.
fn due(row: &JobRow, indexed: &[DueEntry], now: Timestamp) -> Vec<String> {
    let (job, mut problems) = (&row.job, Vec::new());
    let entry = match (&row.due_shard, row.check_at) {
        (Some(shard), Some(check_at)) => Some(DueEntry { shard: shard.clone(), check_at }),
        _ => None,
    };
    let has_either = row.due_shard.is_some() || row.check_at.is_some();
    if job.state().is_terminal() {
        if has_either || !indexed.is_empty() {
            problems.push(format!("is {} and in the due index", job.state().name()));
        }
        return problems;
    }
    match &entry {
        None => problems.push(format!("is {} and not in the due index", job.state().name())),
        Some(entry) => {
            let shard = keys::shard(job.id());
            if ![shard, shard % OLD_SHARDS].map(keys::due_shard).contains(&entry.shard) {
                problems.push(format!("is in the shard {} of the due index", entry.shard));
            }
            if entry.check_at > now + CHECK_WITHIN {
                problems.push(format!("has its next check only at {}", entry.check_at));
            }
            if indexed != std::slice::from_ref(entry) {
                problems.push(format!("the due index has {indexed:?} where its row says {entry:?}"));
            }
        }
    }
    if now > job.deadline() + LATE_MAX {
        problems.push(format!("is {} and its deadline was {}", job.state().name(), job.deadline()));
    }
    problems
}

/// The list of moves is whole, and each is one that the rules allow.
fn moves(row: &JobRow) -> Vec<String> {
    let (job, moves) = (&row.job, &row.moves);
    // A row from before moves were recorded has none.
    let Some(last) = moves.last() else { return Vec::new() };
    let mut problems = Vec::new();
    if u64::try_from(moves.len() + 1) != Ok(job.version()) {
        problems.push(format!("has version {} and {} transitions", job.version(), moves.len()));
    }
    let mut state = State::Queued;
    for moved in moves {
        if !is_legal(state, &moved.event, moved.state) {
            let (from, to) = (state.name(), moved.state.name());
            problems.push(format!("illegal transition from {from} to {to} by `{}`", moved.event));
        }
        state = moved.state;
    }
    if (last.state, last.at) != (job.state(), job.updated_at()) {
        problems.push(format!(
            "is {}, but its last transition is to {}",
            job.state().name(),
            last.state.name()
        ));
    }
    problems
}

/// Whether a job can move so. Nothing leaves an end, what was paid for is not ordered again, and
/// only a claim starts an attempt.
fn is_legal(from: State, event: &str, to: State) -> bool {
    match (from, to) {
        _ if from.is_terminal() => from == to,
        (State::Settling, State::Queued) => false,
        (State::Queued, State::Dispatching) => event == "claimed",
        _ => event != "claimed",
    }
}

fn request(job: &Job, audited: &AuditedJob) -> Vec<String> {
    let mut problems = Vec::new();
    if !audited.has_request {
        problems.push("has no request".to_owned());
    }
    if !audited.digests.is_empty() && !audited.digests.iter().any(|digest| digest == job.request_hash()) {
        problems.push("its request differs from the submitted one".to_owned());
    }
    problems
}
