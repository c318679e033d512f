//! Remote jobs and concurrency slots at providers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::attempt::{Attempt, Phase};
use domain::id::JobId;
use domain::job::ATTEMPTS_MAX;
use domain::policy::limit::{SLOT_TTL, slot_name};
use domain::provider::Provider;
use domain::time::Timestamp;

use super::{RemoteJob, Report};
use crate::store::audit::{LedgerSnapshot, Row, Subject};
use crate::store::keys;
use crate::store::remotes::HELD_FOR;

/// By how much a lease may seem too long: the time between it and its attempt.
const LEASE_SLACK: Duration = Duration::from_secs(300);

pub(super) fn check(snapshot: &LedgerSnapshot, now: Timestamp, report: &mut Report) {
    let mut owners: BTreeMap<(Provider, &str), Vec<(&JobId, &Attempt)>> = BTreeMap::new();
    for row in snapshot.rows() {
        for attempt in row.job.attempts() {
            if let Some(remote) = &attempt.remote {
                owners.entry((attempt.provider, &remote.id)).or_default().push((row.job.id(), attempt));
                holder(snapshot, row.job.id(), attempt, now, report);
            }
        }
    }
    for ((provider, remote), mut attempts) in owners {
        attempts.sort_by_key(|(_, attempt)| attempt.started_at);
        for pair in attempts.windows(2) {
            let [(first, one), (second, other)] = pair else { continue };
            // After that, a server that counts its ids from one again may use one again.
            if other.started_at.since(one.started_at) >= HELD_FOR {
                continue;
            }
            for (job, attempt, its) in [(first, one, second), (second, other, first)] {
                let number = attempt.number;
                report.of_job(
                    job,
                    &format!("the remote job {remote} of {provider} is its attempt {number}'s and {its}'s"),
                );
            }
        }
    }
    leases(snapshot, now, report);
}

/// The remote job's own item names the attempt, as long as it is kept.
fn holder(snapshot: &LedgerSnapshot, job: &JobId, attempt: &Attempt, now: Timestamp, report: &mut Report) {
    let Some(remote) = attempt.remote.as_ref().filter(|_| now < attempt.started_at + HELD_FOR) else {
        return;
    };
    let (pk, number) = (keys::remote(attempt.provider, &remote.id), attempt.number);
    match snapshot.remotes.get(&pk) {
        Some(held) if held.holder.job == *job && held.holder.attempt == number => {}
        Some(held) => {
            let (other, of) = (&held.holder.job, held.holder.attempt);
            report.of_job(job, &format!("{pk} of its attempt {number} names attempt {of} of {other}"));
        }
        None if snapshot.unreadable.keys().any(|(known, _)| *known == pk) => {}
        // Made by a release from before there were such items.
        None if attempt.key_mark.is_none() => {}
        None => report.of_job(job, &format!("no item {pk} names its attempt {number}")),
    }
}

/// No concurrency slot outlives its attempt by more than the time after which it expires.
fn leases(snapshot: &LedgerSnapshot, now: Timestamp, report: &mut Report) {
    let attempts = snapshot.rows().flat_map(|row| row.job.attempts());
    let by_lease: BTreeMap<String, &Attempt> =
        attempts.map(|attempt| (slot_name(attempt.claim), attempt)).collect();
    for (provider, admission) in &snapshot.admissions {
        for (name, lapses) in admission.usage.leases.iter().filter(|(_, lapses)| **lapses > now) {
            let ended = by_lease.get(name).filter(|attempt| !attempt.phase.is_open());
            report.idle_leases += usize::from(ended.is_some());
            let latest = ended.map_or(now, |attempt| attempt.started_at) + SLOT_TTL + LEASE_SLACK;
            if *lapses > latest {
                let whose = if ended.is_some() { "an attempt that has ended" } else { "an attempt" };
                let text = format!("{provider}: {whose} holds a concurrency slot until {lapses}");
                report.violation(Subject::Provider(*provider), text);
            }
        }
    }
}

/// Every remote job that may bill is known to an attempt, or may be one whose fate an
/// attempt waits for; and no attempt has two.
pub(super) fn check_simulated(
    snapshot: &LedgerSnapshot,
    provider: Provider,
    delivers: fn(Provider) -> bool,
    remote_jobs: &[RemoteJob],
    report: &mut Report,
) {
    let mut violation = |text| report.violation(Subject::Provider(provider), text);
    let attempts: Vec<&Attempt> = snapshot
        .rows()
        .flat_map(|row| row.job.attempts())
        .filter(|attempt| attempt.provider == provider)
        .collect();
    let known: BTreeSet<&str> = attempts
        .iter()
        .filter_map(|attempt| attempt.remote.as_ref())
        .map(|remote| remote.id.as_str())
        .collect();
    let unknown = remote_jobs.iter().filter(|remote| !known.contains(remote.id.as_str())).count();
    // What is delivered at once has no name that an attempt could know it by.
    let delivers = delivers(provider);
    let open = |attempt: &&&Attempt| {
        let unsettled = matches!(attempt.phase, Phase::Sending | Phase::Unclear | Phase::Lost);
        attempt.remote.is_none() && (delivers || unsettled)
    };
    // Those of a job that cannot be read are unknown.
    let unreadable = snapshot.jobs.values().filter(|audited| matches!(audited.row, Row::Unreadable { .. }));
    let hidden = unreadable.count() * ATTEMPTS_MAX;
    let waiting = attempts.iter().filter(open).count() + hidden;
    if unknown > waiting {
        violation(format!(
            "{provider} has {unknown} unknown remote jobs, and only {waiting} attempts could have created them"
        ));
    }
    if remote_jobs.len() > attempts.len() + hidden {
        violation(format!(
            "{provider} has {} remote jobs for {} attempts",
            remote_jobs.len(),
            attempts.len()
        ));
    }
    let settled: BTreeSet<&str> = snapshot
        .rows()
        .filter(|row| row.job.state().is_terminal() && row.job.superseded_attempts().next().is_none())
        .flat_map(|row| row.job.attempts())
        .filter_map(|attempt| attempt.remote.as_ref().filter(|_| attempt.phase != Phase::Lost))
        .map(|remote| remote.id.as_str())
        .collect();
    for remote in remote_jobs {
        if remote.is_running && settled.contains(remote.id.as_str()) {
            violation(format!("{provider}'s remote job {} runs on after its job has ended", remote.id));
        }
    }
}
