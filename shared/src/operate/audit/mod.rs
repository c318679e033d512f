//! The audit: every invariant that the product promises, over the whole table, its due index, the
//! bucket and, where they are simulated, the providers.
//!
//! A scan of a table in use is not a snapshot. Suspected violations are read again, and only those
//! found in every reading are reported.

mod accounts;
mod attempts;
mod budgets;
mod events;
mod files;
mod jobs;
mod providers;
mod purchases;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use domain::credit::{Credits, MicroUsd};
use domain::id::{AccountId, JobId};
use domain::payment::Processor;
use domain::provider::Provider;
use domain::time::Timestamp;

use crate::store;
use crate::store::audit::{LedgerSnapshot, Row, Source, Subject};

pub use accounts::Sums;
pub use attempts::was_given_up;
pub use purchases::Paid;

/// A remote job of a simulated provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteJob {
    pub id: String,
    /// Whether it has not ended.
    pub is_running: bool,
}

/// The remote jobs of simulated providers.
pub type RemoteJobs = BTreeMap<Provider, Vec<RemoteJob>>;

/// How often a suspected violation is read again.
const READINGS: u32 = 3;

/// Options of an audit.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// After how many days the bucket deletes files; `None` if it keeps them.
    pub media_days: Option<u32>,
    /// The pause before each further reading: for an index that lags, and for moves under way.
    pub pause: Duration,
    /// Whether a provider's create answer brings the file itself, without an id of a remote job.
    pub delivers: fn(Provider) -> bool,
}

/// The result of an audit: sums and violations.
#[derive(Debug, Default)]
pub struct Report {
    pub accounts: BTreeMap<AccountId, Sums>,
    /// The credits of purchases.
    pub processors: BTreeMap<Processor, Paid>,
    pub jobs: BTreeMap<&'static str, usize>,
    pub objects: usize,
    pub object_bytes: u64,
    /// What all attempts cost us, known or estimated.
    pub cost: MicroUsd,
    /// Concurrency slots of ended attempts: they expire.
    pub idle_leases: usize,
    pub violations: Vec<Violation>,
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub subject: Subject,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads everything and checks it; what looks wrong, again. `remote_jobs` are those of simulated
/// providers, at rest.
#[expect(clippy::disallowed_methods, reason = "an operator waits for an index that lags")]
pub async fn audit(
    source: &Source,
    remote_jobs: &RemoteJobs,
    options: Options,
    now: impl Fn() -> Timestamp,
) -> Result<Report, store::Error> {
    let mut snapshot = source.read().await?;
    let mut report = check(&snapshot, remote_jobs, options, now());
    for _ in 0..READINGS {
        let suspects: BTreeSet<Subject> =
            report.violations.iter().map(|violation| violation.subject.clone()).collect();
        if suspects.is_empty() {
            break;
        }
        tokio::time::sleep(options.pause).await;
        for subject in &suspects {
            source.read_again(&mut snapshot, subject).await?;
        }
        report = check(&snapshot, remote_jobs, options, now());
        report.violations.retain(|violation| suspects.contains(&violation.subject));
    }
    Ok(report)
}

/// Checks what was read.
pub fn check(
    snapshot: &LedgerSnapshot,
    remote_jobs: &RemoteJobs,
    options: Options,
    now: Timestamp,
) -> Report {
    let mut report = Report::default();
    for ((pk, sk), why) in &snapshot.unreadable {
        let subject = Subject::Item(pk.clone(), sk.clone());
        report.violation(subject, format!("{pk} {sk} cannot be read by this release: {why}"));
    }
    accounts::check(snapshot, now, &mut report);
    events::check(snapshot, now, &mut report);
    purchases::check(snapshot, now, &mut report);
    for (id, audited) in &snapshot.jobs {
        let state = match &audited.row {
            Row::Read(row) => row.job.state().name(),
            Row::Unreadable { .. } => "unreadable",
            Row::Missing => "missing",
        };
        *report.jobs.entry(state).or_default() += 1;
        let mut problems = jobs::problems(id, audited, now);
        if let Some(row) = audited.row() {
            problems.extend(jobs::price(row, audited, snapshot));
            report.cost = MicroUsd(report.cost.0.saturating_add(row.job.cost().0));
            problems.extend(attempts::problems(row, now));
            problems.extend(files::problems(row, snapshot, options.media_days, now));
        }
        problems.into_iter().for_each(|problem| report.of_job(id, &problem));
    }
    files::check(snapshot, options.delivers, now, &mut report);
    providers::check(snapshot, now, &mut report);
    for (provider, remote_jobs) in remote_jobs {
        providers::check_simulated(snapshot, *provider, options.delivers, remote_jobs, &mut report);
    }
    report
}

impl Report {
    fn violation(&mut self, subject: Subject, text: String) {
        self.violations.push(Violation { subject, text });
    }

    fn of_job(&mut self, id: &JobId, problem: &str) {
        self.violation(Subject::Job(id.clone()), format!("{id}: {problem}"));
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
                [sums.paid.granted, sums.balance, sums.charged, sums.refunded].map(credits);
            write!(
                f,
                "{account}: granted {granted} = balance {balance} + charged {charged} - refunded {refunded}"
            )?;
            let [clawed, reinstated] = [sums.paid.clawed_back, sums.paid.reinstated].map(credits);
            match sums.paid.clawed_back {
                0 => writeln!(f)?,
                _ => writeln!(f, " + clawed back {clawed} - reinstated {reinstated}")?,
            }
        }
        for (processor, paid) in &self.processors {
            let [granted, clawed, reinstated] =
                [paid.granted, paid.clawed_back, paid.reinstated].map(credits);
            writeln!(f, "{processor}: paid {granted}, clawed back {clawed}, reinstated {reinstated}")?;
        }
        for (state, count) in &self.jobs {
            writeln!(f, "{state}: {count}")?;
        }
        writeln!(f, "objects: {} ({} bytes)", self.objects, self.object_bytes)?;
        writeln!(f, "cost of all attempts: {}", self.cost)?;
        if self.idle_leases > 0 {
            writeln!(f, "concurrency slots of ended attempts, until they expire: {}", self.idle_leases)?;
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "{} violations", self.violations.len())
    }
}
