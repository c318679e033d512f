//! Creating a job: charged once, written whole or not at all.

use std::time::Duration;

use domain::credit::{Credits, Entry};
use domain::job::{CHECK_EVERY, Job};
use harness::{Moment, World};
use shared::store::jobs::{Created, JobStore};
use shared::store::keys::{self, DUE_SHARDS};
use tokio::task::JoinSet;

use super::{
    CANCEL, LIVE_MAX, PRICE, account, at_most, balance, claim, create, job_of, lines, new_job, number, order,
    snapshot, spoil, stored, wired_table,
};

const RIVALS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_rivals_for_the_last_places_exactly_as_many_are_let_in_as_there_are() {
    const MAY: u32 = 7;
    let world = World::new().await;
    let before = world.balance().await;
    let mut rivals = JoinSet::new();
    for n in 0..RIVALS {
        let job = new_job(&world.account, &format!("{n}"), world.clock.now());
        let jobs = world.jobs();
        rivals.spawn(async move {
            // One that lost too many races repeats itself, as a caller does.
            loop {
                let order = order(&format!("{n}"));
                if let Ok(made) =
                    jobs.create(&job, &order, job.created_at() + CHECK_EVERY, at_most(MAY)).await
                {
                    return made;
                }
            }
        });
    }
    let made = rivals.join_all().await;
    let new: Vec<&Job> =
        made.iter().filter_map(|made| if let Created::New(job) = made { Some(job) } else { None }).collect();
    assert_eq!(new.len(), MAY as usize);
    assert!(made.iter().all(|made| matches!(made, Created::New(_) | Created::TooMany { live: MAY })));
    let charged = PRICE.checked_mul(u64::from(MAY)).unwrap();
    assert_eq!(world.balance().await.checked_add(charged), Some(before), "the others were not charged");
    world.audit().await;

    // A place comes free with the job's end, and a repeat of the end frees no second one.
    for _ in 0..2 {
        world.jobs().advance(new[0].id(), &CANCEL, world.clock.now()).await.unwrap();
    }
    for (name, let_in) in [("one", true), ("another", false)] {
        let job = new_job(&world.account, name, world.clock.now());
        let made = world.jobs().create(&job, &order(name), job.created_at(), at_most(MAY)).await.unwrap();
        assert_eq!(matches!(made, Created::New(_)), let_in, "{made:?}");
    }
    let again = world.jobs().create(new[1], &order("x"), world.clock.now(), at_most(MAY)).await.unwrap();
    assert!(matches!(again, Created::Existing(_)), "an order that was taken is answered as ever: {again:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_job_is_written_with_its_request_its_charge_and_its_check() {
    let world = World::new().await;
    let (before, now) = (world.balance().await, world.clock.now());

    let job = stored(&world, "a boat").await;

    let found = world.jobs().get_with_request(job.id()).await.unwrap();
    assert_eq!(found, Some((job.clone(), order("a boat"))));
    assert_eq!(world.balance().await.checked_add(PRICE), Some(before));
    let charge =
        lines(&world, &world.account).await.into_iter().find(|line| line.entry.job().is_some()).unwrap();
    assert_eq!(charge.entry, Entry::Charge { job: job.id().clone(), amount: PRICE });
    assert_eq!(charge.at, now);
    let mut due = Vec::new();
    for shard in 0..DUE_SHARDS {
        assert_eq!(world.jobs().due(shard, now, 10).await.unwrap(), [], "it is not due yet");
        due.extend(world.jobs().due(shard, now + CHECK_EVERY, 10).await.unwrap());
    }
    assert_eq!(due.iter().map(|due| &due.job).collect::<Vec<_>>(), [job.id()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_order_again_is_the_job_as_it_is_now_even_if_the_credits_are_used_up() {
    let world = World::new().await;
    let poor = account("poor");
    world.grant(&poor, PRICE).await;
    let job = new_job(&poor, "a boat", world.clock.now());
    assert_eq!(create(&world.jobs(), &job, "a boat").await, Created::New(job.clone()));
    let moved = world.jobs().advance(job.id(), &claim(1), world.clock.now()).await.unwrap().job().clone();
    let before = snapshot(&world).await;

    let later = new_job(&poor, "a boat", world.clock.now() + Duration::from_secs(60));
    let again = create(&world.jobs(), &later, "a boat").await;

    assert_eq!(again, Created::Existing(moved));
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_order_under_the_same_key_changes_nothing() {
    let world = World::new().await;
    let job = stored(&world, "a boat").await;
    let before = snapshot(&world).await;

    let other = job_of(job.account(), "a boat", "a coat", job.created_at());
    let reused = create(&world.jobs(), &other, "a coat").await;

    assert_eq!(reused, Created::KeyReused);
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_needs_its_whole_price_and_no_more() {
    let world = World::new().await;
    let (rich, poor) = (account("rich"), account("poor"));
    let short = Credits::from_micros(PRICE.micros() - 1);
    world.grant(&rich, PRICE).await;
    world.grant(&poor, short).await;
    let before = snapshot(&world).await;

    let refused = create(&world.jobs(), &new_job(&poor, "a", world.clock.now()), "a").await;
    assert_eq!(refused, Created::NoCredit { balance: short });
    assert_eq!(snapshot(&world).await, before);

    let job = new_job(&rich, "a", world.clock.now());
    assert_eq!(create(&world.jobs(), &job, "a").await, Created::New(job));
    assert_eq!(balance(&world, &rich).await, Credits::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_just_pay_for_a_job_too_many_is_told_of_the_jobs() {
    let world = World::new().await;
    let anna = account("anna");
    world.grant(&anna, PRICE.checked_mul(2).unwrap()).await;
    let job = new_job(&anna, "a", world.clock.now());
    assert_eq!(create(&world.jobs(), &job, "a").await, Created::New(job));
    let second = new_job(&anna, "b", world.clock.now());
    let refused = world.jobs().create(&second, &order("b"), second.created_at(), at_most(1)).await.unwrap();
    assert_eq!(refused, Created::TooMany { live: 1 });
    assert_eq!(balance(&world, &anna).await, PRICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_account_has_no_credit_and_is_not_opened() {
    let world = World::new().await;
    let before = snapshot(&world).await;
    let refused = create(&world.jobs(), &new_job(&account("nobody"), "a", world.clock.now()), "a").await;
    assert_eq!(refused, Created::NoCredit { balance: Credits::ZERO });
    assert_eq!(snapshot(&world).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_that_cannot_be_read_is_an_error_and_not_a_lack_of_credit() {
    let world = World::new().await;
    let owing = account("owing");
    spoil(&world, &keys::account(&owing), keys::BALANCE, "balance", number("0.5")).await;
    let job = new_job(&owing, "a", world.clock.now());
    let refused = world.jobs().create(&job, &order("a"), world.clock.now(), LIVE_MAX).await.unwrap_err();
    assert!(refused.is_corrupt(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_as_many_rivals_pass_as_there_is_credit_for() {
    const ROOM: u64 = 7;
    let world = World::new().await;
    let poor = account("poor");
    let change = Credits::from_micros(5);
    world.grant(&poor, PRICE.checked_mul(ROOM).unwrap().checked_add(change).unwrap()).await;

    let created = at_once(&world, |n| (poor.clone(), format!("order {n}"), format!("order {n}"))).await;

    let passed = created.iter().filter(|created| matches!(created, Created::New(_))).count();
    assert_eq!(passed as u64, ROOM, "{created:?}");
    let refused = created.iter().filter(|created| matches!(created, Created::NoCredit { .. })).count();
    assert_eq!(passed + refused, RIVALS, "{created:?}");
    assert_eq!(balance(&world, &poor).await, change);
    let charges = lines(&world, &poor).await.iter().filter(|line| line.entry.job().is_some()).count();
    assert_eq!(charges, passed);
    assert_eq!(world.jobs().list(&poor, 100, None).await.unwrap().len(), passed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_forty_rivals_with_one_key_one_makes_the_job_and_all_get_it() {
    let world = World::new().await;
    let before = world.balance().await;

    let created = at_once(&world, |_| (world.account.clone(), "a".to_owned(), "a".to_owned())).await;

    let new = created.iter().filter(|created| matches!(created, Created::New(_))).count();
    let existing = created.iter().filter(|created| matches!(created, Created::Existing(_))).count();
    assert_eq!((new, existing), (1, RIVALS - 1), "{created:?}");
    assert_eq!(world.balance().await.checked_add(PRICE), Some(before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_rivals_with_one_key_and_two_orders_one_order_wins_and_the_other_is_told() {
    let world = World::new().await;
    let before = world.balance().await;

    let prompt = |n: usize| if n.is_multiple_of(2) { "a boat" } else { "a coat" };
    let created =
        at_once(&world, |n| (world.account.clone(), "one key".to_owned(), prompt(n).to_owned())).await;

    let new = created.iter().filter(|created| matches!(created, Created::New(_))).count();
    let existing = created.iter().filter(|created| matches!(created, Created::Existing(_))).count();
    let reused = created.iter().filter(|created| matches!(created, Created::KeyReused)).count();
    assert_eq!((new, existing, reused), (1, RIVALS / 2 - 1, RIVALS / 2), "{created:?}");
    assert_eq!(world.balance().await.checked_add(PRICE), Some(before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_already_without_its_job_is_an_error_and_nothing_is_charged() {
    let world = World::new().await;
    let job = new_job(&world.account, "a", world.clock.now());
    let charge = keys::entry(&Entry::Charge { job: job.id().clone(), amount: PRICE });
    let strays = [(keys::account(&world.account), charge), (keys::job(job.id()), keys::REQUEST.to_owned())];
    for (pk, sk) in strays {
        spoil(&world, &pk, &sk, "stray", number(1)).await;
        let before = snapshot(&world).await;
        let refused = world.jobs().create(&job, &order("a"), job.created_at(), LIVE_MAX).await;
        assert!(refused.is_err(), "{sk}: {refused:?}");
        assert_eq!(snapshot(&world).await, before);
        super::remove(&world, &pk, &sk).await;
    }
    assert_eq!(create(&world.jobs(), &job, "a").await, Created::New(job));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_fate_is_unknown_is_settled_by_its_repeat() {
    let world = World::new().await;
    let before = world.balance().await;
    let over_wire = JobStore::new(wired_table(&world));
    for (name, moment) in [("not landed", Moment::Before), ("landed", Moment::After)] {
        let job = new_job(&world.account, name, world.clock.now());
        world.wire.reset();
        world.wire.fail_at(0, moment);
        let unknown = over_wire.create(&job, &order(name), job.created_at(), LIVE_MAX).await.unwrap_err();
        assert!(!unknown.is_missing() && !unknown.is_corrupt(), "{unknown:?}");

        let want = match moment {
            Moment::Before => Created::New(job.clone()),
            Moment::After => Created::Existing(job.clone()),
        };
        assert_eq!(create(&over_wire, &job, name).await, want);
    }
    assert_eq!(world.balance().await.checked_add(PRICE.checked_mul(2).unwrap()), Some(before));
}

/// What becomes of [`RIVALS`] creates at the same instant; `nth` gives the account, the
/// key and the prompt of each.
async fn at_once(
    world: &World,
    nth: impl Fn(usize) -> (domain::id::AccountId, String, String),
) -> Vec<Created> {
    let (jobs, now) = (world.jobs(), world.clock.now());
    let mut rivals = JoinSet::new();
    for n in 0..RIVALS {
        let (account, key, prompt) = nth(n);
        let job = job_of(&account, &key, &prompt, now);
        let jobs = jobs.clone();
        rivals.spawn(async move { create(&jobs, &job, &prompt).await });
    }
    rivals.join_all().await
}
