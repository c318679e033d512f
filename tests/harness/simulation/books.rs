//! What the providers have made and bill for, held against what our attempts say.

use std::collections::{BTreeMap, BTreeSet};

use domain::attempt::{Attempt, Phase};
use domain::id::JobId;
use domain::job::Job;
use domain::provider::Provider;
use domain::time::Timestamp;
use domain::verdict::Billed;
use shared::provider::adapter;
use sim::{Call, CallKind, RemoteState, Says};

/// A remote job, as its provider has it.
#[derive(Debug, Clone)]
pub(super) struct Bill {
    pub(super) provider: Provider,
    pub(super) id: String,
    /// The job that it was ordered for; several, where equal orders were placed.
    pub(super) jobs: Vec<JobId>,
    pub(super) state: RemoteState,
    pub(super) bills: bool,
    pub(super) ends_at: Timestamp,
}

impl Bill {
    /// Whether the provider wants money for it: what runs on will be done.
    fn is_due(&self) -> bool {
        self.bills || matches!(self.state, RemoteState::Queued | RemoteState::Running)
    }
}

/// A refund of a job.
#[derive(Debug)]
pub(super) struct Refund {
    pub(super) at: Timestamp,
    /// The attempts that the job was allowed to go on without: lost at their deadline, or presumed
    /// refused by the owner's choice.
    pub(super) given_up: BTreeSet<u8>,
}

/// Everything that differs between the two sides.
pub(super) fn check(
    jobs: &BTreeMap<JobId, Job>,
    bills: &[Bill],
    refunds: &BTreeMap<JobId, Refund>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut billed: BTreeSet<(&JobId, u8)> = BTreeSet::new();
    let mut taken: BTreeSet<(&JobId, u8)> = BTreeSet::new();
    let named = names(jobs, &mut problems);
    // Those with names first, so that a nameless one cannot take their place.
    let has_name = |bill: &&Bill| named.contains_key(&(bill.provider, bill.id.as_str()));
    for bill in bills.iter().filter(has_name).chain(bills.iter().filter(|bill| !has_name(bill))) {
        let (provider, id) = (bill.provider, &bill.id);
        let ordered: Vec<&Job> = bill.jobs.iter().filter_map(|job| jobs.get(job)).collect();
        if ordered.is_empty() {
            problems.push(format!("{provider}'s remote job {id} was made for no job"));
            continue;
        }
        let attempts = ordered.iter().flat_map(|job| job.attempts().iter().map(|made| (*job, made)));
        let owner = match named.get(&(provider, id.as_str())) {
            Some((owner, _)) if !bill.jobs.contains(owner.id()) => {
                let (owner, jobs) = (owner.id(), &bill.jobs);
                problems.push(format!("{provider}'s remote job {id} of {jobs:?} is recorded for {owner}"));
                continue;
            }
            Some(owner) => Some(*owner),
            // Of equal orders, what was made is first of all that of those which have it; then of
            // those that were refunded soonest after its end, as it is older than the rest.
            None => attempts
                .filter(|(job, made)| {
                    made.provider == provider
                        && may_be_nameless(made, bill)
                        && !taken.contains(&(job.id(), made.number))
                })
                .min_by_key(|(job, made)| {
                    let refund = refunds.get(job.id());
                    let is_odd = refund_problem(job, made, bill, refund).is_some();
                    let is_other = (made.phase == Phase::Finished) != bill.is_due();
                    (is_other, is_odd, refund.is_none(), refund.map(|refund| refund.at))
                }),
        };
        let Some((job, attempt)) = owner else {
            problems.push(format!("{provider}'s remote job {id} is known to no attempt of {ordered:?}"));
            continue;
        };
        if !taken.insert((job.id(), attempt.number)) {
            problems.push(format!("attempt {} of {} has made two remote jobs", attempt.number, job.id()));
        }
        problems.extend(refund_problem(job, attempt, bill, refunds.get(job.id())));
        if bill.is_due() {
            billed.insert((job.id(), attempt.number));
            // What has failed may be billed, and most providers do not say.
            let gave_nothing = matches!(attempt.phase, Phase::Broke | Phase::Refused | Phase::NotSent)
                && bill.state != RemoteState::Failed;
            let known =
                if gave_nothing { attempt.billed == Billed::Yes } else { attempt.billed != Billed::No };
            if !known || attempt.cost.is_none() {
                problems.push(format!("{provider} bills {id}, and {} says {attempt:?}", job.id()));
            }
        }
    }
    for job in jobs.values() {
        problems.extend(job_problems(job, &billed));
    }
    problems
}

/// Whether a job was refunded while a remote job of it ran, or although one had been made and is
/// billed.
fn refund_problem(job: &Job, attempt: &Attempt, bill: &Bill, refund: Option<&Refund>) -> Option<String> {
    let refund = refund?;
    let is_lost = matches!(attempt.phase, Phase::Lost | Phase::PresumedRefused);
    if is_lost || refund.given_up.contains(&attempt.number) {
        return None;
    }
    let (job, Bill { provider, id, .. }) = (job.id(), bill);
    if refund.at < bill.ends_at {
        return Some(format!("{job} was refunded at {}, and {provider}'s {id} ran on", refund.at));
    }
    // What is made and can never be fetched gives its caller nothing.
    let is_out_of_reach = attempt.phase == Phase::Finished && attempt.fault.is_some();
    let is_made = bill.bills && bill.state == RemoteState::Succeeded && !is_out_of_reach;
    is_made.then(|| format!("{job} was refunded, and {provider} has made and bills {id}"))
}

/// How many attempts a provider's answers left without a name, and how many of those may be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Losses {
    /// Attempts without a name that were lost at their deadline.
    pub(super) lost: usize,
    /// Creates without an answer, or with one that leaves open whether there is a remote job.
    pub(super) unanswered: usize,
    /// Remote jobs that no attempt has the name of.
    pub(super) nameless: usize,
    /// Remote jobs whose create answer did not name them.
    pub(super) unnamed: usize,
}

impl Losses {
    pub(super) fn of(
        provider: Provider,
        jobs: &BTreeMap<JobId, Job>,
        bills: &[Bill],
        calls: &[Call],
    ) -> Self {
        let attempts =
            || jobs.values().flat_map(|job| job.attempts()).filter(|made| made.provider == provider);
        let names: BTreeSet<&str> = attempts()
            .filter_map(|attempt| attempt.remote.as_ref())
            .map(|remote| remote.id.as_str())
            .collect();
        // What is delivered at once has no name that an attempt could know.
        let delivers = adapter(provider).capabilities().delivers;
        let made = || bills.iter().filter(|bill| bill.provider == provider && !delivers);
        let creates = || calls.iter().filter(|call| call.kind == CallKind::Create);
        let named = creates().filter(|call| call.says == Some(Says::Accepted)).count();
        // A 200 that neither accepts nor refuses is an error of the server, too.
        let is_open = |call: &&Call| {
            call.status.is_none_or(|status| {
                status >= 500 || (status < 300 && matches!(call.says, None | Some(Says::Nothing)))
            })
        };
        Self {
            lost: attempts().filter(|made| made.phase == Phase::Lost && made.remote.is_none()).count(),
            unanswered: creates().filter(is_open).count(),
            nameless: made().filter(|bill| !names.contains(bill.id.as_str())).count(),
            unnamed: made().count().saturating_sub(named),
        }
    }

    /// What was lost without a cause. Each time that `dispatch` dies or an AWS call of it fails, one
    /// answer more may be lost.
    pub(super) fn problems(&self, provider: Provider, spoilt: usize) -> Vec<String> {
        let mut problems = Vec::new();
        if self.lost > self.unanswered + spoilt {
            problems
                .push(format!("{provider}: attempts were lost without a cause: {self:?}, {spoilt} spoilt"));
        }
        if self.nameless > self.unnamed + spoilt {
            problems.push(format!("{provider}: names were lost without a cause: {self:?}, {spoilt} spoilt"));
        }
        problems
    }
}

fn job_problems(job: &Job, billed: &BTreeSet<(&JobId, u8)>) -> Vec<String> {
    let is_billed = |attempt: &&Attempt| billed.contains(&(job.id(), attempt.number));
    let mut problems = Vec::new();
    for attempt in job.attempts().iter().filter(|attempt| attempt.phase == Phase::Finished) {
        if !is_billed(&attempt) {
            problems.push(format!("{} has paid for attempt {}, which nobody made", job.id(), attempt.number));
        }
    }
    let paid: Vec<&Attempt> = job.attempts().iter().filter(is_billed).collect();
    for pair in paid.windows(2) {
        // What its provider has lost or we could not get may be paid for once more.
        let excused = pair[0].phase == Phase::Lost || pair[0].fault.is_some();
        if !excused {
            problems.push(format!("{} was paid twice without need: {pair:?}", job.id()));
        }
    }
    problems
}

/// Whose each remote job is that an attempt knows.
fn names<'a>(
    jobs: &'a BTreeMap<JobId, Job>,
    problems: &mut Vec<String>,
) -> BTreeMap<(Provider, &'a str), (&'a Job, &'a Attempt)> {
    let mut names = BTreeMap::new();
    for job in jobs.values() {
        for attempt in job.attempts() {
            let Some(remote) = &attempt.remote else { continue };
            if names.insert((attempt.provider, remote.id.as_str()), (job, attempt)).is_some() {
                problems.push(format!("{}'s remote job {} has two attempts", attempt.provider, remote.id));
            }
        }
    }
    names
}

/// Whether an attempt may have made a remote job that it has no name of: its fate is unknown,
/// or its provider gives none and tells all in the create answer.
fn may_be_nameless(attempt: &Attempt, bill: &Bill) -> bool {
    let delivers = adapter(attempt.provider).capabilities().delivers;
    let refused = attempt.phase == Phase::Refused && !bill.is_due();
    let told = delivers && (attempt.billed == Billed::Yes || refused);
    let unknown = matches!(attempt.phase, Phase::Sending | Phase::Unclear | Phase::Lost);
    attempt.remote.is_none() && (told || unknown)
}

#[cfg(test)]
mod tests;
