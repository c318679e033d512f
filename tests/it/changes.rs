//! What an operator changes while jobs run: the secret of callback URLs, a provider's key, prices.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::attempt::Phase;
use domain::credit::Credits;
use domain::job::State;
use domain::provider::Provider;
use harness::World;
use serde_json::{Value, json};
use shared::store::keys::{PK, SK};
use sim::CallKind;

const OLD: &str = "a callback secret that is long enough for tests";
const NEW: &str = "another callback secret that is long enough too";

/// `webhook` takes both secrets before `dispatch` uses the new one; the old one goes when no job of
/// before is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_of_callback_urls_is_replaced_while_jobs_run() {
    let world = World::new().await;
    let both = format!("{NEW},{OLD}");
    let before = world.submit("pika-2.2", "a boat from before", "before").await;
    world.drain().await;
    let after = world.submit("pika-2.2", "a boat from after", "after").await;
    let dispatch = world.start("dispatch", &[("WEBHOOK_TOKEN_SECRET", &both)]).await;
    dispatch.handle(&json!({"type": "dispatch.v1", "job_id": after})).await;
    for job in [&before, &after] {
        assert_eq!(world.state(job).await, State::Running);
    }
    world.wire.reset();
    world.clock.advance(harness::world::LATENCY);
    world.simulator(Provider::Fal).deliver_due().await.unwrap();
    let events: Vec<Value> = world.wire.invocations().into_iter().map(|(_, event)| event).collect();
    for (secrets, taken) in [(both.as_str(), [200, 200]), (NEW, [401, 200]), (OLD, [200, 401])] {
        let webhook = world.start("webhook", &[("WEBHOOK_TOKEN_SECRET", secrets)]).await;
        let mut statuses = Vec::new();
        for event in &events {
            statuses.push(webhook.invoke(event.clone()).await["statusCode"].as_u64().unwrap());
        }
        // The events came in any order.
        statuses.sort_unstable();
        let mut taken = taken;
        taken.sort_unstable();
        assert_eq!(statuses, taken, "{secrets}");
    }
    for job in [before, after] {
        assert_eq!(world.finish(&job).await.state, State::Succeeded);
    }
    world.audit().await;
}

/// A new key may be of another account of the provider, which does not know the jobs of before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_because_its_provider_does_not_know_it_under_a_new_key() {
    let world = World::with(|options| options.webhooks = false).await;
    let id = world.submit("gen-4.5", "a boat [[sim: latency=9000, status=404:5000]]", "old key").await;
    let dispatch = world.start("dispatch", &[("RUNWAYML_API_SECRET", "the-key-of-before")]).await;
    dispatch.handle(&json!({"type": "dispatch.v1", "job_id": id})).await;
    let job = world.job(&id).await;
    assert_eq!((job.state, job.attempts[0].phase), (State::Running, Phase::Running), "{job:?}");
    let unknown = world.clock.now() + Duration::from_secs(3_000);
    while world.clock.now() < unknown + Duration::from_secs(4_900) {
        world.pass_time(&id).await;
        let job = world.job(&id).await;
        assert_eq!((job.attempts[0].phase, job.attempts[0].missing), (Phase::Running, None), "{job:?}");
    }
    assert!(world.calls(Provider::Runway, CallKind::Poll) > 10);
    world.audit().await;
}

/// The same where a stack is started again and a simulator stands where a real provider was: that it
/// does not know an order tells nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_is_taken_for_one_that_never_arrived_because_another_account_was_asked() {
    let world = World::with(|options| options.webhooks = false).await;
    let prompt = "a [[sim: create=drop-before]]";
    let order = json!({"model": "kling-2.6", "prompt": prompt, "provider": "kling", "pin": true});
    let id = world.post_job(&order, "real").await.text("/id").parse().unwrap();
    let real = [("KLING_API_KEY", "a-real-key"), ("SIMULATED_PROVIDERS", "")];
    let dispatch = world.start("dispatch", &real).await;
    dispatch.handle(&json!({"type": "dispatch.v1", "job_id": id})).await;
    let begun = world.clock.now();
    while world.clock.now() < begun + Duration::from_secs(3_600) {
        let job = world.job(&id).await;
        assert_eq!((job.state, job.attempts[0].phase), (State::Dispatching, Phase::Unclear), "{job:?}");
        world.pass_time(&id).await;
    }
    assert!(world.calls(Provider::Kling, CallKind::LookUp) > 0);
    world.audit().await;
}

#[expect(clippy::disallowed_methods, reason = "a row as an older release has left it")]
async fn set(world: &World, pk: &str, sk: &str, name: &str, value: &str) {
    let table = world.operator.env.get("TABLE").unwrap();
    let update = world.operator.dynamodb().update_item().table_name(table);
    let update = update.key(PK, AttributeValue::S(pk.to_owned())).key(SK, AttributeValue::S(sk.to_owned()));
    let update = update.update_expression("SET #name = :value").expression_attribute_names("#name", name);
    update.expression_attribute_values(":value", AttributeValue::N(value.to_owned())).send().await.unwrap();
}

/// The job, its charge and the balance are as an older catalogue, with another price, left them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_refunded_what_it_was_charged_whatever_its_model_costs_now() {
    let world = World::new().await;
    let granted = world.balance().await;
    let id = world.submit("pika-2.2", "a boat [[sim: fail=content_policy]]", "old price").await;
    let account = format!("ACCT#{}", world.account);
    let price = Credits::from_micros(7_000_000);
    assert_ne!(world.job(&id).await.price, price);
    let left = granted.less(price);
    set(&world, &format!("JOB#{id}"), "JOB", "price", &price.micros().to_string()).await;
    set(&world, &account, &format!("ENTRY#{id}#CHARGE"), "amount", &price.micros().to_string()).await;
    set(&world, &account, "BALANCE", "balance", &left.micros().to_string()).await;
    let body = json!({"model": "pika-2.2", "prompt": "a boat [[sim: fail=content_policy]]"});
    let again = world.post_job(&body, "old price").await;
    assert_eq!(again.body["price_micro_credits"], json!(price.micros()), "{again:?}");
    assert_eq!(world.balance().await, left, "a repeat charges nothing");
    let job = world.finish(&id).await;
    assert_eq!((job.state, job.refunded), (State::Failed, Some(price)));
    assert_eq!(world.balance().await, granted);
    world.audit().await;
}

/// A newer `submit` may accept a job that an older `dispatch` has no route for.
#[test]
fn submit_is_deployed_after_the_functions_that_carry_out_its_jobs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let template = std::fs::read_to_string(root.join("infra/template.yaml")).unwrap();
    let (_, submit) = template.split_once("  SubmitFunction:\n").unwrap();
    let (submit, _) = submit.split_once("    Properties:\n").unwrap();
    for function in ["Dispatch", "Fetch", "Poll", "Settle"] {
        assert!(submit.contains(&format!("{function}Function")), "{function}: {submit}");
    }
}
