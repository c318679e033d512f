//! Accounts: the ledger, the balance, the count of live jobs, and the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::credit::Entry;
use domain::id::AccountId;
use domain::time::Timestamp;

use super::purchases::Paid;
use super::{Report, budgets};
use crate::store::audit::{Account, LedgerSnapshot, Row, Subject};
use crate::store::keystore::ApiKey;
use crate::store::ledger::Line;

/// How old a key may be whose account was granted nothing.
const NEW_KEY: Duration = Duration::from_secs(24 * 3_600);

/// An account's money: `granted − clawed back + reinstated = balance + charged − refunded`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    pub paid: Paid,
    pub balance: i128,
    pub charged: i128,
    pub refunded: i128,
}

impl Sums {
    fn add(&mut self, line: &Line) {
        let amount = i128::from(line.entry.amount().micros());
        match line.entry {
            Entry::Charge { .. } => self.charged += amount,
            Entry::Refund { .. } => self.refunded += amount,
            Entry::Grant { .. } | Entry::Clawback { .. } | Entry::Reinstate { .. } => self.paid.add(line),
        }
    }

    /// What the lines leave in the account.
    fn left(&self) -> i128 {
        self.paid.left() + self.refunded - self.charged
    }
}

pub(super) fn check(snapshot: &LedgerSnapshot, now: Timestamp, report: &mut Report) {
    let live = live_jobs(snapshot);
    for (id, account) in &snapshot.accounts {
        let mut sums = Sums { balance: account.balance.unwrap_or(0), ..Sums::default() };
        account.lines.iter().for_each(|line| sums.add(line));
        report.accounts.insert(id.clone(), sums);
        // A sum with a part that cannot be read says nothing: that part is reported.
        let problems =
            if account.is_partial { Vec::new() } else { problems(account, sums, live.get(id).copied()) };
        for problem in problems {
            report.violation(Subject::Account(id.clone()), format!("{id}: {problem}"));
        }
    }
    // They have a key to buy with, and nothing before their first payment.
    let buyers: BTreeSet<_> = snapshot.purchases.values().map(|bought| bought.purchase.account()).collect();
    let is_old = |key: &&ApiKey| !key.revoked && now > key.created_at + NEW_KEY;
    for key in snapshot.keys.iter().filter(|key| is_old(key) && !buyers.contains(&key.account)) {
        if snapshot.accounts.get(&key.account).is_none_or(|account| account.balance.is_none()) {
            let (key, account) = (&key.id, &key.account);
            report.violation(
                Subject::Account(account.clone()),
                format!("{account}: has no balance, and key {key} is its"),
            );
        }
    }
}

fn problems(account: &Account, sums: Sums, live: Option<(i64, i64)>) -> Vec<String> {
    let mut problems = Vec::new();
    if account.balance.is_none() && !account.lines.is_empty() {
        problems.push("has ledger lines and no balance".to_owned());
    }
    // An account that has endpoints alone has a balance of zero.
    let has_balance = account.balance.is_some_and(|balance| balance != 0);
    if has_balance && account.lines.is_empty() && account.later.is_empty() {
        problems.push("has a balance and no ledger line".to_owned());
    }
    // Of what came while it was read, the balance holds anything between nothing and all.
    let (mut least, mut most) = (sums.left(), sums.left());
    for line in &account.later {
        match line.entry.effect() {
            effect if effect < 0 => least += effect,
            effect => most += effect,
        }
    }
    if !(least..=most).contains(&sums.balance) {
        problems.push(format!("the ledger and the balance differ: {sums:?}"));
    }
    // What is clawed back alone takes it below zero.
    if sums.balance + sums.paid.clawed_back - sums.paid.reinstated < 0 {
        problems.push("the balance is below zero".to_owned());
    }
    let (least, most) =
        account.counted.clone().map_or_else(|| live.unwrap_or_default(), |range| range.into_inner());
    if !(least..=most).contains(&account.live) {
        let count = if least == most { least.to_string() } else { format!("{least} to {most}") };
        problems.push(format!("has {count} live jobs and counts {}", account.live));
    }
    problems.extend(budgets::problems(account));
    problems
}

/// How many counted live jobs each account has, at least and at most.
fn live_jobs(snapshot: &LedgerSnapshot) -> BTreeMap<&AccountId, (i64, i64)> {
    let mut live: BTreeMap<&AccountId, (i64, i64)> = BTreeMap::new();
    for audited in snapshot.jobs.values() {
        match &audited.row {
            Row::Read(row) if !row.job.state().is_terminal() && !row.job.is_uncounted() => {
                let (least, most) = live.entry(row.job.account()).or_default();
                (*least, *most) = (*least + 1, *most + 1);
            }
            Row::Unreadable { account: Some(account), is_live } => {
                let (least, most) = live.entry(account).or_default();
                *least += i64::from(*is_live);
                *most += i64::from(*is_live);
            }
            Row::Read(_) | Row::Unreadable { .. } | Row::Missing => {}
        }
    }
    live
}
