//! What the operator is alerted of: once when it turns bad, once when it is over.

use domain::job::State;
use domain::policy::health::Condition;
use harness::Moment;
use shared::boot::Env;
use shared::store::admission::AdmissionStore;
use shared::store::dead_letters::DeadLetters;
use shared::store::queue::{Message, Queue};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A world whose operator listens.
async fn watched(rules: &str) -> (World, Receiver) {
    let env = Env::from_pairs([("ALERT_RULES", rules)]);
    let (world, receiver) = (World::with(|options| options.env = env).await, Receiver::start().await);
    let body = json!({"url": receiver.url("/alerts"), "types": ["*"]});
    let made = as_account(&world, &AccountId::operator(), "/v1/endpoints", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    (world, receiver)
}

async fn run(world: &World) -> bool {
    let event = include_str!("../../../events/health/schedule.json");
    world.stack.host.invoke("health", serde_json::from_str(event).unwrap()).await.is_ok()
}

/// Two runs that overlap, and the minute after them.
async fn minute(world: &World) {
    let (one, other) = tokio::join!(run(world), run(world));
    assert!(one && other);
    world.reconcile().await;
    world.clock.advance(MINUTE);
}

/// A minute in which these pings fail.
async fn silent_minute(world: &World, pings: usize) {
    for _ in 0..pings {
        world.simulator(Provider::Fal).cut(CallKind::Ping, Fault::DropBefore);
    }
    minute(world).await;
}

/// The types of what came, with the status of those that have one.
fn alerts(receiver: &Receiver) -> Vec<String> {
    let shown = |event: Value| {
        let status = event["data"]["status"].as_str().map(|status| format!(" {status}"));
        format!("{}{}", event["type"].as_str().unwrap(), status.unwrap_or_default())
    };
    receiver.at("/alerts").iter().map(|one| shown(one.json())).collect()
}

async fn health_of_fal(world: &World) -> Value {
    let answer = api(world, Method::GET, "/v1/providers", Value::Null).await;
    let providers = answer.body["providers"].as_array().unwrap();
    providers.iter().find(|provider| provider["name"] == "fal").unwrap().clone()
}

/// Submits jobs that end as their prompt says, and looks while they are active.
async fn jobs(world: &World, prompt: &str, count: usize, name: &str) {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(world.submit("veo-3.1", prompt, &format!("{name} {n}")).await);
    }
    minute(world).await;
    for id in &ids {
        world.finish(id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_answers_pings_and_makes_nothing_is_degraded_until_it_makes_something() {
    let (world, receiver) = watched("").await;
    minute(&world).await;
    for n in 0..5 {
        world.submit("veo-3.1", "a [[sim: create=refuse:503, only=fal]]", &format!("ill {n}")).await;
    }
    world.drain().await;
    for _ in 0..3 {
        minute(&world).await;
    }
    assert_eq!(alerts(&receiver), ["provider.degraded"]);
    let data = receiver.at("/alerts")[0].json()["data"].clone();
    let found = (&data["provider"], &data["health"], &data["class"], &data["failed_pings"]);
    assert_eq!(found, (&json!("fal"), &json!("degraded"), &json!("timeout"), &json!(0)));
    assert_eq!(health_of_fal(&world).await["health"], "degraded");

    // It is tried again although another provider is well: its pings, by which it is routed, are.
    for n in 0..3 {
        let id = world.submit("veo-3.1", "a boat", &format!("well {n}")).await;
        assert_eq!(world.finish(&id).await.state(), State::Succeeded);
    }
    for _ in 0..4 {
        minute(&world).await;
    }
    assert_eq!(alerts(&receiver), ["provider.degraded", "provider.recovered"]);
    let shown = health_of_fal(&world).await;
    let changes: Vec<_> = shown["changes"].as_array().unwrap().iter().map(|change| &change["to"]).collect();
    assert_eq!((&shown["health"], changes), (&json!("healthy"), vec![&json!("healthy"), &json!("degraded")]));
    let kept = AdmissionStore::new(world.table()).changes(Provider::Fal, 10).await.unwrap();
    assert_eq!(
        kept.iter().map(|change| change.to).collect::<Vec<_>>(),
        [Condition::Healthy, Condition::Degraded]
    );
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_and_an_empty_account_are_states_of_their_own_and_one_alert_each() {
    let (world, receiver) = watched("").await;
    for (status, health) in [("401", "key_refused"), ("403-balance", "no_balance")] {
        let before = receiver.count("/alerts");
        let prompt = format!("a [[sim: create=refuse:{status}, only=fal]]");
        let id = world.submit("veo-3.1", &prompt, health).await;
        world.drain().await;
        for _ in 0..4 {
            minute(&world).await;
        }
        assert_eq!(health_of_fal(&world).await["health"], health);
        world.finish(&id).await;
        for n in 0..3 {
            let id = world.submit("veo-3.1", "a boat", &format!("{health} {n}")).await;
            world.finish(&id).await;
        }
        for _ in 0..4 {
            minute(&world).await;
        }
        assert_eq!(health_of_fal(&world).await["health"], "healthy");
        pass(&world, 2 * HOUR).await;
        assert_eq!(
            alerts(&receiver)[before..],
            ["provider.needs_attention", "provider.recovered"],
            "{health}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_flaps_is_one_alert_in_a_quarter_of_an_hour() {
    let (world, receiver) = watched("").await;
    let flap = async || {
        // Of two runs in a minute, one counts.
        for pings in [2, 2, 2, 0] {
            silent_minute(&world, pings).await;
        }
    };
    for _ in 0..3 {
        flap().await;
    }
    assert_eq!(alerts(&receiver), ["provider.down"]);
    for _ in 0..4 {
        minute(&world).await;
    }
    assert_eq!(alerts(&receiver), ["provider.down", "provider.recovered"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_one_alert_and_one_when_the_queue_is_empty() {
    let (world, receiver) = watched("").await;
    minute(&world).await;
    let dead = Queue::new(world.operator.sqs(), world.stack.sqs.queue_url("genmux-poll-dead"));
    let lost = Message::Dispatch { job_id: domain::id::JobId::from_bytes([7; 16]), once: false };
    for _ in 0..2 {
        dead.send(&lost, None, Duration::ZERO).await.unwrap();
        minute(&world).await;
        minute(&world).await;
    }
    assert_eq!(alerts(&receiver), ["queue.dead_letters raised"]);
    let data = receiver.at("/alerts")[0].json()["data"].clone();
    assert_eq!(data, json!({"status": "raised", "queue": "poll", "messages": 1}));
    let url = world.stack.sqs.queue_url("genmux-poll-dead");
    world.operator.sqs().purge_queue().queue_url(&url).send().await.unwrap();
    assert_eq!(DeadLetters::at(world.operator.sqs(), url).depth().await.unwrap(), 0);
    for _ in 0..4 {
        minute(&world).await;
    }
    assert_eq!(alerts(&receiver), ["queue.dead_letters raised", "queue.dead_letters cleared"]);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_alert_of_few_successes_long_waits_and_high_spend_and_of_their_end() {
    let rules = r#"{"window_s": 900, "jobs_min": 3, "success_percent_min": 70, "latency_p95_s_max": 120,
                    "spend_usd_max": 12}"#;
    let (world, receiver) = watched(rules).await;
    // What the caller spoils counts for no provider.
    jobs(&world, "a [[sim: create=refuse:422]]", 3, "spoilt").await;
    jobs(&world, "a boat", 3, "well").await;
    pass_with_looks(&world, 6).await;
    assert_eq!(alerts(&receiver), Vec::<String>::new());

    jobs(&world, "a [[sim: latency=200]]", 4, "slow").await;
    jobs(&world, "a [[sim: fail=internal]]", 4, "ill").await;
    pass_with_looks(&world, 6).await;
    let mut raised = alerts(&receiver);
    raised.sort();
    raised.retain(|alert| !alert.starts_with("provider."));
    assert_eq!(raised, ["latency.high raised", "spend.high raised", "success_rate.low raised"]);

    // When the window has none of them left, jobs that are well end the first two; the third ends by itself.
    pass_with_looks(&world, 14).await;
    for n in 0..3 {
        jobs(&world, "a boat", 3, &format!("well again {n}")).await;
        pass_with_looks(&world, 5).await;
    }
    let mut cleared = alerts(&receiver);
    cleared.retain(|alert| alert.ends_with(" cleared"));
    cleared.sort();
    assert_eq!(cleared, ["latency.high cleared", "spend.high cleared", "success_rate.low cleared"]);
    world.audit().await;
}

async fn pass_with_looks(world: &World, minutes: usize) {
    for _ in 0..minutes {
        minute(world).await;
    }
}

/// At each call of the run that would alert, `health` dies before and after it takes effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_health_loses_no_alert_and_sends_none_twice() {
    let (world, receiver) = watched("").await;
    let fail = || world.simulator(Provider::Fal).cut(CallKind::Ping, Fault::DropBefore);
    let look = async || {
        run(&world).await;
        world.clock.advance(MINUTE);
    };
    world.wire.reset();
    look().await;
    let effects = world.wire.effects();
    for moment in [Moment::Before, Moment::After] {
        for k in 0..effects {
            let before = receiver.count("/alerts");
            for _ in 0..2 {
                fail();
                look().await;
            }
            world.wire.reset();
            world.wire.crash_at(k, moment);
            fail();
            look().await;
            world.wire.reset();
            fail();
            look().await;
            world.clock.advance(3 * MINUTE);
            world.reconcile().await;
            assert_eq!(alerts(&receiver)[before..], ["provider.down"], "{moment:?} {k}");
            // A crash before the ping leaves one failure over.
            for _ in 0..5 {
                look().await;
            }
            world.clock.advance(15 * MINUTE);
            world.reconcile().await;
            assert_eq!(
                alerts(&receiver)[before..],
                ["provider.down", "provider.recovered"],
                "{moment:?} {k}"
            );
        }
    }
    assert!(effects > 20, "{effects}");
    world.audit().await;
}
