//! Grants and balances: each grant once, whoever asks and however often.

use std::time::Duration;

use domain::credit::{Credits, Entry};
use harness::World;
use shared::store::keys;
use shared::store::ledger::{Granted, Ledger, Line};
use tokio::task::JoinSet;

use super::{account, balance, lines, new_job, snapshot, spoil, text};

const FIVE: Credits = Credits::from_micros(5_000_000);
const SIX: Credits = Credits::from_micros(6_000_000);
const RIVALS: u64 = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_is_made_once_for_each_id() {
    let world = World::new().await;
    let (ledger, anna, now) = (Ledger::new(world.table()), account("anna"), world.clock.now());

    assert_eq!(ledger.grant(&anna, "order1", FIVE, now).await.unwrap(), Granted::New);
    assert_eq!(balance(&world, &anna).await, FIVE);
    let entry = Entry::Grant { id: "order1".to_owned(), amount: FIVE, topup: None };
    let line = Line { entry, at: now, budgets: Vec::new() };
    assert_eq!(lines(&world, &anna).await, [line]);
    let before = snapshot(&world).await;

    let later = now + Duration::from_secs(60);
    assert_eq!(ledger.grant(&anna, "order1", FIVE, later).await.unwrap(), Granted::Exists);
    assert_eq!(ledger.grant(&anna, "order1", SIX, later).await.unwrap(), Granted::Conflict);
    assert_eq!(snapshot(&world).await, before);

    assert_eq!(ledger.grant(&anna, "order2", SIX, later).await.unwrap(), Granted::New);
    assert_eq!(Some(balance(&world, &anna).await), FIVE.checked_add(SIX));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_do_not_share_the_ids_of_their_grants() {
    let world = World::new().await;
    let (ledger, now) = (Ledger::new(world.table()), world.clock.now());
    for (name, amount) in [("anna", FIVE), ("bert", SIX)] {
        assert_eq!(ledger.grant(&account(name), "order1", amount, now).await.unwrap(), Granted::New);
        assert_eq!(balance(&world, &account(name)).await, amount);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_at_the_same_instant_add_up() {
    let world = World::new().await;
    let anna = account("anna");
    let granted = at_once(&world, |n| format!("order{n}")).await;
    assert_eq!(granted, vec![Granted::New; 30]);
    assert_eq!(Some(balance(&world, &anna).await), FIVE.checked_mul(RIVALS));
    assert_eq!(lines(&world, &anna).await.len() as u64, RIVALS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_grant_asked_for_many_times_at_the_same_instant_is_made_once() {
    let world = World::new().await;
    let anna = account("anna");
    let granted = at_once(&world, |_| "order1".to_owned()).await;
    let made = |what: Granted| granted.iter().filter(|granted| **granted == what).count() as u64;
    assert_eq!((made(Granted::New), made(Granted::Exists)), (1, RIVALS - 1), "{granted:?}");
    assert_eq!(balance(&world, &anna).await, FIVE);
    assert_eq!(lines(&world, &anna).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_is_listed_newest_first_page_by_page_and_without_jobs() {
    let world = World::new().await;
    let (ledger, anna, start) = (Ledger::new(world.table()), account("anna"), world.clock.now());
    let minute = Duration::from_secs(60);
    // Ids that sort otherwise than their times.
    for (n, id) in (0..).zip(["m", "c", "x", "a"]) {
        ledger.grant(&anna, id, FIVE, start + minute * n).await.unwrap();
        ledger.grant(&account("bert"), id, SIX, start + minute * n).await.unwrap();
    }
    let job = new_job(&anna, "a boat", start + minute * 10);
    super::create(&world.jobs(), &job, "a boat").await;
    let what = |line: &Line| match &line.entry {
        Entry::Grant { id, .. } => id.clone(),
        entry => entry.job().unwrap().to_string(),
    };
    let want = [job.id().as_str(), "a", "x", "c", "m"];

    let all = ledger.lines(&anna, 100, None).await.unwrap().items;
    assert_eq!(all.iter().map(what).collect::<Vec<_>>(), want);
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let page = ledger.lines(&anna, 2, cursor).await.unwrap();
        assert!(page.items.len() <= 2, "{page:?}");
        pages.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_account_has_nothing_and_is_not_opened_by_asking() {
    let world = World::new().await;
    let before = snapshot(&world).await;
    assert_eq!(balance(&world, &account("nobody")).await, Credits::ZERO);
    assert_eq!(lines(&world, &account("nobody")).await, []);
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_an_error_and_never_zero() {
    let world = World::new().await;
    let (ledger, anna) = (Ledger::new(world.table()), account("anna"));
    ledger.grant(&anna, "order1", FIVE, world.clock.now()).await.unwrap();
    let pk = keys::account(&anna);
    for value in [text("-1"), text("a lot")] {
        spoil(&world, &pk, keys::BALANCE, "balance", value).await;
        let unreadable = ledger.balance(&anna).await.unwrap_err();
        assert!(unreadable.is_corrupt(), "{unreadable:?}");
    }
    let grant = keys::entry(&Entry::Grant { id: "order1".to_owned(), amount: FIVE, topup: None });
    spoil(&world, &pk, &grant, "kind", text("gift")).await;
    let unreadable = ledger.lines(&anna, 100, None).await.unwrap_err();
    assert!(unreadable.is_corrupt(), "{unreadable:?}");
}

/// What becomes of [`RIVALS`] grants of five credits to anna at the same instant.
async fn at_once(world: &World, id: impl Fn(u64) -> String) -> Vec<Granted> {
    let mut rivals = JoinSet::new();
    for n in 0..RIVALS {
        let (ledger, anna, id, now) = (Ledger::new(world.table()), account("anna"), id(n), world.clock.now());
        rivals.spawn(async move { ledger.grant(&anna, &id, FIVE, now).await.expect("the table answers") });
    }
    rivals.join_all().await
}
