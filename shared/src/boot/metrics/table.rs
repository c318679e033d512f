//! Every metric.

use super::Dimension::{Class, Provider};
use super::Kind::{Latest, Spread, Sum};
use super::Metric;
use super::Unit::{Bytes, MicroCredits, MicroUsd, Milliseconds, Seconds};

type Only = &'static [(&'static str, &'static [&'static str])];

const SUCCEEDED: Only = &[("status", &["succeeded"])];
const FAILED: Only = &[("status", &["failed"])];
const CANCELED: Only = &[("status", &["canceled"])];
const CLAIMED: Only = &[("event", &["claimed"])];
const FAILED_OVER: Only = &[("from", &["dispatching", "running", "settling"]), ("to", &["queued"])];
const REFUNDED: Only = &[("refunded", &["true"])];
const CREATE: Only = &[("what", &["create"])];
const CREATE_REFUSED: Only = &[("what", &["create"]), ("outcome", &["refused", "not_sent"])];
const CREATE_UNKNOWN: Only = &[("what", &["create"]), ("outcome", &["unknown"])];
const NOT_GENUINE: Only =
    &[("problem", &["bad_signature", "malformed_webhook", "stale_webhook", "wrong_mode"])];
const NOT_DELIVERED: Only = &[("outcome", &["failed", "gone", "rejected"])];
const DELIVERED: Only = &[("outcome", &["delivered"])];

/// All metrics. `docs/metrics.md` and the dashboard have the same; a test compares them.
pub const TABLE: [Metric; 28] = [
    Metric::count("jobs_created", "job.created", "jobs that were accepted and charged"),
    Metric::count("jobs_succeeded", "job.ended", "jobs that ended with a file").only(SUCCEEDED),
    Metric::count("jobs_failed", "job.ended", "jobs that ended without one").only(FAILED),
    Metric::count("jobs_canceled", "job.ended", "jobs that their callers ended").only(CANCELED),
    Metric::count("job_errors", "job.failed", "failed jobs by the class of their error").by(Class),
    Metric::count("time_to_done_ms", "job.ended", "from the submit of a job to its success")
        .only(SUCCEEDED)
        .of("age_ms", Milliseconds, Spread),
    Metric::count("queue_wait_ms", "job.advanced", "how long a job waited for an attempt").only(CLAIMED).of(
        "waited_ms",
        Milliseconds,
        Spread,
    ),
    Metric::count("failovers", "job.advanced", "attempts that failed while their jobs went on")
        .only(FAILED_OVER),
    Metric::count("refunds", "job.advanced", "refunds").only(REFUNDED),
    Metric::count("refund_micro_credits", "job.ended", "what was refunded").of(
        "refund_micros",
        MicroCredits,
        Sum,
    ),
    Metric::count("cost_micro_usd", "job.ended", "what attempts may have cost, as known at the job's end")
        .of("cost_micro_usd", MicroUsd, Sum),
    Metric::count("copied_bytes", "job.ended", "files in the bucket").of("bytes", Bytes, Sum),
    Metric::count("copies_failed", "media.not_copied", "copies of a file that failed and are tried again"),
    Metric::count("media_wrong", "media.wrong", "files that are not what was sold").by(Provider),
    Metric::count("media_short", "media.short", "videos clearly shorter than ordered").by(Provider),
    Metric::count("media_without_index", "media.without_index", "videos that may not play everywhere"),
    Metric::count("create_ms", "provider.called", "create calls, with the fetch of their images")
        .only(CREATE)
        .of("duration_ms", Milliseconds, Spread)
        .by(Provider),
    Metric::count("creates_refused", "provider.called", "create calls that were refused or not sent")
        .only(CREATE_REFUSED)
        .by(Provider),
    Metric::count("creates_unknown", "provider.called", "create calls whose outcome is unknown")
        .only(CREATE_UNKNOWN)
        .by(Provider),
    Metric::count("webhooks_received", "webhook.received", "genuine webhooks of providers").by(Provider),
    Metric::count("webhooks_refused", "http.refused", "webhooks that were not genuine or not readable")
        .only(NOT_GENUINE),
    Metric::count("webhooks_dropped", "webhook.dropped", "webhooks about another attempt than they name")
        .by(Provider),
    Metric::count("deliveries_failed", "delivery.tried", "tries of a delivery that failed")
        .only(NOT_DELIVERED),
    Metric::count("callback_lag_ms", "delivery.tried", "from an event to its arrival, retries included")
        .only(DELIVERED)
        .of("lag_ms", Milliseconds, Spread),
    Metric::count("messages_failed", "message.failed", "messages that are delivered again after a failure"),
    Metric::count("prices_differ", "price.differs", "prices that differ from the catalogue").by(Provider),
    Metric::count("overdue_jobs_s", "jobs.swept", "the longest time past a job's check").of(
        "overdue_max_s",
        Seconds,
        Latest,
    ),
    Metric::count("overdue_events_s", "events.swept", "the longest time past an event's or delivery's check")
        .of("overdue_max_s", Seconds, Latest),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::boot::metrics::Unit;

    #[test]
    fn names_are_unique_end_with_their_unit_and_fit_into_one_line() {
        let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
        let of_prometheus: BTreeSet<_> = TABLE.iter().map(Metric::prometheus).collect();
        assert_eq!((names.len(), of_prometheus.len()), (TABLE.len(), TABLE.len()));
        assert!(TABLE.len() <= 100, "what one directive of CloudWatch may have");
        for metric in &TABLE {
            assert!(metric.name.ends_with(metric.unit.suffix()), "{}", metric.name);
            assert_eq!(metric.field.is_none(), metric.unit == Unit::Count, "{}", metric.name);
        }
        assert_eq!(TABLE[5].prometheus(), "genmux_time_to_done_seconds");
        assert_eq!(TABLE[10].prometheus(), "genmux_cost_usd_total");
    }
}
