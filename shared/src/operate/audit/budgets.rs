//! Counters of budgets: each is what its ledger lines say.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use domain::budget::Counter;
use domain::credit::Entry;

use crate::store::audit::Account;
use crate::store::ledger::Line;

/// What is wrong with an account's counters.
pub(super) fn problems(account: &Account) -> Vec<String> {
    let mut expected: BTreeMap<&Counter, (i128, i128)> =
        account.counters.keys().map(|counter| (counter, (0, 0))).collect();
    for line in &account.lines {
        for counter in &line.budgets {
            let (least, most) = expected.entry(counter).or_default();
            (*least, *most) = (*least + change(line), *most + change(line));
        }
    }
    // Of what came while it was read, a counter holds anything between nothing and all.
    for line in &account.later {
        for counter in &line.budgets {
            let (least, most) = expected.entry(counter).or_default();
            (*least, *most) = (*least + change(line).min(0), *most + change(line).max(0));
        }
    }
    let ranges = expected.into_iter().map(|(counter, (least, most))| (counter, least..=most));
    ranges.filter_map(|(counter, range)| problem(account, counter, &range)).collect()
}

fn problem(account: &Account, counter: &Counter, range: &RangeInclusive<i128>) -> Option<String> {
    let counted = account.counters.get(counter).copied().unwrap_or(0);
    let wrong = || format!("the budget {counter} counts {counted}, and its ledger lines are {range:?}");
    (!range.contains(&counted)).then(wrong)
}

/// What a line adds to each of its counters.
fn change(line: &Line) -> i128 {
    let amount = i128::from(line.entry.amount().micros());
    match line.entry {
        Entry::Charge { .. } => amount,
        Entry::Refund { .. } => -amount,
        Entry::Grant { .. } | Entry::Clawback { .. } | Entry::Reinstate { .. } => 0,
    }
}
