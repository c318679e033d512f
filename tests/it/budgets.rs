//! Budgets of accounts and keys, and what a key may order.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::allowed::Allowed;
use domain::budget::{Budgets, Standing};
use domain::credit::Credits;
use domain::job::State;
use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::future::join_all;
use harness::{Answer, Receiver, World};
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::keys;
use shared::store::keystore::KeyRules;

use crate::store::spoil;

const MODEL: &str = "pika-2.2";
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn order(prompt: &str) -> Value {
    json!({"model": MODEL, "prompt": prompt})
}

/// The price of every job here.
async fn price(world: &World) -> Credits {
    let quote = world.call(Method::POST, "/v1/quotes", &[], Some(&order("a").to_string())).await;
    Credits::from_micros(quote.body["price_micro_credits"].as_u64().unwrap())
}

/// Turns the clock to this long before the next day of UTC.
fn wait_until_before_midnight(world: &World, span: Duration) -> Timestamp {
    let now = world.clock.now();
    let midnight = Timestamp::from_secs((now.as_secs().div_euclid(86_400) + 2) * 86_400);
    world.clock.advance(midnight.minus(span).since(now));
    midnight
}

fn spent(standings: &[Standing]) -> Vec<u64> {
    standings.iter().map(|standing| standing.spent.micros()).collect()
}

#[track_caller]
fn assert_exhausted(answer: &Answer, period: &str) {
    assert_eq!((answer.status.as_u16(), answer.code()), (402, "budget_exhausted"), "{answer:?}");
    assert_eq!(answer.text("/budget/period"), period, "{answer:?}");
    assert_eq!(answer.headers["x-should-retry"], "false");
    assert_eq!(answer.body["retryable"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_rivals_for_a_budget_of_k_prices_exactly_k_pass() {
    let world = World::new().await;
    let price = price(&world).await;
    for (round, k) in [1_u64, 5].into_iter().enumerate() {
        world.clock.advance(2 * DAY);
        let limit = price.checked_mul(k).and_then(|sum| sum.checked_add(Credits::from_micros(1)));
        let large = Some(Credits::from_micros(1 << 50));
        world
            .set_budgets(
                Budgets { month: large, ..Budgets::default() },
                Budgets { day: limit, ..Budgets::default() },
            )
            .await;
        let orders: Vec<_> = (0..12).map(|n| (order("a boat"), format!("rival {round} {n}"))).collect();
        let answers = join_all(orders.iter().map(|(order, key)| world.post_job(order, key))).await;
        let accepted = answers.iter().filter(|answer| answer.status == 202).count();
        // What lost every race is unavailable, and may be repeated.
        let again = answers.iter().zip(&orders).filter(|(answer, _)| answer.status == 503);
        let again = join_all(again.map(|(_, (order, key))| world.post_job(order, key))).await;
        let accepted = accepted + again.iter().filter(|answer| answer.status == 202).count();
        assert_eq!(accepted as u64, k, "{answers:?}");
        for refused in
            answers.iter().chain(&again).filter(|answer| ![202, 503].contains(&answer.status.as_u16()))
        {
            assert_exhausted(refused, "day");
            assert_eq!(refused.text("/budget/key"), world.key_id().as_str());
        }
        assert_eq!(spent(&world.budgets().await)[1], price.micros() * k);
        for accepted in answers.iter().chain(&again).filter(|answer| answer.status == 202) {
            world.finish(&accepted.text("/id").parse().unwrap()).await;
        }
        world.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_its_budget_in_every_dialect_and_ends_with_the_period() {
    let world = World::new().await;
    let midnight = wait_until_before_midnight(&world, Duration::from_secs(600));
    let limit = price(&world).await.micros();
    let day = Budgets { day: Some(Credits::from_micros(limit)), ..Budgets::default() };
    world.set_budgets(day, Budgets::default()).await;
    assert_eq!(world.post_job(&order("a"), "first").await.status, 202);

    let refused = world.post_job(&order("b"), "second").await;
    assert_exhausted(&refused, "day");
    let budget = json!({
        "of": "account", "key": null, "period": "day", "limit_micro_credits": limit, "spent_micro_credits": limit,
        "begins_again_at": midnight.to_string(),
    });
    assert_eq!(refused.body["budget"], budget);
    for words in ["budget of this account", "a day", &midnight.to_string(), "Nothing was charged."] {
        assert!(refused.text("/detail").contains(words), "{refused:?}");
    }
    let post = async |path: &str, headers: &[(&str, &str)], body: Value| {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        world.call(Method::POST, path, &headers, Some(&body.to_string())).await
    };
    let openai = post("/v1/videos", &[], order("c")).await;
    assert_eq!((openai.status.as_u16(), openai.code()), (429, "budget_exhausted"), "{openai:?}");
    assert_eq!(openai.text("/error/type"), "insufficient_quota");
    let gateway = post("/v1/ai/video-model/start", &[("ai-model-id", MODEL)], json!({"prompt": "d"})).await;
    assert_eq!((gateway.status.as_u16(), gateway.code()), (402, "budget_exhausted"), "{gateway:?}");
    for answer in [&openai, &gateway] {
        assert!(answer.text("/error/message").contains("budget of this account"), "{answer:?}");
        assert_eq!(answer.headers["x-should-retry"], "false");
    }
    // The first is still the first.
    let again = world.post_job(&order("a"), "first").await;
    assert_eq!(
        (again.status.as_u16(), again.headers["idempotent-replayed"].to_str().unwrap()),
        (202, "true")
    );
    let account = world.call(Method::GET, "/v1/account", &[], None).await;
    assert_eq!(account.body["budgets"], json!([budget]));

    world.clock.advance(Duration::from_secs(600));
    assert_eq!(world.post_job(&order("b"), "second").await.status, 202, "on the next day");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_goes_back_to_the_period_of_its_charge() {
    let world = World::new().await;
    let midnight = wait_until_before_midnight(&world, Duration::from_secs(70));
    let large = Some(Credits::from_micros(1 << 50));
    let all = Budgets { day: large, month: large, total: large };
    world.set_budgets(all, all).await;
    let price = price(&world).await.micros();
    let fails = world.submit(MODEL, "a boat [[sim: fail=content_policy]]", "fails").await;
    assert!(world.clock.now() < midnight);
    assert_eq!(spent(&world.budgets().await), [price; 6]);
    let counters = world.job(&fails).await.budgets().to_vec();
    world.clock.advance(midnight.since(world.clock.now()));
    let stays = world.submit(MODEL, "a boat", "stays").await;
    assert_eq!(world.finish(&fails).await.state(), State::Failed);
    assert_eq!(world.finish(&stays).await.state(), State::Succeeded);
    let books = world.books().await;
    let counted = &books.accounts[&world.account].counters;
    let of_charge: Vec<i128> = counters.iter().map(|counter| counted[counter]).collect();
    let of_day = [of_charge[0], of_charge[3]];
    assert_eq!(of_day, [0, 0], "the day before: {counted:?}");
    let budgets = world.budgets().await;
    assert_eq!([spent(&budgets)[0], spent(&budgets)[2]], [price; 2], "{budgets:?}");
    world.audit().await;
}

/// Adds an endpoint for events of budgets; returns its path.
async fn listen(world: &World, receiver: &Receiver) -> String {
    let body = json!({"url": receiver.url("/hook"), "types": ["budget.*"]}).to_string();
    let made = world.call(Method::POST, "/v1/endpoints", &[], Some(&body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    format!("/v1/endpoints/{}", made.text("/id"))
}

/// The percentages that it was sent, lowest first, and the bodies.
async fn reached(world: &World, receiver: &Receiver) -> (Vec<u64>, Vec<Value>) {
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(60));
        world.reconcile().await;
    }
    let bodies = receiver.at("/hook").into_iter().map(|one| one.json());
    let bodies: Vec<Value> = bodies.filter(|body| body["type"] == "budget.reached").collect();
    let mut found: Vec<_> = bodies.iter().map(|body| body["data"]["percent"].as_u64().unwrap()).collect();
    found.sort_unstable();
    (found, bodies)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mark_of_a_budget_is_one_event_however_many_reach_it() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    listen(&world, &receiver).await;
    let price = price(&world).await;
    let total = Budgets { total: price.checked_mul(10), ..Budgets::default() };
    world.set_budgets(Budgets::default(), total).await;
    let reached = async || reached(&world, &receiver).await;
    let submit = async |from: usize, to: usize, prompt: &str| {
        let keys: Vec<_> = (from..to).map(|n| format!("mark {n}")).collect();
        join_all(keys.iter().map(|key| world.submit(MODEL, prompt, key))).await
    };
    submit(0, 4, "a boat").await;
    assert_eq!(reached().await.0, [] as [u64; 0]);
    let failing = submit(4, 7, "a boat [[sim: fail=content_policy]]").await;
    let (marks, bodies) = reached().await;
    assert_eq!(marks, [50]);
    let budget = &bodies[0]["data"]["budget"];
    assert_eq!(budget["spent_micro_credits"], price.micros() * 5, "{budget}");
    assert_eq!((&budget["of"], &budget["begins_again_at"]), (&json!("key"), &json!(null)));
    // What falls below a mark and reaches it again is no news.
    for id in &failing {
        world.finish(id).await;
    }
    assert_eq!(spent(&world.budgets().await), [price.micros() * 4]);
    submit(7, 13, "a boat").await;
    assert_eq!(reached().await.0, [50, 80, 100]);
    assert_exhausted(&world.post_job(&order("a"), "one more").await, "total");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raised_limit_has_marks_of_its_own() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    listen(&world, &receiver).await;
    let price = price(&world).await;
    let mut charged = 0;
    for (prices, jobs, percents) in
        [(2, 2, vec![50, 100]), (10, 2, vec![50, 100]), (10, 6, vec![50, 50, 80, 100, 100])]
    {
        let limit = price.checked_mul(prices);
        world.set_budgets(Budgets { total: limit, ..Budgets::default() }, Budgets::default()).await;
        for _ in 0..jobs {
            charged += 1;
            world.submit(MODEL, "a boat", &format!("raised {charged}")).await;
        }
        let (found, bodies) = reached(&world, &receiver).await;
        assert_eq!(found, percents, "of {prices} prices: {bodies:?}");
    }
    assert_exhausted(&world.post_job(&order("a"), "one more").await, "total");
    world.audit().await;
}

/// What no endpoint was there for is no event, and uses up no mark.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_waits_for_an_endpoint_whatever_is_sent_to_the_callback_of_a_job() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let price = price(&world).await;
    let total = Budgets { total: price.checked_mul(10), ..Budgets::default() };
    world.set_budgets(total, Budgets::default()).await;
    let called = async |n: u64| {
        let mut order = order("a boat");
        order["callback_url"] = receiver.url("/callback").into();
        assert_eq!(world.post_job(&order, &format!("called {n}")).await.status, 202);
    };
    for n in 0..8 {
        called(n).await;
    }
    let endpoint = listen(&world, &receiver).await;
    assert_eq!(reached(&world, &receiver).await.0, [] as [u64; 0]);
    called(8).await;
    let (marks, bodies) = reached(&world, &receiver).await;
    assert_eq!(marks, [80]);
    assert_eq!(bodies[0]["data"]["budget"]["spent_micro_credits"], price.micros() * 9, "{bodies:?}");

    // And again, while the instance takes an endpoint for present that is deleted.
    let more = Budgets { total: price.checked_mul(22), ..Budgets::default() };
    world.set_budgets(more, Budgets::default()).await;
    called(9).await;
    assert_eq!(world.call(Method::DELETE, &endpoint, &[], None).await.status, 204);
    called(10).await;
    listen(&world, &receiver).await;
    called(11).await;
    let (_, bodies) = reached(&world, &receiver).await;
    let spent = bodies.iter().map(|body| body["data"]["budget"]["spent_micro_credits"].as_u64());
    assert_eq!(spent.collect::<Vec<_>>(), [9, 12].map(|n| Some(price.micros() * n)));
    world.audit().await;
}

/// An older release recorded the last mark that was an event, and not its amount.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_that_an_older_release_has_announced_is_no_event_again() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let total = Budgets { total: price(&world).await.checked_mul(10), ..Budgets::default() };
    world.set_budgets(total, Budgets::default()).await;
    let submit = async |from: usize, to: usize| {
        for n in from..to {
            world.submit(MODEL, "a boat", &format!("older {n}")).await;
        }
    };
    submit(0, 6).await;
    let counter = keys::budgets(&world.account);
    spoil(&world, &counter, "account/total", "mark", AttributeValue::N("50".to_owned())).await;
    listen(&world, &receiver).await;
    submit(6, 7).await;
    assert_eq!(reached(&world, &receiver).await.0, [] as [u64; 0]);
    submit(7, 10).await;
    assert_eq!(reached(&world, &receiver).await.0, [80, 100]);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_orders_its_models_at_its_providers_and_nothing_else() {
    let world = World::new().await;
    let veo = |more: Value| {
        let mut order = json!({"model": "veo-3.1", "prompt": "a boat"});
        order.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        order
    };
    let first = world.post_job(&veo(json!({})), "before").await;
    let free = world.finish(&first.text("/id").parse().unwrap()).await;
    assert_eq!(free.attempts()[0].provider, Provider::Fal, "the cheapest");
    let allowed =
        Allowed { models: Some(vec!["veo-3.1".to_owned()]), providers: Some(vec![Provider::Runway]) };
    world.set_rules(KeyRules { allowed, ..KeyRules::default() }).await;
    for (body, field, allowed) in [
        (order("a"), "model", "veo-3.1"),
        (veo(json!({"fallback_models": ["gen-4.5"]})), "fallback_models", "veo-3.1"),
        (veo(json!({"provider": "fal"})), "provider", "runway"),
    ] {
        for path in ["/v1/jobs", "/v1/quotes"] {
            let refused = world.call(Method::POST, path, &[], Some(&body.to_string())).await;
            assert_eq!((refused.status.as_u16(), refused.code()), (403, "not_allowed"), "{refused:?}");
            assert_eq!(refused.text("/errors/0/field"), field);
            assert_eq!(refused.body["errors"][0]["allowed"], json!([allowed]));
        }
    }
    let quote = world.call(Method::POST, "/v1/quotes", &[], Some(&veo(json!({})).to_string())).await;
    let providers = quote.body["routes"].as_array().unwrap().iter().map(|route| route["provider"].clone());
    assert!(providers.clone().count() > 0 && providers.into_iter().all(|one| one == "runway"), "{quote:?}");
    let made = world.post_job(&veo(json!({})), "after").await;
    let job = world.finish(&made.text("/id").parse().unwrap()).await;
    assert_eq!(job.attempts()[0].provider, Provider::Runway);
    // The same order under its old key is still its job.
    let again = world.post_job(&veo(json!({})), "before").await;
    assert_eq!((again.status.as_u16(), again.text("/id")), (202, free.id().as_str()));
    let account = world.call(Method::GET, "/v1/account", &[], None).await;
    assert_eq!(account.body["key"]["models"], json!(["veo-3.1"]), "{account:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_finds_a_counter_that_its_lines_do_not_say() {
    let world = World::new().await;
    let total = Budgets { total: Some(Credits::from_micros(1 << 50)), ..Budgets::default() };
    world.set_budgets(total, Budgets::default()).await;
    world.submit(MODEL, "a boat", "counted").await;
    world.audit().await;
    let counter = keys::budgets(&world.account);
    spoil(&world, &counter, "account/total", "spent", AttributeValue::N("1".to_owned())).await;
    let report = world.inspect().await;
    let found: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("the budget account/total counts"), "{found:?}");
}
