//! Looking after what is due: all of it in one run, and nothing that is broken keeps the rest.

use std::time::Duration;

use domain::id::{EventId, JobId};
use domain::job::{CHECK_EVERY, State};
use domain::payment::Processor;
use futures_util::{StreamExt, stream};
use harness::{Moment, World, how_many};
use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::operate::endpoints::send_test;
use shared::store::endpoints::EndpointStore;
use shared::store::events::EventStore;
use shared::store::keys::{self, DUE_SHARDS, EVENT_SHARDS, shard};
use shared::store::queue::Queue;
use tokio::time::Instant;

use super::{Created, Item, at_most, job_item, new_job, number, order, spoil_job, text};
use crate::payments::Shop;

const MINUTE: Duration = Duration::from_secs(60);

/// Names under which the world's account has its jobs in this shard.
fn names_in(world: &World, shard: u8) -> impl Iterator<Item = String> {
    let account = world.account.clone();
    let names = (0..).map(|n| format!("order {n}"));
    names.filter(move |name| keys::shard(&JobId::for_key(&account, name)) == shard)
}

/// Stores queued jobs under these names, due at once; their messages were lost.
async fn store_due(world: &World, names: Vec<String>) -> Vec<JobId> {
    let now = world.clock.now();
    let jobs = world.jobs();
    let stored = stream::iter(names).map(|name| {
        let jobs = jobs.clone();
        async move {
            let job = new_job(&world.account, &name, now);
            let created =
                jobs.create(&job, &order(&name), now, at_most(1_000_000)).await.expect("the table answers");
            assert_eq!(created, Created::New(job.clone()));
            job.id().clone()
        }
    });
    stored.buffered(16).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_cannot_be_read_keep_no_other_from_being_looked_after() {
    let world = World::new().await;
    let healthy = world.submit("pika-2.2", "a [[sim: webhook=lost, latency=30]]", "healthy").await;
    world.drain().await;
    let broken = store_due(&world, names_in(&world, shard(&healthy)).take(60).collect()).await;
    for id in &broken {
        spoil_job(&world, id, "state", number(7)).await;
    }

    world.clock.advance(CHECK_EVERY);
    world.reconcile().await;
    assert_eq!(world.state(&healthy).await, State::Succeeded);
    assert_eq!(world.jobs().due(shard(&healthy), world.clock.now(), 100).await.unwrap(), []);

    // What can be read again is looked after as before.
    spoil_job(&world, &broken[0], "state", text("queued")).await;
    // The others are tried again after 2, 4, 8, 16 and 32 minutes, and not with every run.
    for _ in 0..64 {
        world.advance(MINUTE).await;
        world.sweep().await;
    }
    let failures = async |id| job_item(&world, id).await.get("check_failures").cloned();
    assert_eq!(failures(&broken[0]).await, None);
    for id in &broken[1..] {
        assert_eq!(failures(id).await, Some(number(6)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_be_read_is_left_out_of_lists() {
    let world = World::new().await;
    let ids = store_due(&world, names_in(&world, 3).take(3).collect()).await;
    spoil_job(&world, &ids[1], "state", number(7)).await;

    let list = world.call(Method::GET, "/v1/jobs", &[], None).await;
    assert_eq!(list.status, StatusCode::OK, "{list:?}");
    let listed: Vec<_> = list.body["jobs"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect();
    assert_eq!(listed.len(), 2, "{list:?}");
    assert!(!listed.iter().any(|id| *id == ids[1].to_string()), "{list:?}");
    // It ends no page before its time either.
    let (mut pages, mut cursor) = (0, String::new());
    loop {
        let page = world.call(Method::GET, &format!("/v1/jobs?limit=1{cursor}"), &[], None).await;
        pages += page.body["jobs"].as_array().unwrap().len();
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, 2);
    let live = world.jobs().live(10, |_| true).await.unwrap();
    assert_eq!((live.jobs.len(), live.unreadable), (2, vec![ids[1].clone()]));
}

/// A run has no number of pages after which it stops: 1,200 of one shard, and as many of others as
/// `DUE_JOBS` says beside them. Run alone and in release, this measures how many a run looks after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_looks_after_everything_that_is_due() {
    let world = World::new().await;
    let mut names: Vec<String> = names_in(&world, 0).take(1_200).collect();
    names.extend((0..how_many("DUE_JOBS", 0)).map(|n| format!("beside {n}")));
    let due = store_due(&world, names).await.len();

    let started = Instant::now();
    world.sweep().await;
    let took = started.elapsed();
    println!("{due} jobs in {took:?}: {:.0} a second", due as f64 / took.as_secs_f64());
    for shard in 0..DUE_SHARDS {
        assert_eq!(world.jobs().due(shard, world.clock.now(), 1).await.unwrap(), [], "shard {shard}");
    }
    let sent = world.stack.sqs.depth("genmux-dispatch").unwrap();
    assert_eq!(usize::try_from(sent.visible).unwrap(), due);
}

/// More than a page of items that this release does not understand, overdue for longer than all else.
async fn obstruct(world: &World, shard: String) {
    let items = (0..120).map(|n| {
        let item = [
            (keys::PK, text(&format!("OF A LATER RELEASE#{n}"))),
            (keys::SK, text(&shard)),
            (keys::DUE_SHARD, text(&shard)),
            (keys::CHECK_AT, number(n)),
        ];
        item.map(|(name, value)| (name.to_owned(), value)).into()
    });
    stream::iter(items).map(|item| put(world, item)).buffered(16).collect::<()>().await;
}

#[expect(clippy::disallowed_methods, reason = "a test puts what no code of ours writes")]
async fn put(world: &World, item: Item) {
    let table = world.operator.env.get("TABLE").expect("the operator knows the table");
    let put = world.operator.dynamodb().put_item().table_name(table).set_item(Some(item));
    put.send().await.expect("the item is put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_understood_keeps_nothing_from_its_turn() {
    let world = World::new().await;
    let job = store_due(&world, vec!["order".to_owned()]).await.remove(0);
    let shop = Shop::of(&world).await;
    shop.bought(Processor::Stripe, "a").await;
    let endpoint = json!({"url": "https://hook.example/", "types": ["*"]}).to_string();
    let endpoint = world.call(Method::POST, "/v1/endpoints", &[], Some(&endpoint)).await;
    let notify = Queue::of(world.operator.sqs(), "genmux", "notify").await.unwrap();
    let (endpoints, events) = (EndpointStore::new(world.table()), EventStore::new(world.table()));
    let (of, now) = ((&world.account, &endpoint.text("/id").parse().unwrap()), world.clock.now());
    send_test((&endpoints, &events), &notify, of, EventId::from_bytes([7; 16]), now).await.unwrap();
    let shards = [keys::due_shard(shard(&job)), keys::DUE_PAYMENTS.to_owned()];
    for shard in shards.into_iter().chain((0..EVENT_SHARDS).map(keys::due_events)) {
        obstruct(&world, shard).await;
    }

    world.clock.advance(MINUTE * 16);
    world.sweep().await;
    // The event's first message was not lost, and is there as well.
    for (queue, messages) in [("dispatch", 1), ("payment", 1), ("notify", 2)] {
        let sent = world.stack.sqs.depth(&format!("genmux-{queue}")).unwrap();
        assert_eq!(sent.visible, messages, "{queue}");
    }
}

/// Moves the checks of a shard's jobs to now; each stands within the time of a check.
async fn all_due(world: &World, shard: u8, jobs: usize) {
    let now = world.clock.now();
    let live = world.jobs().due(shard, now + CHECK_EVERY, 100).await.unwrap();
    assert_eq!(live.len(), jobs);
    for due in live.iter().filter(|due| due.check_at > now) {
        world.jobs().check_again(due, now).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_dies_anywhere_leaves_its_jobs_to_the_next() {
    const JOBS: usize = 12;
    let world = World::new().await;
    store_due(&world, names_in(&world, 5).take(JOBS).collect()).await;
    let queue = "genmux-dispatch";
    world.wire.reset();
    world.sweep().await;
    let effects = world.wire.effects();
    for moment in [Moment::Before, Moment::After] {
        for k in 0..effects {
            while let sent @ [_, ..] = &world.stack.sqs.receive(queue, 10).unwrap()[..] {
                sent.iter().for_each(|it| world.stack.sqs.delete(queue, &it.receipt_handle).unwrap());
            }
            all_due(&world, 5, JOBS).await;
            world.wire.reset();
            world.wire.crash_at(k, moment);
            world.sweep().await;
            assert!(world.wire.is_spent(), "effect {k} never came");
            // Twice: a call that was on its way when the run died may land after it.
            for _ in 0..2 {
                all_due(&world, 5, JOBS).await;
                world.sweep().await;
            }
            let sent = world.stack.sqs.depth(queue).unwrap().visible;
            assert!(sent >= JOBS as u64, "{moment:?} {k}: {sent} messages for {JOBS} jobs");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_from_when_there_were_four_shards_is_looked_after() {
    let world = World::new().await;
    let name = names_in(&world, 13).next().unwrap();
    let id = store_due(&world, vec![name]).await.remove(0);
    spoil_job(&world, &id, keys::DUE_SHARD, text(&keys::due_shard(1))).await;
    world.reconcile().await;
    assert_eq!(world.state(&id).await, State::Running);
    assert!(world.audit().await.violations.is_empty());
}
