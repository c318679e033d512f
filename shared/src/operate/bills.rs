//! The attempts that a provider's bill may be about.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use domain::bill::{Known, Line, Period};
use domain::catalog::Catalog;
use domain::job::Job;
use domain::provider::Provider;

use crate::store::jobs::JobStore;
use crate::store::remotes::Remotes;
use crate::store::usage::UsageStore;
use crate::store::{Error, Table};

/// How long before the period jobs are read: an attempt that is billed in it may have begun earlier. No job makes
/// attempts for longer.
const BEFORE: Duration = Duration::from_secs(3 * 24 * 3_600);
/// How long after the period jobs are read: a line of its last day may be about one, where the bill's days are
/// those of another zone, or its clock is behind.
const AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Which attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    pub provider: Provider,
    /// Those at simulators instead of those at the provider.
    pub simulated: bool,
    pub period: Period,
}

impl Query {
    fn of_job(self, job: &Job) -> Vec<Known> {
        let attempts = job.attempts().iter();
        let asked = attempts.filter(|it| it.provider == self.provider && it.simulated == self.simulated);
        asked.filter_map(|attempt| Known::of(job, attempt)).collect()
    }
}

/// The attempts of the jobs of the period, and of some before and after it: by one scan of the table.
pub async fn around(table: &Table, query: Query) -> Result<Vec<Known>, Error> {
    let Period { since, until } = query.period;
    let (mut known, usage) = (Vec::new(), UsageStore::new(table.clone()));
    usage.scan(since.minus(BEFORE), until + AFTER, |record| known.extend(query.of_job(&record.job))).await?;
    Ok(known)
}

/// The attempts of other jobs that the bill names: by the items of their remote jobs.
pub async fn named(
    table: &Table,
    query: Query,
    bill: &[Line],
    around: &[Known],
) -> Result<Vec<Known>, Error> {
    let scanned: HashSet<&str> = around.iter().map(|known| &*known.remote).collect();
    let others = bill.iter().filter(|line| query.period.has_line(line)).map(|line| &*line.remote);
    let others: BTreeSet<&str> = others.filter(|remote| !scanned.contains(*remote)).collect();
    let holders = Remotes::new(table.clone()).holders(query.provider, &others).await?;
    let (jobs, mut known) = (JobStore::new(table.clone()), Vec::new());
    for id in holders.into_values().map(|holder| holder.job).collect::<BTreeSet<_>>() {
        let job = jobs.get(&id).await?;
        known.extend(job.iter().flat_map(|job| query.of_job(job)));
    }
    known.retain(|known| !scanned.contains(&*known.remote));
    Ok(known)
}

/// The endpoints that a list by endpoint is asked for: of every route of the catalogue, sold or not, and of those
/// that attempts ran on.
pub fn endpoints(catalog: &Catalog, provider: Provider, known: &[Known]) -> BTreeSet<String> {
    let of_catalog = catalog.routes().filter(|route| route.provider == provider);
    let of_catalog = of_catalog.flat_map(|route| route.endpoints().map(str::to_owned).collect::<Vec<_>>());
    let named = known.iter().filter_map(|known| known.route.strip_prefix(provider.name())?.strip_prefix('/'));
    of_catalog.chain(named.map(str::to_owned)).collect()
}
