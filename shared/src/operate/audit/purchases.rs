//! Purchases: what was paid, refunded, withdrawn and reinstated against the ledger, by purchase and processor.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::credit::Entry;
use domain::id::{AccountId, TopupId};
use domain::payment::purchase::Purchase;
use domain::time::Timestamp;

use super::Report;
use crate::store::audit::{Bought, LedgerSnapshot, Subject};
use crate::store::keys;
use crate::store::ledger::Line;

/// How long after its check a purchase may wait to be asked about.
const LATE: Duration = Duration::from_secs(24 * 3_600);

/// Credits by what became of their payments.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    pub granted: i128,
    pub clawed_back: i128,
    pub reinstated: i128,
}

impl Paid {
    pub(super) fn add(&mut self, line: &Line) {
        let amount = i128::from(line.entry.amount().micros());
        match line.entry {
            Entry::Grant { .. } => self.granted += amount,
            Entry::Clawback { .. } => self.clawed_back += amount,
            Entry::Reinstate { .. } => self.reinstated += amount,
            Entry::Charge { .. } | Entry::Refund { .. } => {}
        }
    }

    pub(super) const fn left(self) -> i128 {
        self.granted - self.clawed_back + self.reinstated
    }
}

pub(super) fn check(snapshot: &LedgerSnapshot, now: Timestamp, report: &mut Report) {
    let lines = by_purchase(snapshot);
    for (id, Bought { purchase, check_at }) in &snapshot.purchases {
        let mut paid = Paid::default();
        let all = lines.get(id).map(Vec::as_slice).unwrap_or_default();
        let (own, other): (Vec<_>, Vec<_>) =
            all.iter().partition(|(account, _)| *account == purchase.account());
        own.iter().for_each(|(_, line)| paid.add(line));
        if let Some((account, _)) = other.first() {
            let subject = Subject::Purchase(id.clone(), purchase.account().clone());
            report.violation(subject, format!("{id}: has a ledger line in account {account}"));
        }
        let sums = report.processors.entry(purchase.processor()).or_default();
        sums.granted += paid.granted;
        sums.clawed_back += paid.clawed_back;
        sums.reinstated += paid.reinstated;
        let is_partial = snapshot.accounts.get(purchase.account()).is_some_and(|account| account.is_partial);
        let subject = || Subject::Purchase(id.clone(), purchase.account().clone());
        if !is_partial {
            for problem in of_money(purchase, paid) {
                report.violation(subject(), format!("{id}: {problem}"));
            }
        }
        match (purchase.status().is_open(), check_at) {
            (true, None) => {
                report.violation(subject(), format!("{id}: is open and not in the due index"));
            }
            (true, _) if purchase.is_given_up(now.minus(LATE)) => {
                report.violation(subject(), format!("{id}: is open long after its deadline"));
            }
            (_, Some(at)) if now > *at + LATE => {
                report.violation(subject(), format!("{id}: was to be asked about since {at}"));
            }
            _ => {}
        }
    }
    for (id, lines) in lines {
        if !snapshot.purchases.contains_key(id) {
            let subject = Subject::Item(keys::topup(id), keys::TOPUP.to_owned());
            report.violation(subject, format!("{id}: has {} ledger lines and does not exist", lines.len()));
        }
    }
}

/// The ledger lines of each purchase, each with its account.
fn by_purchase(snapshot: &LedgerSnapshot) -> BTreeMap<&TopupId, Vec<(&AccountId, &Line)>> {
    let mut found: BTreeMap<&TopupId, Vec<(&AccountId, &Line)>> = BTreeMap::new();
    for (id, account) in &snapshot.accounts {
        for line in account.lines.iter().chain(&account.later) {
            if let Some(topup) = line.entry.topup() {
                found.entry(topup).or_default().push((id, line));
            }
        }
    }
    found
}

/// Granted less taken back is what was paid less what was refunded and withdrawn, with what came back.
fn of_money(purchase: &Purchase, paid: Paid) -> Vec<String> {
    let mut problems = Vec::new();
    let is_paid = purchase.payment().is_some();
    let due = if is_paid { i128::from(purchase.credits().micros()) } else { 0 };
    if paid.granted != due {
        problems.push(format!("{due} micro-credits were paid for and {} granted", paid.granted));
    }
    let out = if is_paid { i128::from(purchase.taken_back().micros()) } else { 0 };
    if paid.left() != due - out {
        let left = paid.left();
        problems.push(format!("its lines leave {left} micro-credits, and its payment {}", due - out));
    }
    problems
}
