//! Events: the counts of endpoints, and that no event or delivery waits for ever.

use std::time::Duration;

use domain::time::Timestamp;

use super::Report;
use crate::store::audit::{LedgerSnapshot, Subject};

/// How long after its time an event or a delivery may wait. `reconcile` runs every minute.
const LATE_MAX: Duration = Duration::from_secs(15 * 60);

pub(super) fn check(snapshot: &LedgerSnapshot, now: Timestamp, report: &mut Report) {
    for (id, endpoints) in &snapshot.endpoints {
        let ([counted, counted_movers], [found, movers]) = (endpoints.counted, endpoints.found);
        if endpoints.counted != endpoints.found {
            report.violation(
                Subject::Endpoints(id.clone()),
                format!(
                    "{id}: the balance item counts {counted} endpoints and {counted_movers} that want \
                     `job.running`; there are {found} and {movers}"
                ),
            );
        }
    }
    for ((pk, sk), check_at) in &snapshot.waiting {
        if now > *check_at + LATE_MAX {
            let subject = Subject::Item(pk.clone(), sk.clone());
            report.violation(subject, format!("{pk} {sk}: it was due at {check_at}, and no run has sent it"));
        }
    }
}
