//! What the providers have made and bill for, held against what our attempts say.

use std::collections::{BTreeMap, BTreeSet};

use genmux::simulate::RemoteState;
use shared::domain::attempt::{Attempt, Phase};
use shared::domain::id::JobId;
use shared::domain::job::Job;
use shared::domain::provider::Provider;
use shared::domain::verdict::Billed;
use shared::provider::adapter;

/// A remote job, as its provider has it.
#[derive(Debug, Clone)]
pub(super) struct Bill {
    pub(super) provider: Provider,
    pub(super) id: String,
    /// The job that it was ordered for.
    pub(super) job: Option<JobId>,
    pub(super) state: RemoteState,
}

impl Bill {
    /// Whether the provider wants money for it: what runs on will be done.
    fn is_due(&self) -> bool {
        !matches!(self.state, RemoteState::Failed | RemoteState::Canceled)
    }
}

/// Everything that differs between the two sides.
pub(super) fn check(jobs: &BTreeMap<JobId, Job>, bills: &[Bill]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut billed: BTreeSet<(&JobId, u8)> = BTreeSet::new();
    let mut taken: BTreeSet<(&JobId, u8)> = BTreeSet::new();
    let named = names(jobs, &mut problems);
    // Those with names first, so that a nameless one cannot take their place.
    let has_name = |bill: &&Bill| named.contains_key(&(bill.provider, bill.id.as_str()));
    for bill in bills.iter().filter(has_name).chain(bills.iter().filter(|bill| !has_name(bill))) {
        let (provider, id) = (bill.provider, &bill.id);
        let Some(job) = bill.job.as_ref().and_then(|job| jobs.get(job)) else {
            problems.push(format!("{provider}'s remote job {id} was made for no job"));
            continue;
        };
        let attempt = match named.get(&(provider, id.as_str())) {
            Some((owner, _)) if owner.id != job.id => {
                let (owner, job) = (&owner.id, &job.id);
                problems.push(format!("{provider}'s remote job {id} of {job} is told to be that of {owner}"));
                continue;
            }
            Some((_, attempt)) => Some(*attempt),
            None => job.attempts.iter().find(|made| {
                made.provider == provider
                    && may_be_nameless(made, bill)
                    && !taken.contains(&(&job.id, made.number))
            }),
        };
        let Some(attempt) = attempt else {
            problems.push(format!("{provider}'s remote job {id} is known to no attempt of {job:?}"));
            continue;
        };
        if !taken.insert((&job.id, attempt.number)) {
            problems.push(format!("attempt {} of {} has made two remote jobs", attempt.number, job.id));
        }
        if bill.is_due() {
            billed.insert((&job.id, attempt.number));
            let gave_nothing = matches!(attempt.phase, Phase::Broke | Phase::Refused | Phase::NotSent);
            let known =
                if gave_nothing { attempt.billed == Billed::Yes } else { attempt.billed != Billed::No };
            if !known || attempt.cost.is_none() {
                problems.push(format!("{provider} bills {id}, and {} says {attempt:?}", job.id));
            }
        }
    }
    for job in jobs.values() {
        problems.extend(job_problems(job, &billed));
    }
    problems
}

fn job_problems(job: &Job, billed: &BTreeSet<(&JobId, u8)>) -> Vec<String> {
    let is_billed = |attempt: &&Attempt| billed.contains(&(&job.id, attempt.number));
    let mut problems = Vec::new();
    for attempt in job.attempts.iter().filter(|attempt| attempt.phase == Phase::Finished) {
        if !is_billed(&attempt) {
            problems.push(format!("{} has paid for attempt {}, which nobody made", job.id, attempt.number));
        }
    }
    let paid: Vec<&Attempt> = job.attempts.iter().filter(is_billed).collect();
    for pair in paid.windows(2) {
        // What its provider has lost or we could not get may be paid for once more.
        let excused = pair[0].phase == Phase::Lost || pair[0].fault.is_some();
        if !excused {
            problems.push(format!("{} was paid twice without need: {pair:?}", job.id));
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
        for attempt in &job.attempts {
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
