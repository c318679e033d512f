//! Events, from the move of a job to a customer's server.

use std::time::Duration;

use domain::id::AccountId;
use domain::provider::Provider;
use domain::time::Timestamp;
use harness::{Answer, Receiver, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::store::events::EventStore;
use shared::store::keys::EVENT_SHARDS;
use shared::store::keystore::Scope;
use sim::{CallKind, Fault};

mod alerts;
mod chats;
mod crash;
mod credits;
mod devices;
mod disabled;
mod failing;
mod mails;
mod sockets;
mod targets;
mod tried;

const HOUR: Duration = Duration::from_secs(3_600);

/// Calls the API as the account of this world.
async fn api(world: &World, method: Method, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then(|| body.to_string());
    world.call(method, path, &[], body.as_deref()).await
}

/// An endpoint of the account for these types: its id and secret.
async fn endpoint(world: &World, url: &str, types: &[&str]) -> (String, String) {
    let made = api(world, Method::POST, "/v1/endpoints", json!({"url": url, "types": types})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    (made.text("/id").to_owned(), made.text("/secret").to_owned())
}

async fn deliveries(world: &World, endpoint: &str) -> Vec<Value> {
    let found = api(world, Method::GET, &format!("/v1/endpoints/{endpoint}/deliveries"), Value::Null).await;
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    found.body["deliveries"].as_array().unwrap().clone()
}

async fn status_of(world: &World, endpoint: &str) -> Value {
    api(world, Method::GET, &format!("/v1/endpoints/{endpoint}"), Value::Null).await.body
}

/// When an event or a delivery is next due for `reconcile`.
async fn next_check(world: &World) -> Option<Timestamp> {
    let far = world.clock.now() + HOUR * 1_000;
    let events = EventStore::new(world.table());
    let mut checks = Vec::new();
    for shard in 0..EVENT_SHARDS {
        let due = events.due(shard, far, 1, None).await.expect("the index answers").0;
        checks.extend(due.first().map(|due| due.check_at));
    }
    checks.into_iter().min()
}

/// Calls the API as this account.
async fn as_account(world: &World, account: &AccountId, path: &str, body: &Value) -> Answer {
    let key = world.new_key(account, vec![Scope::Read, Scope::Write]).await;
    let bearer = format!("Bearer {key}");
    world.call(Method::POST, path, &[("authorization", &bearer)], Some(&body.to_string())).await
}

/// Where the simulated vendors of channels answer.
fn channels_url(world: &World) -> String {
    let arn = &world.stack.host.template().secrets["ChannelSecrets"];
    let members = world.stack.secrets.get(arn).expect("a secret of the senders");
    members["CHANNEL_BASE_URL"].clone()
}

/// An endpoint on a channel, for the successes of jobs.
async fn on_channel(world: &World, kind: &str, address: &str) -> String {
    let field = if matches!(kind, "slack" | "discord" | "cloud_run") { "url" } else { "to" };
    let body =
        json!({"kind": kind, field: address, "types": ["job.succeeded", "job.failed", "endpoint.disabled"]});
    let made = api(world, Method::POST, "/v1/endpoints", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.text("/id").to_owned()
}

/// Lets a job succeed, and what is told of it arrive.
async fn succeed(world: &World, name: &str) -> String {
    let job = world.submit("gen-4.5", "a <boat> & more", name).await;
    world.finish(&job).await;
    world.drain().await;
    job.to_string()
}

/// Lets the time pass, with what is due at each point.
async fn pass(world: &World, span: Duration) {
    let end = world.clock.now() + span;
    loop {
        world.drain().await;
        let now = world.clock.now();
        if now >= end {
            break;
        }
        let queued = world.stack.next_due().expect("the stack answers");
        let check = next_check(world).await;
        let next = queued.into_iter().chain(check).filter(|at| *at > now).min();
        world.clock.advance(next.map_or(end, |next| next.min(end)).since(now));
        world.reconcile().await;
    }
}

/// Waits for an answer, while queues are emptied.
pub(crate) async fn while_drained<T>(world: &World, waiting: impl Future<Output = T>) -> T {
    let mut waiting = std::pin::pin!(waiting);
    loop {
        let answer = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
        match answer {
            Ok(answer) => return answer,
            Err(_elapsed) => world.drain().await,
        }
    }
}

/// An endpoint for all that follows, on a server that answers.
pub(crate) async fn listen(world: &World) -> Receiver {
    let receiver = Receiver::start().await;
    endpoint(world, &receiver.url("/all"), &["*"]).await;
    receiver
}

/// Whatever an account can do with endpoints and events.
pub(crate) async fn everything(world: &World, receiver: &Receiver) {
    receiver.answers("/gone", 410, &[], "");
    receiver.answers("/later", 503, &[], "");
    let (gone, _) = endpoint(world, &receiver.url("/gone"), &["job.*"]).await;
    let (later, _) = endpoint(world, &receiver.url("/later"), &["job.*"]).await;
    let id = world.submit("gen-4.5", "a boat", "events").await;
    world.finish(&id).await;
    let path = format!("/v1/endpoints/{later}");
    let event = deliveries(world, &later).await[0]["event"].as_str().unwrap().to_owned();
    receiver.answers("/later", 200, &[], "");
    for (method, path, body) in [
        (Method::GET, "/v1/endpoints".to_owned(), Value::Null),
        (Method::PATCH, path.clone(), json!({"description": "ours"})),
        (Method::POST, format!("{path}/secret/rotate"), json!({"grace_s": 60})),
        (Method::POST, "/v1/endpoints/ep_callback/secret/rotate".to_owned(), Value::Null),
        (Method::GET, format!("{path}/secret"), Value::Null),
        (Method::POST, format!("{path}/recover"), json!({"since": "2020-01-01T00:00:00Z"})),
        (Method::GET, "/v1/events".to_owned(), Value::Null),
        (Method::GET, format!("/v1/events/{event}"), Value::Null),
        (Method::GET, format!("/v1/events/{event}/deliveries"), Value::Null),
        (Method::POST, format!("/v1/events/{event}/redeliver"), Value::Null),
        (Method::DELETE, format!("/v1/endpoints/{gone}"), Value::Null),
    ] {
        let answer = api(world, method, &path, body).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        world.drain().await;
    }
    let test = format!("{path}/test");
    while_drained(world, api(world, Method::POST, &test, Value::Null)).await;
    // The pause before the fourth try is longer than a queue can wait.
    receiver.answers("/later", 503, &[], "");
    let id = world.submit("gen-4.5", "a boat", "late events").await;
    world.finish(&id).await;
    pass(world, HOUR).await;
    sockets::a_client_watches(world).await.close().await;
    // A provider that is down is an alert.
    for _ in 0..3 {
        world.simulator(Provider::Fal).cut(CallKind::Ping, Fault::DropBefore);
        world.stack.host.fire_schedules().await;
        world.clock.advance(Duration::from_secs(60));
    }
}
