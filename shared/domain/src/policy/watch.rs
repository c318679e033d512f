//! What `health` keeps from one look at the stack to the next, in one item.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alarm::{Alarm, Sight, Turn};
use crate::event::EventType;
use crate::id::AccountId;
use crate::time::Timestamp;

/// How often the rules are judged.
pub const JUDGE_EVERY: Duration = Duration::from_secs(300);
/// Accounts whose jobs are read for the rules: those that had an active job last.
pub const ACCOUNTS_MAX: usize = 200;
/// How long an account is known after its last active job.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3_600);
/// How often that is written anew.
const SEEN_EVERY: Duration = Duration::from_secs(3_600);

/// The state of the alarms that are not of a provider, and the accounts whose jobs they are about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Watch {
    pub version: u64,
    /// Accounts with the time at which they were seen with an active job.
    #[serde(default)]
    pub accounts: BTreeMap<AccountId, Timestamp>,
    /// When the rules were judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_at: Option<Timestamp>,
    /// By name: the event type of a rule, or a dead-letter queue.
    #[serde(default)]
    pub alarms: BTreeMap<String, Alarm>,
}

impl Watch {
    /// The name of the alarm of a dead-letter queue.
    pub fn dead_letters(queue: &str) -> String {
        format!("{}:{queue}", EventType::DEAD_LETTERS)
    }

    /// Adds the accounts that have active jobs now, and forgets those that had none for a day.
    pub fn see(&mut self, accounts: BTreeSet<AccountId>, now: Timestamp) {
        for account in accounts {
            let at = self.accounts.entry(account).or_insert(now);
            if now.since(*at) >= SEEN_EVERY {
                *at = now;
            }
        }
        self.accounts.retain(|_, at| now.since(*at) < KNOWN_FOR);
        while self.accounts.len() > ACCOUNTS_MAX {
            let oldest = self.accounts.iter().min_by_key(|(_, at)| **at).map(|(account, _)| account.clone());
            oldest.and_then(|oldest| self.accounts.remove(&oldest));
        }
    }

    /// Whether the rules are to be judged.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.judged_at.is_none_or(|at| now.since(at) >= JUDGE_EVERY)
    }

    /// What an alarm makes of a sight.
    pub fn look(&mut self, name: &str, sight: Sight, now: Timestamp) -> Option<Turn> {
        let before = self.alarms.get(name).copied().unwrap_or_default();
        let (after, turn) = before.after(sight, now);
        if after != before {
            self.alarms.insert(name.to_owned(), after);
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: usize) -> AccountId {
        format!("acct_a{number}").parse().unwrap()
    }

    #[test]
    fn the_accounts_are_those_that_were_active_last() {
        let at = |secs| Timestamp::from_secs(secs);
        let mut watch = Watch::default();
        watch.see([account(0)].into(), at(0));
        watch.see([account(0)].into(), at(60));
        assert_eq!(watch.accounts[&account(0)], at(0), "a write an hour");
        watch.see([account(0)].into(), at(3_600));
        watch.see((1..=ACCOUNTS_MAX).map(account).collect(), at(7_200));
        assert_eq!(watch.accounts.len(), ACCOUNTS_MAX);
        assert!(!watch.accounts.contains_key(&account(0)));
        watch.see(BTreeSet::new(), at(7_200 + 24 * 3_600));
        assert_eq!(watch.accounts.len(), 0);
    }

    #[test]
    fn a_calm_look_at_what_was_never_bad_changes_nothing() {
        let mut watch = Watch::default();
        assert_eq!(watch.look("x", Sight::Calm, Timestamp::from_secs(0)), None);
        assert_eq!(watch, Watch::default());
        assert!(watch.is_due(Timestamp::from_secs(0)));
        watch.judged_at = Some(Timestamp::from_secs(0));
        assert!(!watch.is_due(Timestamp::from_secs(299)));
        assert!(watch.is_due(Timestamp::from_secs(300)));
    }
}
