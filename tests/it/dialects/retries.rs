//! Retries of clients that number their tries and send no key: of any interleaving of a call and its
//! retries, one makes a job.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use harness::{Answer, Moment, World};
use serde_json::{Value, json};
use shared::store::jobs::{OVERTAKEN_WITHIN, REPEATED_WITHIN};

use super::{create, header, post};

const ORDERS: [[u32; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// One try of the call that orders this.
async fn attempt(world: &World, prompt: &str, number: u32) -> Answer {
    let texts = [("model", "pika-2.2"), ("prompt", prompt)];
    create(world, &[("x-stainless-retry-count", &number.to_string())], &texts, None).await
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.text("/id").to_owned()
}

fn is_replay(answer: &Answer) -> bool {
    header(answer, "idempotent-replayed") == "true"
}

async fn jobs(world: &World) -> usize {
    world.books().await.jobs.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_every_order_one_try_makes_the_job() {
    let world = World::new().await;
    for (made, order) in ORDERS.into_iter().enumerate() {
        let prompt = format!("{order:?}");
        let mut answers = Vec::new();
        for number in order {
            answers.push(attempt(&world, &prompt, number).await);
            world.clock.advance(Duration::from_secs(5));
        }
        assert!(answers.iter().all(|answer| id(answer) == id(&answers[0])), "{prompt}");
        assert_eq!(answers.iter().map(is_replay).collect::<Vec<_>>(), [false, true, true], "{prompt}");
        assert_eq!(jobs(&world).await, made + 1, "{prompt}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_tries_one_makes_the_job() {
    let world = World::new().await;
    for round in 0..10 {
        let prompt = format!("round {round}");
        let answers = join_all([0, 1, 2, 3].map(|number| attempt(&world, &prompt, number))).await;
        assert!(answers.iter().all(|answer| id(answer) == id(&answers[0])), "{answers:?}");
        assert_eq!(jobs(&world).await, round + 1);
    }
    world.audit().await;
}

/// Each try is overtaken by each other at each of its calls, and then the third comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_is_overtaken_anywhere_makes_no_second_job() {
    let world = Arc::new(World::new().await);
    let mut made = jobs(&world).await;
    for [first, second, third] in ORDERS {
        for k in 0.. {
            let prompt = format!("{first} {second} {k}");
            let (rival, rivals) = (prompt.clone(), Arc::clone(&world));
            world.wire.reset();
            world.wire.overtake_at(k, move || {
                let (world, prompt) = (Arc::clone(&rivals), rival.clone());
                async move { drop(attempt(&world, &prompt, second).await) }.boxed()
            });
            let one = id(&attempt(&world, &prompt, first).await);
            let was_overtaken = world.wire.is_spent();
            world.wire.reset();
            assert_eq!(id(&attempt(&world, &prompt, third).await), one, "{prompt}");
            made += 1;
            assert_eq!(jobs(&world).await, made, "{prompt}");
            if !was_overtaken {
                assert!(k > 1, "{first} has {k} calls");
                break;
            }
        }
    }
    world.audit().await;
}

/// The function dies, or its answer is lost, at each call of the first try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_no_second_job() {
    let world = World::new().await;
    let mut made = 0;
    for moment in [Moment::Before, Moment::After] {
        for fails in [false, true] {
            for k in 0.. {
                let prompt = format!("{moment:?} {fails} {k}");
                world.wire.reset();
                match fails {
                    true => world.wire.fail_at(k, moment),
                    false => world.wire.crash_at(k, moment),
                }
                let first = attempt(&world, &prompt, 0).await;
                let was_hit = world.wire.is_spent();
                world.wire.reset();
                let again = attempt(&world, &prompt, 1).await;
                assert!(
                    !first.status.is_success() || id(&first) == id(&again),
                    "{prompt}: {first:?} {again:?}"
                );
                made += 1;
                assert_eq!(jobs(&world).await, made, "{prompt}");
                if !was_hit {
                    break;
                }
            }
        }
    }
    world.drain().await;
    world.audit().await;
}

/// The answer of a first call's own write is lost, after its retry has come before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overtaken_call_whose_answer_is_lost_makes_no_second_job() {
    let world = World::new().await;
    let mut made = 0;
    for k in 0.. {
        let prompt = format!("overtaken {k}");
        world.wire.reset();
        let retry = id(&attempt(&world, &prompt, 1).await);
        world.wire.reset();
        world.wire.lose_answer_at(k);
        let first = attempt(&world, &prompt, 0).await;
        let was_hit = world.wire.is_spent();
        world.wire.reset();
        made += 1;
        assert!(!first.status.is_success() || id(&first) == retry, "{prompt}: {first:?}");
        assert_eq!(jobs(&world).await, made, "{prompt}");
        if !was_hit {
            assert!(k > 1, "the first call has {k} calls");
            break;
        }
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_orders_on_purpose_are_as_many_jobs() {
    let world = World::new().await;
    let first = id(&attempt(&world, "a boat", 0).await);
    let second = id(&attempt(&world, "a boat", 0).await);
    assert_ne!(first, second);
    assert_eq!(id(&attempt(&world, "a boat", 1).await), second, "a retry finds the newest");
    assert_ne!(id(&attempt(&world, "a goat", 1).await), second, "another order");
    let texts = [("model", "pika-2.2"), ("prompt", "a boat")];
    let plain = id(&create(&world, &[], &texts, None).await);
    assert!(plain != first && plain != second, "who counts no tries repeats nothing");
    let keys = [("x-stainless-retry-count", "1"), ("idempotency-key", "order-1")];
    let by_key = id(&create(&world, &keys, &texts, None).await);
    assert!(by_key != second, "a key is stronger than a count");
    assert_eq!(id(&create(&world, &keys, &texts, None).await), by_key);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_its_retry_overtook_takes_that_job_once() {
    let world = World::new().await;
    let retry = id(&attempt(&world, "a boat", 1).await);
    assert_eq!(id(&attempt(&world, "a boat", 0).await), retry);
    assert_ne!(id(&attempt(&world, "a boat", 0).await), retry, "the next equal order is another");
    let retry = id(&attempt(&world, "a coat", 1).await);
    world.clock.advance(OVERTAKEN_WITHIN);
    assert_ne!(id(&attempt(&world, "a coat", 0).await), retry, "it is too late to be the same call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_a_quarter_of_an_hour_is_another_order() {
    let world = World::new().await;
    let first = id(&attempt(&world, "a boat", 0).await);
    world.clock.advance(REPEATED_WITHIN - Duration::from_millis(1));
    assert_eq!(id(&attempt(&world, "a boat", 1).await), first);
    world.clock.advance(Duration::from_millis(1));
    assert_ne!(id(&attempt(&world, "a boat", 1).await), first);
}

/// The first try used up what there was: its retry is no refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_needs_no_credit_and_no_room_of_its_own() {
    let world = World::with(|options| {
        options.env = shared::boot::Env::from_pairs([("LIVE_JOBS_MAX", "1")]);
    })
    .await;
    let first = id(&attempt(&world, "a boat", 0).await);
    let refused = attempt(&world, "a boat", 0).await;
    assert_eq!((refused.status.as_u16(), header(&refused, "x-should-retry")), (429, "false"));
    assert_eq!(id(&attempt(&world, "a boat", 1).await), first);
}

/// Some proxies pass on what a body holds, and neither a key nor the number of the try in a header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_body_names_the_order_as_one_in_the_header_does() {
    let world = World::new().await;
    let order = [("model", "pika-2.2"), ("prompt", "a boat")];
    let keyed = |key| [&order[..], &[("idempotency_key", key)]].concat();
    let made = create(&world, &[], &keyed("order-1"), None).await;
    for again in [
        create(&world, &[], &keyed("order-1"), None).await,
        create(&world, &[("x-stainless-retry-count", "1")], &keyed("\"order-1\""), None).await,
        create(&world, &[("idempotency-key", "order-1")], &order, None).await,
        post(
            &world,
            "/v1/videos",
            &[],
            &json!({"model": "pika-2.2", "prompt": "a boat", "idempotency_key": "order-1"}),
        )
        .await,
    ] {
        assert_eq!((id(&again), is_replay(&again)), (id(&made), true));
    }
    let other = [("model", "pika-2.2"), ("prompt", "a moat"), ("idempotency_key", "order-1")];
    let reused = create(&world, &[], &other, None).await;
    assert_eq!(reused.text("/error/code"), "idempotency_key_reused", "{reused:?}");
    let both = create(&world, &[("idempotency-key", "order-1")], &keyed("order-1"), None).await;
    let long = "x".repeat(256);
    let odd = [json!("a,b"), json!(1), json!(["a"]), json!("\u{e9}"), json!(" "), json!(long)];
    let mut refused = vec![both];
    for key in odd {
        let body = json!({"model": "pika-2.2", "prompt": "a boat", "idempotency_key": key});
        refused.push(post(&world, "/v1/videos", &[], &body).await);
    }
    for answer in refused {
        assert_eq!(
            (answer.status.as_u16(), answer.text("/error/param")),
            (400, "idempotency_key"),
            "{answer:?}"
        );
    }
    let null = json!({"model": "pika-2.2", "prompt": "a boat", "idempotency_key": null});
    assert_ne!(id(&post(&world, "/v1/videos", &[], &null).await), id(&made));
    assert_eq!(jobs(&world).await, 2);
    world.audit().await;
}

/// As with a key in the header: a repeat gets its job, whatever is sold by now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_body_finds_the_job_of_an_order_that_is_refused_by_now() {
    let world = World::new().await;
    let order = [("model", "pika-2.2"), ("prompt", "a boat"), ("idempotency_key", "order-1")];
    let made = create(&world, &[], &order, None).await;
    let invoked = world.wire.invocations().into_iter().rev().find(|(name, _)| name == "submit");
    let (_, event) = invoked.unwrap();
    // Without the provider that made it.
    let submit = world.start("submit", &[("PROVIDERS", "runway")]).await;
    let again = submit.invoke(event).await;
    let body: Value = serde_json::from_str(again["body"].as_str().unwrap()).unwrap();
    assert_eq!((&again["statusCode"], &body["id"]), (&json!(200), &json!(id(&made))), "{again}");
    assert_eq!(jobs(&world).await, 1);
}
