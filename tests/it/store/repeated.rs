//! A write whose answer is lost is made again by the SDK: it is done once, and its own trace is
//! not mistaken for a concurrent writer's.

use std::convert::Infallible;

use domain::credit::Entry;
use domain::decide::Decision;
use domain::id::JobId;
use domain::job::CHECK_EVERY;
use domain::policy::admission::Admission;
use domain::policy::breaker::Report;
use domain::provider::Provider::Fal;
use domain::verdict::ErrorClass;
use harness::World;
use shared::store::admission::AdmissionStore;
use shared::store::jobs::{Advance, Created, JobStore};
use shared::store::ledger::{Granted, Ledger};
use shared::store::polls::{PollSequence, Polls};

use super::{CANCEL, LIVE_MAX, PRICE, TAKEN, balance, claim, lines, new_job, order, wired_table};

/// The write was made, and made again.
fn was_repeated(world: &World) {
    let calls = world.wire.calls();
    assert!(world.wire.is_spent() && calls.windows(2).any(|pair| pair[0] == pair[1]), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_taken_and_a_failure_counted_once() {
    let world = World::new().await;
    let table = wired_table(&world);
    let (job, now) = (JobId::from_bytes([1; 16]), world.clock.now());
    world.wire.lose_answer_at(0);
    assert_eq!(Polls::new(table.clone()).acquire(&job, 1, PollSequence::FIRST, 1, now).await.unwrap(), TAKEN);
    was_repeated(&world);

    // The first write of admission control has another condition than those after it.
    let store = AdmissionStore::new(table);
    let mut admission = Admission::new(now);
    for stamp in 1..=2 {
        let ill = |admission: &Admission| {
            Ok::<_, Infallible>(admission.after(
                Some(Report::Ill(ErrorClass::ProviderUnavailable)),
                None,
                0,
                now,
            ))
        };
        let Ok(Some(due)) = ill(&admission) else { panic!("a failure changes nothing") };
        world.wire.reset();
        world.wire.lose_answer_at(0);
        let (after, _) = store.change(Fal, admission, stamp, ill).await.unwrap();
        was_repeated(&world);
        assert_eq!(after, Admission { version: stamp, stamp, ..due }, "one failure is counted once");
        assert_eq!(store.admission(Fal, now).await.unwrap(), after);
        admission = after;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_a_charge_a_claim_and_a_refund_are_made_once() {
    let world = World::new().await;
    let table = wired_table(&world);
    let (account, now) = (&world.account, world.clock.now());
    let (ledger, jobs) = (Ledger::new(table.clone()), JobStore::new(table));
    let begin = balance(&world, account).await;

    world.wire.lose_answer_at(0);
    assert_eq!(ledger.grant(account, "two", PRICE.checked_mul(2).unwrap(), now).await.unwrap(), Granted::New);
    was_repeated(&world);

    for (name, event) in [("claimed", claim(7)), ("canceled", CANCEL)] {
        let job = new_job(account, name, now);
        world.wire.reset();
        world.wire.lose_answer_at(0);
        let created = jobs.create(&job, &order(name), now + CHECK_EVERY, LIVE_MAX).await.unwrap();
        was_repeated(&world);
        assert_eq!(created, Created::New(job.clone()));

        let Ok(Decision::Move(due)) = job.decide(&event, now) else { panic!("{event:?} moves nothing") };
        world.wire.reset();
        world.wire.lose_answer_at(1);
        assert_eq!(jobs.advance(job.id(), &event, now).await.unwrap(), Advance::Moved(due.into_after()));
        was_repeated(&world);
    }
    let refunds =
        lines(&world, account).await.iter().filter(|line| matches!(line.entry, Entry::Refund { .. })).count();
    assert_eq!(refunds, 1);
    assert_eq!(
        balance(&world, account).await,
        begin.checked_add(PRICE).unwrap(),
        "of two charges one is back"
    );
}
