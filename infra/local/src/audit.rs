//! Checks the books: every invariant that the product promises, over the whole table, the
//! bucket and, where they are simulated, the providers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use shared::domain::attempt::{Attempt, Phase};
use shared::domain::catalog::Kind;
use shared::domain::credit::{Credits, Entry, MicroUsd};
use shared::domain::id::{AccountId, JobId};
use shared::domain::job::{ATTEMPTS_MAX, Job, State};
use shared::domain::provider::Provider;
use shared::provider::adapter;
use shared::store::audit::{AuditedJob, Books};
use shared::store::media::media_key;

use crate::simulate::{RemoteJobView, RemoteState};

/// What an audit found: the sums, and everything that should not be.
#[derive(Debug, Default)]
pub struct Report {
    pub accounts: BTreeMap<AccountId, Sums>,
    pub jobs: BTreeMap<&'static str, usize>,
    pub objects: usize,
    pub object_bytes: u64,
    /// What all attempts cost us, known or estimated.
    pub cost: MicroUsd,
    pub violations: Vec<String>,
}

/// An account's money: `granted = balance + charged − refunded`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    pub granted: i128,
    pub balance: i128,
    pub charged: i128,
    pub refunded: i128,
}

/// Checks everything. `remote_jobs` are those of simulated providers.
pub fn check(books: &Books, remote_jobs: &BTreeMap<Provider, Vec<RemoteJobView>>) -> Report {
    let mut report = Report::default();
    money(books, &mut report);
    let entries = Entries::of(books, &mut report);
    for audited in &books.jobs {
        *report.jobs.entry(audited.job.state.name()).or_default() += 1;
        report.cost = MicroUsd(report.cost.0 + audited.job.cost().0);
        for problem in job(audited, &entries) {
            report.violations.push(format!("{}: {problem}", audited.job.id));
        }
    }
    live(books, &mut report);
    media(books, &mut report);
    for (provider, remote_jobs) in remote_jobs {
        remotes(books, *provider, remote_jobs, &mut report);
    }
    report
}

fn money(books: &Books, report: &mut Report) {
    for (account, balance) in &books.balances {
        report.accounts.entry(account.clone()).or_default().balance = *balance;
    }
    for (account, line) in &books.lines {
        let sums = report.accounts.entry(account.clone()).or_default();
        let amount = i128::from(line.entry.amount().micros());
        match line.entry {
            Entry::Grant { .. } => sums.granted += amount,
            Entry::Charge { .. } => sums.charged += amount,
            Entry::Refund { .. } => sums.refunded += amount,
        }
    }
    for (account, sums) in &report.accounts {
        if sums.granted != sums.balance + sums.charged - sums.refunded {
            report.violations.push(format!("{account}: the ledger and the balance differ: {sums:?}"));
        }
        if sums.balance < 0 {
            report.violations.push(format!("{account}: the balance is below zero"));
        }
    }
}

/// The number that limits an account's live jobs is that of its live jobs.
fn live(books: &Books, report: &mut Report) {
    let mut live: BTreeMap<&AccountId, i64> = books.live.keys().map(|account| (account, 0)).collect();
    for AuditedJob { job, .. } in books.jobs.iter().filter(|audited| !audited.job.state.is_terminal()) {
        *live.entry(&job.account).or_default() += 1;
    }
    for (account, count) in live {
        let told = books.live.get(account).copied().unwrap_or(0);
        if told != count {
            report.violations.push(format!("{account}: has {count} live jobs and counts {told}"));
        }
    }
}

/// Charges and refunds by job.
#[derive(Default)]
struct Entries {
    charges: BTreeMap<JobId, (AccountId, Credits)>,
    refunds: BTreeMap<JobId, (AccountId, Credits)>,
}

impl Entries {
    fn of(books: &Books, report: &mut Report) -> Self {
        let mut entries = Self::default();
        let jobs: BTreeSet<&JobId> = books.jobs.iter().map(|audited| &audited.job.id).collect();
        for (account, line) in &books.lines {
            let (side, job) = match &line.entry {
                Entry::Charge { job, .. } => (&mut entries.charges, job),
                Entry::Refund { job, .. } => (&mut entries.refunds, job),
                Entry::Grant { .. } => continue,
            };
            if !jobs.contains(job) {
                report
                    .violations
                    .push(format!("{account}: a ledger line is about {job}, which does not exist"));
            }
            if side.insert(job.clone(), (account.clone(), line.entry.amount())).is_some() {
                report.violations.push(format!("{job}: stands twice on one side of the ledger"));
            }
        }
        entries
    }
}

fn job(audited: &AuditedJob, entries: &Entries) -> Vec<String> {
    let AuditedJob { job, is_due_indexed, has_request } = audited;
    let mut problems = Vec::new();
    let paid = Some((job.account.clone(), job.price));
    if entries.charges.get(&job.id).cloned() != paid {
        problems.push("was not charged its price, once, to its account".to_owned());
    }
    let refunded = entries.refunds.get(&job.id).cloned();
    let ended_without = matches!(job.state, State::Failed | State::Canceled);
    let due = Some((job.account.clone(), job.refunded.unwrap_or(job.price)));
    if ended_without && refunded != due {
        problems.push(format!("is {} and was not refunded what it says", job.state.name()));
    }
    if !ended_without && refunded.is_some() {
        problems.push(format!("is {} and was refunded", job.state.name()));
    }
    if *is_due_indexed == job.state.is_terminal() {
        problems.push(format!("is {} and in the due index: {is_due_indexed}", job.state.name()));
    }
    if !has_request {
        problems.push("has lost its request".to_owned());
    }
    if job.attempts.len() > ATTEMPTS_MAX {
        problems.push(format!("made {} attempts", job.attempts.len()));
    }
    let finished = job.current().is_some_and(|attempt| attempt.phase == Phase::Finished);
    if matches!(job.state, State::Settling | State::Succeeded) && !finished {
        problems.push(format!("is {} without a finished attempt", job.state.name()));
    }
    if (job.state == State::Succeeded) != job.media.is_some() {
        problems.push("has media and has not succeeded, or the reverse".to_owned());
    }
    problems
}

fn media(books: &Books, report: &mut Report) {
    report.objects = books.objects.len();
    report.object_bytes = books.objects.values().sum();
    let settled = |job: &Job| job.state.is_terminal() || job.state == State::Settling;
    let mut expected = BTreeSet::new();
    for AuditedJob { job, .. } in books.jobs.iter().filter(|audited| settled(&audited.job)) {
        expected.extend(job.attempts.iter().flat_map(|made| {
            [Kind::Video, Kind::Image].map(|kind| media_key(&job.account, &job.id, made.number, kind))
        }));
        if let Some(media) = &job.media
            && books.objects.get(&media.key) != Some(&media.bytes)
        {
            report.violations.push(format!("{}: its media is not in the bucket, or of another size", job.id));
        }
    }
    for key in books.objects.keys().filter(|key| !expected.contains(*key)) {
        report.violations.push(format!("the object {key} belongs to no settled job"));
    }
}

/// Every remote job that may bill is known to an attempt, or may be one whose fate an
/// attempt waits for; and no attempt has two.
fn remotes(books: &Books, provider: Provider, remote_jobs: &[RemoteJobView], report: &mut Report) {
    let attempts: Vec<&Attempt> = books
        .jobs
        .iter()
        .flat_map(|audited| &audited.job.attempts)
        .filter(|attempt| attempt.provider == provider)
        .collect();
    let known: BTreeSet<&str> = attempts
        .iter()
        .filter_map(|attempt| attempt.remote.as_ref())
        .map(|remote| remote.id.as_str())
        .collect();
    let unknown = remote_jobs.iter().filter(|remote| !known.contains(remote.id.as_str())).count();
    // What is delivered at once has no name that an attempt could know it by.
    let delivers = adapter(provider).capabilities().delivers;
    let open = |attempt: &&&Attempt| {
        let unsettled = matches!(attempt.phase, Phase::Sending | Phase::Unclear | Phase::Lost);
        attempt.remote.is_none() && (delivers || unsettled)
    };
    let waiting = attempts.iter().filter(open).count();
    if unknown > waiting {
        report.violations.push(format!(
            "{provider} has {unknown} remote jobs that no attempt knows, and only {waiting} attempts could be theirs"
        ));
    }
    if remote_jobs.len() > attempts.len() {
        report.violations.push(format!(
            "{provider} has {} remote jobs for {} attempts",
            remote_jobs.len(),
            attempts.len()
        ));
    }
    let settled: BTreeSet<&str> = books
        .jobs
        .iter()
        .filter(|audited| audited.job.state.is_terminal() && audited.job.loose_attempts().next().is_none())
        .flat_map(|audited| &audited.job.attempts)
        .filter_map(|attempt| attempt.remote.as_ref().filter(|_| attempt.phase != Phase::Lost))
        .map(|remote| remote.id.as_str())
        .collect();
    for remote in remote_jobs {
        let runs = matches!(remote.state, RemoteState::Queued | RemoteState::Running);
        if runs && settled.contains(remote.id.as_str()) {
            report
                .violations
                .push(format!("{provider}'s remote job {} runs on after its job has ended", remote.id));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credits = |micros: i128| match u64::try_from(micros) {
            Ok(micros) => Credits::from_micros(micros).to_string(),
            Err(_) => format!("{micros} micro"),
        };
        for (account, sums) in &self.accounts {
            let [granted, balance, charged, refunded] =
                [sums.granted, sums.balance, sums.charged, sums.refunded].map(credits);
            writeln!(
                f,
                "{account}: granted {granted} = balance {balance} + charged {charged} - refunded {refunded}"
            )?;
        }
        for (state, count) in &self.jobs {
            writeln!(f, "{state}: {count}")?;
        }
        writeln!(f, "objects: {} ({} bytes)", self.objects, self.object_bytes)?;
        writeln!(f, "cost of all attempts: {}", self.cost)?;
        for violation in &self.violations {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "{} violations", self.violations.len())
    }
}
