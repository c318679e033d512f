//! The attempts that a provider's bill may be about.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use domain::bill::{Known, Line, Period};
use domain::job::Job;
use domain::provider::Provider;

use crate::store::jobs::JobStore;
use crate::store::remotes::Remotes;
use crate::store::usage::UsageStore;
use crate::store::{Error, Table};

/// How long before the period jobs are read: an attempt that is billed in it may have begun earlier. No job makes
/// attempts for longer.
const BEFORE: Duration = Duration::from_secs(3 * 24 * 3_600);

/// The attempts at a provider: of all jobs of the period, by one scan of the table; and, by the items of their
/// remote jobs, those of other jobs that the bill names. `simulated` selects those at simulators instead of those
/// at the provider.
pub async fn known(
    table: &Table,
    provider: Provider,
    simulated: bool,
    period: Period,
    bill: &[Line],
) -> Result<Vec<Known>, Error> {
    let of_job = |job: &Job| {
        let attempts = job.attempts().iter();
        let at_provider = attempts.filter(|it| it.provider == provider && it.simulated == simulated);
        at_provider.filter_map(|attempt| Known::of(job, attempt)).collect::<Vec<_>>()
    };
    let mut known = Vec::new();
    let (usage, from) = (UsageStore::new(table.clone()), period.since.minus(BEFORE));
    usage.scan(from, period.until, |record| known.extend(of_job(&record.job))).await?;
    let scanned: HashSet<_> = known.iter().map(|known| known.remote.clone()).collect();
    let others = bill.iter().filter(|line| period.has_line(line)).map(|line| &*line.remote);
    let others: BTreeSet<&str> = others.filter(|remote| !scanned.contains(*remote)).collect();
    let holders = Remotes::new(table.clone()).holders(provider, &others).await?;
    let jobs = JobStore::new(table.clone());
    for id in holders.into_values().map(|holder| holder.job).collect::<BTreeSet<_>>() {
        let job = jobs.get(&id).await?;
        known.extend(job.iter().flat_map(of_job).filter(|known| !scanned.contains(&known.remote)));
    }
    Ok(known)
}
