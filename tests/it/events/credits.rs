//! Credits that are granted, and a balance that falls low.

use domain::credit::Credits;
use shared::store::accounts::{Accounts, Policy};
use shared::store::ledger::{Granted, Ledger};

use super::*;

async fn grant(world: &World, id: &str, credits: u64) -> Granted {
    let amount = Credits::from_micros(credits * 1_000_000);
    Ledger::new(world.table()).grant(&world.account, id, amount, world.clock.now()).await.unwrap()
}

async fn told(world: &World, receiver: &Receiver, kind: &str) -> Vec<Value> {
    pass(world, Duration::from_secs(300)).await;
    let all = receiver.at("/hook").into_iter().map(|one| one.json());
    all.filter(|body| body["type"] == kind).map(|body| body["data"].clone()).collect()
}

/// Sets the mark to just below the balance, so that the next job falls below it.
async fn mark_at_the_balance(world: &World) -> Credits {
    let balance = Ledger::new(world.table()).balance(&world.account).await.unwrap().available();
    let policy = Policy { low_below: Some(balance), ..Policy::default() };
    Accounts::new(world.table()).change_policy(&world.account, true, &policy).await.unwrap();
    // Until no instance knows the old policy.
    world.clock.advance(Duration::from_secs(61));
    balance
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_that_falls_low_is_one_event_after_each_grant() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    endpoint(&world, &receiver.url("/hook"), &["credits.*"]).await;
    let mark = mark_at_the_balance(&world).await;
    // At the same time: one of them is the first.
    let jobs = (0..8).map(|n| format!("low {n}")).collect::<Vec<_>>();
    let jobs = jobs.iter().map(|key| world.submit("gen-4.5", "a boat", key));
    let jobs = futures_util::future::join_all(jobs).await;
    let price = world.job(&jobs[0]).await.price();
    let low = told(&world, &receiver, "credits.low").await;
    let left = mark.micros() - price.micros();
    assert_eq!(low, [json!({"balance_micro_credits": left, "low_below_micro_credits": mark.micros()})]);

    assert_eq!(grant(&world, "more", 1).await, Granted::New);
    assert_eq!(grant(&world, "more", 1).await, Granted::Exists);
    let granted = told(&world, &receiver, "credits.granted").await;
    assert_eq!(granted, [json!({"id": "more", "micro_credits": 1_000_000})]);
    world.submit("gen-4.5", "a boat", "still low").await;
    world.submit("gen-4.5", "a boat", "and again").await;
    assert_eq!(told(&world, &receiver, "credits.low").await.len(), 2);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_low_balance_stops_no_one_and_is_told_to_no_one_without_an_endpoint() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    mark_at_the_balance(&world).await;
    world.submit("gen-4.5", "a boat", "no endpoint").await;
    let order = json!({"model": "gen-4.5", "prompt": "a boat", "callback_url": receiver.url("/one")});
    assert_eq!(world.post_job(&order, "a callback alone").await.status, StatusCode::ACCEPTED);
    grant(&world, "unheard", 1).await;
    let events = api(&world, Method::GET, "/v1/events", Value::Null).await.body;
    assert_eq!(events["events"], json!([]));
    // Who listens later is told at the next job.
    endpoint(&world, &receiver.url("/hook"), &["credits.low"]).await;
    world.submit("gen-4.5", "a boat", "heard").await;
    assert_eq!(told(&world, &receiver, "credits.low").await.len(), 1);
    world.audit().await;
}
