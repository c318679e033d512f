//! What a function may wait for is less than the time that the template gives it.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::job::COPY_LEASE;
use harness::World;
use local::host::Template;
use shared::boot::process::{AWS_CALL, AWS_TRY, S3_TRY};
use shared::channel::CALL_MAX;
use shared::payment::OPEN_MAX;
use shared::provider::Timeouts;
use shared::provider::fetch::IMAGE_WITHIN;
use shared::store::uploads::BUCKET_WITHIN;

/// The most that each function waits for in a row, provider and AWS, where each call takes all the
/// time that it may have. Copies of files are not in it: they have limits of their own.
fn longest() -> BTreeMap<&'static str, Duration> {
    let Timeouts { create, deliver, ask, ping, .. } = Timeouts::default();
    let token = ping;
    // A caller repeats what failed: one call may take all its time, the others one try.
    let http = |calls: u32| AWS_CALL + AWS_TRY * (calls - 1);
    BTreeMap::from([
        // Key, policy, create or the job of a retry, send; images that came with it.
        ("submit", http(5) + BUCKET_WITHIN),
        ("cancel", http(4) + BUCKET_WITHIN), // key, job, move, send or the file
        ("status", http(4)),                 // key, job, the job again while a caller waits, ledger
        // Session, key; policy, create, send; or a job with two ledger lines; or the put of a purchase, move.
        ("console", http(5).max(http(4) + OPEN_MAX)),
        ("endpoints", http(5)),         // key, endpoint, move, event, send
        ("topups", http(3) + OPEN_MAX), // key, put of the purchase or its read, move
        ("webhook", ping + AWS_CALL),
        // Event, job, endpoints, link; deliveries at the same time; event, send. Of an inbound source,
        // endpoints and the event's put instead of the job.
        ("notify", http(7)),
        // Delivery, endpoint, claim, event; the call; delivery, endpoint, messages.
        ("deliver", CALL_MAX + http(8)),
        // It reads, passes the gate and claims before; how much time that may take, it looks at.
        // What comes in the answer is made from words alone, and with a key.
        ("dispatch", deliver.max(IMAGE_WITHIN + token + create) + AWS_CALL),
        // Job, question; status and result, and again before a cancel, and that; what follows.
        ("poll", AWS_CALL * 2 + token + ask * 5 + AWS_CALL),
        // Status and result; job, move, place; dispatch, and a poll of each of three others. What
        // fails of these comes back, or `reconcile` sends it.
        ("settle", token + ask * 2 + http(7)),
        ("health", AWS_CALL + token + ping + AWS_CALL),
    ])
}

async fn template() -> Template {
    World::new().await.stack.host.template().clone()
}

#[tokio::test]
async fn no_function_waits_for_longer_than_it_may_run() {
    let template = template().await;
    let longest = longest();
    for (name, spec) in &template.functions {
        // These end by the time that is left, whatever they wait for.
        let Some(wait) = longest.get(name.as_str()) else {
            assert!(["fetch", "payment", "reconcile", "socket"].contains(&name.as_str()), "{name}");
            continue;
        };
        assert!(*wait < spec.timeout, "{name} may wait for {wait:?} and has {:?}", spec.timeout);
    }
    for route in &template.routes {
        let timeout = template.functions[&route.function].timeout;
        assert!(timeout < Duration::from_secs(30), "the API gives up before {} does", route.function);
    }
}

#[tokio::test]
async fn a_claim_leaves_time_for_the_create_and_what_comes_before_it() {
    let dispatch = template().await.functions["dispatch"].timeout;
    assert!(dispatch::CREATE_WITHIN >= longest()["dispatch"]);
    assert!(dispatch::CREATE_WITHIN + AWS_TRY * 2 <= dispatch);
}

#[tokio::test]
async fn a_copy_leaves_time_to_write_down_what_became_of_it_and_its_lease_outlives_a_renewal_that_fails() {
    let fetch = template().await.functions["fetch"].timeout;
    // The last part, the end of the upload; the move, and the next message.
    assert!(fetch::WRITE_WITHIN >= S3_TRY + AWS_TRY + AWS_CALL + AWS_CALL);
    assert!(fetch >= fetch::WRITE_WITHIN + Duration::from_secs(240));
    assert!(COPY_LEASE >= fetch::RENEW_EVERY * 2 + AWS_CALL);
    assert!(reconcile::ANSWER_WITHIN > fetch);
}
