//! The books: everything that is there, however much of it, as it stands there.

use aws_sdk_s3::primitives::ByteStream;
use domain::credit::{Credits, Entry};
use harness::World;
use shared::store::audit::{LedgerSnapshot, Row};
use shared::store::jobs::Created;
use shared::store::keys;
use shared::store::ledger::Line;

use super::{
    CANCEL, LIVE_MAX, PRICE, account, bucket_name, new_job, number, order, remove, spoil, spoil_job, stored,
    text,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_hold_every_item_also_past_one_page_of_the_table() {
    const MADE: u64 = 8;
    let world = World::new().await;
    let (anna, now) = (account("anna"), world.clock.now());
    world.grant(&anna, PRICE.checked_mul(MADE).unwrap()).await;
    // A page of a scan is at most 1 MB.
    let long = {
        let mut request = order("a");
        request.prompt = "x".repeat(200_000);
        request
    };
    for n in 0..MADE {
        let job = new_job(&anna, &format!("order {n}"), now);
        assert_eq!(world.jobs().create(&job, &long, now, LIVE_MAX).await.unwrap(), Created::New(job));
    }
    let page = world.operator.dynamodb().scan().table_name(super::table_name(&world)).send().await.unwrap();
    assert!(page.last_evaluated_key.is_some(), "the table is longer than one page");

    let books = world.books().await;

    assert_eq!(books.accounts[&anna].balance, Some(0));
    assert_eq!(books.rows().count() as u64, MADE);
    assert!(books.jobs.values().all(|audited| audited.has_request && audited.indexed.len() == 1));
    let of_anna: &[Line] = &books.accounts[&anna].lines;
    let charges = of_anna.iter().filter(|line| matches!(line.entry, Entry::Charge { .. })).count();
    assert_eq!((charges as u64, of_anna.len() as u64), (MADE, MADE + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_shows_whether_it_is_watched_and_whether_its_request_is_there() {
    let world = World::new().await;
    let (live, ended, half) =
        (stored(&world, "live").await, stored(&world, "ended").await, stored(&world, "half").await);
    world.jobs().advance(ended.id(), &CANCEL, world.clock.now()).await.unwrap();
    remove(&world, &keys::job(half.id()), keys::REQUEST).await;

    let books = world.books().await;

    let marks = |id| {
        let audited = &books.jobs[id];
        (!audited.indexed.is_empty(), audited.has_request)
    };
    assert_eq!(
        (marks(live.id()), marks(ended.id()), marks(half.id())),
        ((true, true), (false, true), (true, false))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_show_as_they_stand_there_also_negative_ones() {
    let world = World::new().await;
    let (anna, bert) = (account("anna"), account("bert"));
    world.grant(&anna, Credits::from_micros(5)).await;
    spoil(&world, &keys::account(&bert), keys::BALANCE, "balance", number(-3)).await;
    let books = world.books().await;
    let balance = |account| books.accounts[account].balance;
    assert_eq!((balance(&anna), balance(&bert)), (Some(5), Some(-3)));
    let owners: Vec<_> = books.accounts.keys().cloned().collect();
    assert_eq!(owners, [anna, bert, world.account.clone()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_object_shows_with_its_size() {
    let world = World::new().await;
    assert!(world.books().await.objects.is_empty());
    for (key, bytes) in [("media/acct_anna/a/1/video.mp4", 3), ("stray", 5)] {
        let put = world.operator.s3().put_object().bucket(bucket_name(&world)).key(key);
        put.body(ByteStream::from(vec![0; bytes])).send().await.unwrap();
    }
    let objects = world.books().await.objects.into_iter();
    let objects: Vec<_> = objects.map(|(key, object)| (key, object.bytes)).collect();
    assert_eq!(objects, [("media/acct_anna/a/1/video.mp4".to_owned(), 3), ("stray".to_owned(), 5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_cannot_be_read_is_named_and_hides_no_other() {
    let world = World::new().await;
    let anna = keys::account(&account("anna"));
    let job = stored(&world, "a").await;
    let strays = [
        (anna.as_str(), keys::BALANCE, "balance", text("a lot")),
        ("nobody", keys::BALANCE, "balance", number(1)),
        (anna.as_str(), "ENTRY#a#GRANT", "kind", text("gift")),
        ("nobody", "ENTRY#a#GRANT", "kind", text("grant")),
        ("REMOTE#fal#1", keys::REMOTE, "job", text("that one")),
        ("KEY#1", keys::KEY, "id", text("")),
        ("GAUGE#fal", keys::GATE, "version", text("new")),
        ("GAUGE#of_the_next_release", keys::GATE, "version", number(1)),
        ("JOB#1", keys::REQUEST, "model", text("x")),
    ];
    for (pk, sk, name, value) in strays {
        spoil(&world, pk, sk, name, value).await;
        assert_eq!(unreadable(&world.books().await), [(pk.to_owned(), sk.to_owned())]);
        assert!(world.books().await.jobs[job.id()].row().is_some());
        remove(&world, pk, sk).await;
    }
    assert_eq!(unreadable(&world.books().await), []);
    spoil_job(&world, job.id(), "state", number(7)).await;
    let books = world.books().await;
    assert_eq!(unreadable(&books), [(keys::job(job.id()), keys::JOB.to_owned())]);
    let audited = &books.jobs[job.id()];
    assert!(matches!(&audited.row, Row::Unreadable { account: Some(_), is_live: true }), "{audited:?}");
}

fn unreadable(books: &LedgerSnapshot) -> Vec<(String, String)> {
    books.unreadable.keys().cloned().collect()
}
