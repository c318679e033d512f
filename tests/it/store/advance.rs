//! Moving a job: one winner for each version, and its money with it.

use domain::attempt::AttemptEvent;
use domain::credit::Entry;
use domain::decide::Event;
use domain::id::{JobId, RemoteJob};
use domain::job::{CHECK_EVERY, Job, State, Stop};
use domain::media::{Details, Media};
use domain::verdict::ErrorClass;
use harness::{Log, World};
use serde_json::json;
use shared::store::jobs::{Advance, JobStore};
use shared::store::keys::{self, CHECK_AT, DUE_SHARD};

use super::{
    CANCEL, PRICE, claim, job_item, lines, number, remove, snapshot, spoil, spoil_job, stored, text,
    wired_table,
};

const ROUNDS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_is_written_once_and_its_repeat_changes_nothing() {
    let world = World::new().await;
    let job = stored(&world, "a").await;

    let moved = tell(&world, job.id(), &claim(1)).await;
    assert!(matches!(moved, Advance::Moved(_)), "{moved:?}");
    assert_eq!((moved.job().version(), moved.job().state()), (2, State::Dispatching));
    assert_eq!(world.job(job.id()).await, *moved.job());
    let before = snapshot(&world).await;

    let again = tell(&world, job.id(), &claim(2)).await;
    assert_eq!(again, Advance::Unchanged(moved.job().clone()));
    assert_eq!(snapshot(&world).await, before);
}

/// On one thread: its log is this test's alone.
#[tokio::test]
async fn a_move_is_one_line_of_the_log_and_a_repeat_is_none() {
    let world = World::new().await;
    let job = stored(&world, "a").await;
    let log = Log::start();

    for _ in 0..2 {
        tell(&world, job.id(), &CANCEL).await;
    }

    let moves = log.of("job.advanced");
    let [line] = &moves[..] else { panic!("{moves:?}") };
    let told = json!({
        "job": job.id().to_string(), "version": 2, "from": "queued", "to": "canceled",
        "event": CANCEL.name(), "attempt": 0, "refunded": true,
    });
    for (name, value) in told.as_object().unwrap() {
        assert_eq!(line[name], *value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_in_the_same_state_refuses_a_move_which_is_decided_again() {
    let world = World::new().await;
    for (name, event) in [("alone", claim(1)), ("with money", CANCEL)] {
        let job = stored(&world, name).await;
        spoil_job(&world, job.id(), "version", number(7)).await;

        let moved = world.jobs().advance_from(job.clone(), &event, world.clock.now()).await.unwrap();

        assert!(matches!(&moved, Advance::Moved(after) if after.version() == 8), "{name}: {moved:?}");
        assert_eq!(world.job(job.id()).await, *moved.job());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_state_of_the_same_version_refuses_a_move_which_is_decided_again() {
    let world = World::new().await;
    let job = stored(&world, "alone").await;
    spoil_job(&world, job.id(), "state", text("canceled")).await;
    let unchanged = world.jobs().advance_from(job, &claim(1), world.clock.now()).await.unwrap();
    assert!(matches!(&unchanged, Advance::Unchanged(job) if job.state() == State::Canceled), "{unchanged:?}");

    let job = stored(&world, "with money").await;
    let charged = world.balance().await;
    spoil_job(&world, job.id(), "state", text("running")).await;
    let moved = world.jobs().advance_from(job, &CANCEL, world.clock.now()).await.unwrap();
    assert!(matches!(&moved, Advance::Moved(job) if job.state() == State::Running), "{moved:?}");
    assert_eq!(world.balance().await, charged, "a job that may still run is not refunded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_a_race_decides_again_from_the_winner() {
    let world = World::new().await;
    let stale = stored(&world, "a").await;
    tell(&world, stale.id(), &claim(1)).await;
    let running = tell(&world, stale.id(), &accepted()).await.job().clone();
    let charged = world.balance().await;

    let claimed = world.jobs().advance_from(stale.clone(), &claim(2), world.clock.now()).await.unwrap();
    assert_eq!(claimed, Advance::Unchanged(running.clone()));

    // From a queued job, a cancel would have ended and refunded it.
    let canceled = world.jobs().advance_from(stale, &CANCEL, world.clock.now()).await.unwrap();
    let after = canceled.job();
    assert!(matches!(canceled, Advance::Moved(_)), "{canceled:?}");
    assert_eq!(
        (after.version(), after.state(), after.stop()),
        (running.version() + 1, State::Running, Some(Stop::Caller))
    );
    assert_eq!(world.balance().await, charged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rival_between_the_read_and_the_write_wins() {
    let world = World::new().await;
    let over_wire = JobStore::new(wired_table(&world));
    for (name, event) in [("alone", claim(1)), ("with money", CANCEL)] {
        let job = stored(&world, name).await;
        let (rival, id, now) = (world.jobs(), job.id().clone(), world.clock.now());
        world.wire.reset();
        world.wire.overtake_at(1, move || {
            let (rival, id) = (rival.clone(), id.clone());
            Box::pin(async move {
                let won = rival.advance(&id, &claim(9), now).await.expect("the table answers");
                assert!(matches!(won, Advance::Moved(_)), "{won:?}");
            })
        });

        let lost = over_wire.advance(job.id(), &event, now).await.unwrap();

        assert!(world.wire.is_spent());
        assert_eq!(lost.job().state(), State::Dispatching, "{name}: {lost:?}");
        assert_eq!(lost.job().attempts()[0].claim, 9, "{name}: {lost:?}");
        assert_eq!(world.job(job.id()).await, *lost.job());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_of_ones_own_write_is_no_rival() {
    let world = World::new().await;
    let (job, now) = (stored(&world, "a").await, world.clock.now());
    let first = world.jobs().advance_from(job.clone(), &claim(1), now).await.unwrap();
    let repeat = world.jobs().advance_from(job.clone(), &claim(1), now).await.unwrap();
    let rival = world.jobs().advance_from(job, &claim(2), now).await.unwrap();
    assert_eq!(repeat, first);
    assert_eq!(rival, Advance::Unchanged(first.job().clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_claims_at_the_same_instant_one_wins() {
    let world = World::new().await;
    for round in 0..ROUNDS {
        let job = stored(&world, &format!("round {round}")).await;
        let race = |claimed: u64| {
            let (jobs, id, now) = (world.jobs(), job.id().clone(), world.clock.now());
            tokio::spawn(async move { jobs.advance(&id, &claim(claimed), now).await })
        };
        let (one, two) = (race(1), race(2));
        let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());

        let moved = [&one, &two].iter().filter(|end| matches!(end, Advance::Moved(_))).count();
        assert_eq!(moved, 1, "{one:?} {two:?}");
        let winner = world.job(job.id()).await;
        assert_eq!((one.job(), two.job()), (&winner, &winner));
        assert_eq!((winner.version(), winner.attempts().len()), (2, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_cancels_at_the_same_instant_one_refunds() {
    let world = World::new().await;
    let before = world.balance().await;
    for round in 0..ROUNDS {
        let job = stored(&world, &format!("round {round}")).await;
        let race = || {
            let (jobs, id, now) = (world.jobs(), job.id().clone(), world.clock.now());
            tokio::spawn(async move { jobs.advance(&id, &CANCEL, now).await })
        };
        let (one, two) = (race(), race());
        let ends = [one.await.unwrap().unwrap(), two.await.unwrap().unwrap()];
        assert_eq!(ends.iter().filter(|end| matches!(end, Advance::Moved(_))).count(), 1, "{ends:?}");
        assert_eq!(world.balance().await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_event_is_a_defect_and_a_missing_job_is_missing() {
    let world = World::new().await;
    let job = stored(&world, "a").await;
    let before = snapshot(&world).await;
    let now = world.clock.now();

    let illegal = world.jobs().advance(job.id(), &stored_media(), now).await.unwrap_err();
    assert!(illegal.is_corrupt() && !illegal.is_missing(), "{illegal:?}");
    let missing = world.jobs().advance(&JobId::from_bytes([9; 16]), &claim(1), now).await.unwrap_err();
    assert!(missing.is_missing() && !missing.is_corrupt(), "{missing:?}");
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_gone_before_its_move_is_missing_and_nothing_is_refunded() {
    let world = World::new().await;
    for (name, event) in [("alone", claim(1)), ("with money", CANCEL)] {
        let job = stored(&world, name).await;
        remove(&world, &keys::job(job.id()), keys::JOB).await;
        let before = snapshot(&world).await;
        let missing = world.jobs().advance_from(job, &event, world.clock.now()).await.unwrap_err();
        assert!(missing.is_missing(), "{name}: {missing:?}");
        assert_eq!(snapshot(&world).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_without_result_refunds_once_and_leaves_the_due_index() {
    let world = World::new().await;
    let before = world.balance().await;
    let job = stored(&world, "a").await;
    let item = job_item(&world, job.id()).await;
    assert!(item.contains_key(DUE_SHARD) && item.contains_key(CHECK_AT));
    let event = Event::NoRoute { class: ErrorClass::ProviderUnavailable };

    let failed = tell(&world, job.id(), &event).await;

    assert!(matches!(&failed, Advance::Moved(job) if job.state() == State::Failed), "{failed:?}");
    assert_eq!(world.balance().await, before);
    assert_eq!(refunds(&world, &job).await, 1);
    let item = job_item(&world, job.id()).await;
    assert!(!item.contains_key(DUE_SHARD) && !item.contains_key(CHECK_AT), "{item:?}");
    let due = world.jobs().due(shard(&job), world.clock.now() + CHECK_EVERY, 10).await.unwrap();
    assert_eq!(due, []);

    let again = tell(&world, job.id(), &event).await;
    assert_eq!(again, Advance::Unchanged(failed.job().clone()));
    assert_eq!((world.balance().await, refunds(&world, &job).await), (before, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_keeps_the_charge_and_leaves_the_due_index() {
    let world = World::new().await;
    let job = stored(&world, "a").await;
    let charged = world.balance().await;
    for event in [claim(1), accepted(), finished()] {
        tell(&world, job.id(), &event).await;
        assert!(job_item(&world, job.id()).await.contains_key(DUE_SHARD), "a live job stays in the index");
    }

    let succeeded = tell(&world, job.id(), &stored_media()).await;

    assert_eq!(succeeded.job().state(), State::Succeeded);
    assert_eq!(world.job(job.id()).await, *succeeded.job());
    assert_eq!((world.balance().await, refunds(&world, &job).await), (charged, 0));
    let item = job_item(&world, job.id()).await;
    assert!(!item.contains_key(DUE_SHARD) && !item.contains_key(CHECK_AT), "{item:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_beside_a_live_job_is_a_loud_error_and_changes_nothing() {
    let world = World::new().await;
    let job = stored(&world, "a").await;
    let refund = keys::entry(&Entry::Refund { job: job.id().clone(), amount: PRICE });
    spoil(&world, &keys::account(&world.account), &refund, "amount", number(PRICE.micros())).await;
    let before = snapshot(&world).await;

    let wrong = world.jobs().advance(job.id(), &CANCEL, world.clock.now()).await.unwrap_err();

    assert!(wrong.is_corrupt(), "{wrong:?}");
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_touches_only_what_it_changes() {
    let world = World::new().await;
    for (name, event) in [("alone", claim(1)), ("with money", CANCEL)] {
        let job = stored(&world, name).await;
        spoil_job(&world, job.id(), "added_later", text("kept")).await;
        spoil_job(&world, job.id(), "model", text("renamed")).await;

        let moved = world.jobs().advance_from(job.clone(), &event, world.clock.now()).await.unwrap();

        assert!(matches!(moved, Advance::Moved(_)), "{name}: {moved:?}");
        let item = job_item(&world, job.id()).await;
        assert_eq!((&item["added_later"], &item["model"]), (&text("kept"), &text("renamed")), "{name}");
    }
}

async fn tell(world: &World, id: &JobId, event: &Event) -> Advance {
    world.jobs().advance(id, event, world.clock.now()).await.expect("the job is told")
}

async fn refunds(world: &World, job: &Job) -> usize {
    let refund = Entry::Refund { job: job.id().clone(), amount: job.price() };
    lines(world, job.account()).await.iter().filter(|line| line.entry == refund).count()
}

fn shard(job: &Job) -> u8 {
    keys::shard(job.id())
}

fn accepted() -> Event {
    let remote = RemoteJob::new("remote-1", None).expect("a remote id");
    Event::Attempt { number: 1, event: AttemptEvent::Accepted { remote, cost: None } }
}

fn finished() -> Event {
    let verdict = domain::verdict::Verdict::Finished { asset_url: String::new(), cost: None };
    Event::Attempt { number: 1, event: AttemptEvent::Ended { remote: None, verdict } }
}

fn stored_media() -> Event {
    let media = Media {
        key: "media/video.mp4".to_owned(),
        bytes: 1,
        sha256: String::new(),
        content_type: "video/mp4".to_owned(),
        details: Details::default(),
    };
    Event::Stored { number: 1, media }
}
