//! EventBridge as far as the functions see it: rules that fire at a rate.

use domain::time::Timestamp;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::template::Schedule;
use super::{Host, ids};

/// Fires the rule now, and then at its rate, until `shutdown`. Never twice at once.
///
/// A rule's first time after a deployment is one period later; here it is at once, so that a stack that
/// was killed finds its unfinished jobs when it is started again.
pub(super) async fn run(host: Host, schedule: Schedule, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(schedule.every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(timer.tick()).await.is_some() {
        fire(&host, &schedule).await;
    }
}

/// Invokes the rule's function once. The host logs a failure.
pub(super) async fn fire(host: &Host, schedule: &Schedule) {
    let event = document(host, schedule, host.clock().now());
    let _ = host.invoke(&schedule.function, event).await;
}

fn document(host: &Host, schedule: &Schedule, now: Timestamp) -> Value {
    let deployment = &host.template().deployment;
    json!({
        "version": "0",
        "id": ids::uuid(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": deployment.account_id,
        "time": ids::rfc_3339_seconds(now),
        "region": deployment.region,
        "resources": [schedule.rule_arn],
        "detail": {},
    })
}
