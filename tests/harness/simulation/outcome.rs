//! What became of seeds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

const DAY_S: u64 = 24 * 3_600;

/// What became of one seed.
#[derive(Debug, Default)]
pub struct Outcome {
    pub seed: u64,
    /// How the traffic came in: `dense`, `loose` or `sparse`.
    pub pace: &'static str,
    pub jobs: usize,
    /// How many jobs ended in each state.
    pub ended: BTreeMap<&'static str, usize>,
    /// Submits that were refused for want of credits, or for too many live jobs.
    pub turned_away: usize,
    /// AWS calls of functions in the storm, and those of them that went wrong.
    pub effects: usize,
    pub spoilt: usize,
    /// Create calls that reached providers.
    pub creates: usize,
    pub attempts: usize,
    /// Attempts whose fate stayed unknown until their deadline.
    pub lost: usize,
    /// Creates whose answer left open whether there is a remote job: each may lose an attempt. And
    /// effects of `dispatch` that went wrong: so may each of these.
    pub unanswered: usize,
    pub spoilt_dispatch: usize,
    /// Remote jobs whose name no attempt has, and those that their create answer did not name.
    pub nameless: usize,
    pub unnamed: usize,
    /// Jobs with more than one attempt that was certainly billed: a cost of ours, on record.
    pub paid_twice: usize,
    /// Spells in which a provider misbehaved with everybody.
    pub weathers: usize,
    /// Purchases that were paid.
    pub purchases: usize,
    /// Simulated time from the first submit to rest.
    pub lasted: Duration,
    /// Whatever should not be.
    pub violations: Vec<String>,
}

impl Outcome {
    fn sums(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, ended, turned_away, attempts, creates, lost, paid_twice, .. } = self;
        let Self { effects, spoilt, weathers, lasted, violations, .. } = self;
        let Self { unanswered, spoilt_dispatch, nameless, unnamed, purchases, .. } = self;
        write!(
            f,
            "{jobs} jobs {ended:?}, {turned_away} turned away, {attempts} attempts, {creates} creates, \
             {lost} lost of {unanswered} without an answer, {nameless} nameless of {unnamed} not named, \
             {spoilt_dispatch} effects of dispatch spoilt, {paid_twice} paid twice, {effects} effects, {spoilt} of them spoilt, \
             {weathers} weathers, {purchases} purchases paid, {} simulated days, {} violations",
            lasted.as_secs() / DAY_S,
            violations.len(),
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, {}: ", self.seed, self.pace)?;
        self.sums(f)?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}

/// What became of many seeds.
#[derive(Debug, Default)]
pub struct Total {
    pub seeds: usize,
    /// Everything that can be added up.
    pub sum: Outcome,
    /// Seeds with violations.
    pub failed: usize,
}

impl Total {
    pub fn add(&mut self, outcome: &Outcome) {
        let sum = &mut self.sum;
        self.seeds += 1;
        self.failed += usize::from(!outcome.violations.is_empty());
        for (state, count) in &outcome.ended {
            *sum.ended.entry(state).or_default() += count;
        }
        sum.jobs += outcome.jobs;
        sum.turned_away += outcome.turned_away;
        sum.effects += outcome.effects;
        sum.spoilt += outcome.spoilt;
        sum.creates += outcome.creates;
        sum.attempts += outcome.attempts;
        sum.lost += outcome.lost;
        sum.unanswered += outcome.unanswered;
        sum.spoilt_dispatch += outcome.spoilt_dispatch;
        sum.nameless += outcome.nameless;
        sum.unnamed += outcome.unnamed;
        sum.paid_twice += outcome.paid_twice;
        sum.weathers += outcome.weathers;
        sum.purchases += outcome.purchases;
        sum.lasted += outcome.lasted;
        sum.violations.extend(outcome.violations.iter().cloned());
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} seeds, {} of them failed: ", self.seeds, self.failed)?;
        self.sum.sums(f)
    }
}
