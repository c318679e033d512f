//! How far a job is, by the time that its model usually takes: providers report no progress that can be compared.

use super::catalog::Catalog;
use super::job::{Job, State};
use super::time::Timestamp;

/// The usual time of a model that the catalogue no longer has, in seconds.
const EXPECTED_S: u32 = 60;

/// How long the job's model usually takes, in seconds; `None` if the catalogue no longer has it.
pub fn expected_s(job: &Job, catalog: &Catalog) -> Option<u32> {
    catalog.model(job.model()).map(|model| model.expected_s)
}

/// The share of the usual time that has passed since the submit, in percent; 0 before the first attempt. It never
/// falls, and is 100 for a success alone.
pub fn progress(job: &Job, catalog: &Catalog, now: Timestamp) -> u8 {
    if job.state() == State::Succeeded {
        return 100;
    }
    if job.attempts().is_empty() {
        return 0;
    }
    let until = job.ended_at().unwrap_or(now);
    let expected_s = expected_s(job, catalog).unwrap_or(EXPECTED_S).max(1);
    let share = until.since(job.created_at()).as_millis() / (u128::from(expected_s) * 10);
    u8::try_from(share.min(99)).unwrap_or(99)
}
