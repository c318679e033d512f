//! The audit of a table in use.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::catalog::Catalog;
use domain::credit::Credits;
use domain::decide::Event;
use domain::id::JobId;
use domain::job::{CHECK_EVERY, CancelRefund, Job};
use domain::policy::live::LiveMax;
use domain::provider::Provider;
use domain::request::JobRequest;
use futures_util::future::join_all;
use harness::World;
use harness::world::AUDIT;
use shared::operate::audit::check;
use shared::store::ledger::Limits;

use super::order;

/// Ended jobs with long prompts, so that a scan has many pages.
async fn ballast(world: &World) {
    let catalog = Catalog::for_providers(Provider::ALL);
    for n in 0..20 {
        let mut request =
            JobRequest::new(serde_json::from_value(order("a boat")).unwrap(), &catalog).unwrap();
        request.prompt = "x".repeat(200_000);
        let (now, id) = (world.clock.now(), JobId::from_bytes([n; 16]));
        let (account, digest) = (world.account.clone(), request.digest());
        let job = Job::new(id, account, request.model.clone(), Credits::ONE, digest, now);
        let limits = Limits { live_jobs: LiveMax::AtMost(1_000), loss_per_day: None, low_below: None };
        world.jobs().create(&job, &request, now + CHECK_EVERY, limits).await.unwrap();
        world.jobs().advance(job.id(), &Event::CancelRequested(CancelRefund::LessCost), now).await.unwrap();
    }
}

/// Submits, ends and cancels, in rounds of ten.
async fn traffic(world: &World) {
    for round in 0..12 {
        let submits = (0..10).map(|n| async move {
            let prompt = if n % 3 == 0 { "a boat [[sim: fail=content_policy]]" } else { "a boat" };
            let id = world.submit("pika-2.2", prompt, &format!("{round}-{n}")).await;
            if n % 4 == 0 {
                world.cancel(&id).await;
            }
        });
        let moves = async {
            for _ in 0..5 {
                world.advance(Duration::from_secs(7)).await;
            }
        };
        tokio::join!(join_all(submits), moves, world.sweep());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_of_a_busy_table_finds_nothing() {
    let world = World::new().await;
    ballast(&world).await;
    let is_over = AtomicBool::new(false);
    let audits = async {
        let (mut audits, mut torn) = (0, 0);
        while !is_over.load(Ordering::Relaxed) {
            let report = world.inspect_as(AUDIT, &BTreeMap::new()).await;
            assert!(report.violations.is_empty(), "{report}");
            let books = world.books().await;
            torn += check(&books, &BTreeMap::new(), AUDIT, world.clock.now()).violations.len();
            audits += 1;
        }
        (audits, torn)
    };
    let busy = async {
        traffic(&world).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let ((audits, torn), ()) = tokio::join!(audits, busy);
    println!("{audits} audits; single readings saw {torn} things that were not so");
    assert!(audits > 3 && torn > 0, "{audits} audits, {torn} torn");
}
