//! Reading jobs: one, with its request, an account's, those that are due.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::id::{AccountId, JobId};
use domain::job::{CHECK_EVERY, Job, State};
use domain::time::Timestamp;
use harness::World;
use shared::store::dead_letters::DeadLetters;
use shared::store::due::Due;
use shared::store::jobs::Created;
use shared::store::keys;

use super::{
    CANCEL, LIVE_MAX, account, claim, create, job_item, new_job, order, remove, snapshot, spoil_job, stored,
    text,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_read_as_it_was_written_and_a_missing_one_is_none() {
    let world = World::new().await;
    let job = stored(&world, "a").await;
    let nobody = JobId::from_bytes([9; 16]);
    assert_eq!(world.jobs().get(&job.id).await.unwrap(), Some(job.clone()));
    assert_eq!(world.jobs().get_with_request(&job.id).await.unwrap(), Some((job, order("a"))));
    assert_eq!(world.jobs().get(&nobody).await.unwrap(), None);
    assert_eq!(world.jobs().get_with_request(&nobody).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_job_is_an_error() {
    let world = World::new().await;
    for sk in [keys::JOB, keys::REQUEST] {
        let job = stored(&world, sk).await;
        remove(&world, &keys::job(&job.id), sk).await;
        let half = world.jobs().get_with_request(&job.id).await.unwrap_err();
        assert!(half.is_corrupt(), "without {sk}: {half:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_cannot_be_read_is_an_error_and_never_a_default() {
    let world = World::new().await;
    for (name, value) in
        [("state", "not a word"), ("price", "free"), ("account", "nobody"), ("attempts", "none")]
    {
        let job = stored(&world, name).await;
        spoil_job(&world, &job.id, name, text(value)).await;
        let (jobs, now) = (world.jobs(), world.clock.now());
        for error in [
            jobs.get(&job.id).await.unwrap_err(),
            jobs.get_with_request(&job.id).await.unwrap_err(),
            jobs.create(&job, &order(name), now, LIVE_MAX).await.unwrap_err(),
            jobs.advance(&job.id, &CANCEL, now).await.unwrap_err(),
        ] {
            assert!(error.is_corrupt(), "{name}: {error:?}");
        }
        assert_eq!(jobs.list(&world.account, 100, None).await.unwrap(), [], "it hides no other");
        remove(&world, &keys::job(&job.id), keys::JOB).await;
    }
}

/// It is our defect, and a repeat does not help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_told_of_a_job_that_cannot_be_read_and_not_to_repeat() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a paper boat", "unreadable").await;
    spoil_job(&world, &id, "state", text("not a word")).await;
    spoil_job(&world, &id, "attempts", text("junk")).await;
    for answer in [world.status(&id).await, world.cancel(&id).await] {
        assert_eq!((answer.status.as_u16(), answer.code()), (500, "internal"), "{answer:?}");
        assert_eq!(answer.body["retryable"], false);
        let detail = answer.text("/detail");
        assert!(!detail.contains(id.as_str()) && !detail.contains("junk"), "{detail}");
    }
}

/// A newer release may read it, so its messages stay in their queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_about_a_job_that_cannot_be_read_is_delivered_again() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a paper boat", "unreadable").await;
    spoil_job(&world, &id, "attempts", text("of a newer release")).await;
    let dead = DeadLetters::of(world.operator.sqs(), "genmux", "dispatch").await.unwrap();
    world.drain().await;
    let calls = world.wire.invocations().iter().filter(|(name, _)| name == "dispatch").count();
    assert_eq!((calls, dead.depth().await.unwrap()), (1, 0));
    spoil_job(&world, &id, "attempts", AttributeValue::L(Vec::new())).await;
    assert_eq!(world.finish(&id).await.state, State::Succeeded);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_winner_that_cannot_be_read_is_an_error() {
    let world = World::new().await;
    for (name, event) in [("alone", claim(1)), ("with money", CANCEL)] {
        let job = stored(&world, name).await;
        spoil_job(&world, &job.id, "state", text("not a word")).await;
        let before = snapshot(&world).await;
        let unreadable = world.jobs().advance_from(job, &event, world.clock.now()).await.unwrap_err();
        assert!(unreadable.is_corrupt(), "{name}: {unreadable:?}");
        assert_eq!(snapshot(&world).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_lists_its_own_jobs_newest_first_page_by_page() {
    let world = World::new().await;
    let (anna, bert) = (account("anna"), account("bert"));
    let start = world.clock.now();
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(stored_at(&world, &anna, &format!("order {n}"), start + SECOND * n).await);
        stored_at(&world, &bert, &format!("order {n}"), start + SECOND * n).await;
    }
    made.reverse();

    assert_eq!(world.jobs().list(&anna, 100, None).await.unwrap(), made);
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let page = world.jobs().list(&anna, 2, cursor).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2, "{page:?}");
        cursor = Some((last.created_at, last.id.clone()));
        pages.extend(page);
    }
    assert_eq!(pages, made);
    assert_eq!(world.jobs().list(&account("nobody"), 100, None).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_the_same_instant_are_each_on_one_page_also_past_a_hundred() {
    const MADE: usize = 103;
    let world = World::new().await;
    for n in 0..MADE {
        stored(&world, &format!("order {n}")).await;
    }
    let list = async |limit, cursor| world.jobs().list(&world.account, limit, cursor).await.unwrap();

    // A batch read takes a hundred keys at once.
    let all = list(1_000, None).await;
    let first = list(50, None).await;
    let rest = list(1_000, Some((world.clock.now(), first[49].id.clone()))).await;

    assert_eq!(all.len(), MADE);
    assert_eq!([first, rest].concat(), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_due_index_gives_the_longest_overdue_first_and_no_more_than_asked() {
    let world = World::new().await;
    let now = world.clock.now();
    let names = names_of_shard(&world.account, 0, 4);
    // Not in the order of their checks, and with a job of another shard among them.
    let seconds = [30, 10, 40, 20];
    for (name, seconds) in names.iter().zip(seconds) {
        check_in(&world, name, now + SECOND * seconds).await;
    }
    let other = names_of_shard(&world.account, 1, 1);
    check_in(&world, &other[0], now + SECOND * 5).await;
    let id = |n: usize| JobId::for_key(&world.account, &names[n]);
    let due = async |seconds: u32, limit: i32| {
        let due = world.jobs().due(0, now + SECOND * seconds, limit).await.unwrap();
        due.into_iter().map(|due| due.job).collect::<Vec<_>>()
    };

    assert_eq!(due(9, 10).await, []);
    assert_eq!(due(10, 10).await, [id(1)]);
    assert_eq!(due(35, 10).await, [id(1), id(3), id(0)]);
    assert_eq!(due(35, 2).await, [id(1), id(3)]);
    assert_eq!(due(60, 10).await, [id(1), id(3), id(0), id(2)]);
    let elsewhere = world.jobs().due(1, now + SECOND * 60, 10).await.unwrap();
    assert_eq!(elsewhere.len(), 1);
    assert_eq!(
        elsewhere[0],
        Due { job: JobId::for_key(&world.account, &other[0]), check_at: now + SECOND * 5 }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_is_moved_once_and_only_from_where_it_was_seen() {
    let world = World::new().await;
    let now = world.clock.now();
    let name = &names_of_shard(&world.account, 0, 1)[0];
    let job = stored(&world, name).await;
    let seen = Due { job: job.id.clone(), check_at: now + CHECK_EVERY };
    let later = now + CHECK_EVERY * 2;

    assert!(world.jobs().check_again(&seen, later).await.unwrap());
    assert!(!world.jobs().check_again(&seen, later + SECOND).await.unwrap(), "another has moved it");

    assert_eq!(world.jobs().due(0, later.minus(SECOND), 10).await.unwrap(), []);
    let due = world.jobs().due(0, later, 10).await.unwrap();
    assert_eq!(due, [Due { job: job.id.clone(), check_at: later }]);
    assert_eq!(world.job(&job.id).await, job, "a check changes no job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_has_ended_or_never_was_is_not_checked_again() {
    let world = World::new().await;
    let now = world.clock.now();
    let job = stored(&world, "a").await;
    world.jobs().advance(&job.id, &CANCEL, now).await.unwrap();
    let before = job_item(&world, &job.id).await;

    for id in [job.id.clone(), JobId::from_bytes([9; 16])] {
        let seen = Due { job: id.clone(), check_at: now + CHECK_EVERY };
        assert!(!world.jobs().check_again(&seen, now).await.unwrap(), "{id}");
    }
    assert_eq!(job_item(&world, &job.id).await, before);
    assert_eq!(world.jobs().get(&JobId::from_bytes([9; 16])).await.unwrap(), None);
}

async fn stored_at(world: &World, account: &AccountId, name: &str, now: Timestamp) -> Job {
    world.grant(account, super::PRICE).await;
    let job = new_job(account, name, now);
    assert_eq!(create(&world.jobs(), &job, name).await, Created::New(job.clone()));
    job
}

async fn check_in(world: &World, name: &str, check_at: Timestamp) {
    let job = new_job(&world.account, name, world.clock.now());
    let created =
        world.jobs().create(&job, &order(name), check_at, LIVE_MAX).await.expect("the table answers");
    assert_eq!(created, Created::New(job));
}

/// Names under which this account's jobs are in this shard.
fn names_of_shard(account: &AccountId, shard: u8, count: usize) -> Vec<String> {
    let names = (0..).map(|n| format!("order {n}"));
    names.filter(|name| keys::shard(&JobId::for_key(account, name)) == shard).take(count).collect()
}
