//! What reaches us at callback URLs: a URL is good for its own provider, attempt and remote job.

use std::time::Duration;

use domain::attempt::Phase;
use domain::id::JobId;
use domain::job::State;
use domain::provider::Provider;
use harness::{Answer, World};
use reqwest::Method;
use serde_json::json;
use shared::boot::config::base_url_variable;
use shared::provider::{CallbackSecrets, Token, adapter};
use shared::store::pins::Pins;
use shared::store::queue::{Message, Queue, Sender};
use signatures::Secret;
use sim::CallKind;

/// A job's id, and the callback URL of the remote job that was made for it last.
async fn begin(world: &World, provider: Provider, model: &str, prompt: &str) -> (JobId, String) {
    let order = json!({"model": model, "prompt": prompt, "provider": provider, "pin": true});
    let id = world.post_job(&order, prompt).await.text("/id").parse().unwrap();
    world.drain().await;
    let remote = world.simulator(provider).remote_jobs().unwrap().pop().unwrap();
    (id, remote.webhook_url.unwrap())
}

async fn post(world: &World, url: &str, body: &str) -> Answer {
    let path = &url[url.find("/v1/webhooks").unwrap()..];
    world.call(Method::POST, path, &[("authorization", "")], Some(body)).await
}

/// What waits or lies dead in the two queues of verdicts.
fn messages(world: &World) -> usize {
    let depth = |queue: &str| {
        let depth = world.stack.sqs.depth(queue).unwrap();
        usize::try_from(depth.visible + depth.in_flight + depth.delayed).unwrap()
    };
    ["genmux-settle", "genmux-fetch", "genmux-settle-dead", "genmux-fetch-dead"].map(depth).iter().sum()
}

/// Has a remote job made at a provider by somebody else, who has it report to this URL.
async fn strange_job(world: &World, provider: Provider, path: &str, body: &serde_json::Value) -> String {
    let secrets = &world.stack.host.template().functions["dispatch"].environment["SECRETS"];
    let members = secrets.split(',').filter_map(|arn| world.stack.secrets.get(arn));
    let members: Vec<_> = members.flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    let member = |name: &str| &members.iter().find(|(known, _)| known == name).unwrap().1;
    let (base, key) = (member(&base_url_variable(provider)), member(adapter(provider).setup().key[0]));
    let scheme = if provider == Provider::Fal { "Key" } else { "Bearer" };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made = client.post(format!("{base}{path}")).header("authorization", format!("{scheme} {key}"));
    let made = made.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    assert!(made.status().is_success(), "{made:?}");
    world.simulator(provider).remote_jobs().unwrap().pop().unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_providers_token_is_refused_at_every_path_but_its_own() {
    let world = World::new().await;
    let secret = Secret::new("a callback secret that is long enough for tests");
    let secrets = CallbackSecrets::new(vec![secret]).unwrap();
    let before = messages(&world);
    for &of in Provider::ALL {
        let token = secrets.sign(&Token { job: JobId::from_bytes([9; 16]), attempt: 1, provider: of });
        for &at in Provider::ALL.iter().filter(|at| **at != of) {
            let answer = post(&world, &format!("/v1/webhooks/{at}/{token}"), "{}").await;
            let refused = match adapter(at).capabilities().webhooks {
                Some(_) => (401, "bad_signature"),
                None => (404, "not_found"),
            };
            assert_eq!((answer.status.as_u16(), answer.code()), refused, "of {of} at {at}");
        }
    }
    assert_eq!(messages(&world), before);
    let token =
        secrets.sign(&Token { job: JobId::from_bytes([9; 16]), attempt: 1, provider: Provider::Minimax });
    assert_eq!(post(&world, &format!("/v1/webhooks/minimax/{token}"), "{}").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_about_what_has_ended_or_never_was_makes_no_call_and_is_not_tried_again() {
    let world = World::new().await;
    let (id, url) = begin(&world, Provider::Minimax, "hailuo-2.3", "a boat").await;
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);
    let job = world.job(&id).await;
    let calls = world.simulator(Provider::Minimax).calls().len();
    let secret = Secret::new("a callback secret that is long enough for tests");
    let never = Token { job: JobId::from_bytes([9; 16]), attempt: 1, provider: Provider::Minimax };
    let never = CallbackSecrets::new(vec![secret]).unwrap().sign(&never);
    let never = format!("/v1/webhooks/minimax/{never}");
    for _ in 0..3 {
        assert_eq!(post(&world, &url, "{}").await.status, 200);
        assert_eq!(post(&world, &never, "{}").await.status, 200);
        world.drain().await;
    }
    assert_eq!(world.simulator(Provider::Minimax).calls().len(), calls);
    assert_eq!(messages(&world), 0, "nothing comes back");
    assert_eq!(world.job(&id).await, job);
}

/// Whoever has an account at fal can have fal send a signed webhook to any URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_signed_film_does_not_end_a_job_whose_remote_job_is_unknown() {
    let world = World::new().await;
    let prompt = "a boat [[sim: create=drop-after, webhook=lost, latency=900]]";
    let (id, url) = begin(&world, Provider::Fal, "pika-2.2", prompt).await;
    let own = world.simulator(Provider::Fal).remote_jobs().unwrap().pop().unwrap().id;
    let path = format!("/fal-ai/pika/v2.2/text-to-video?fal_webhook={url}");
    let strange = strange_job(&world, Provider::Fal, &path, &json!({"prompt": "a strange boat"})).await;
    for _ in 0..12 {
        world.advance(Duration::from_secs(60)).await;
        let attempt = world.job(&id).await.attempts()[0].clone();
        assert_ne!(attempt.remote.as_ref().map(|remote| &remote.id), Some(&strange));
        assert_ne!(attempt.phase, Phase::Finished);
    }
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    assert_eq!(job.attempts()[0].remote.as_ref().map(|remote| &remote.id), Some(&own));
}

/// An unsigned hint names a remote job that runs with our key, and whose callback URL is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_does_not_give_a_job_the_remote_job_of_somebody_else() {
    let world = World::new().await;
    let prompt = "a boat [[sim: create=drop-after, webhook=lost, latency=900]]";
    let (id, url) = begin(&world, Provider::DreamMachine, "ray-2", prompt).await;
    let own = world.simulator(Provider::DreamMachine).remote_jobs().unwrap().pop().unwrap().id;
    let order = json!({"model": "ray-2", "prompt": "a coat", "resolution": "720p", "duration": "5s"});
    let path = "/dream-machine/v1/generations/video";
    let strange = strange_job(&world, Provider::DreamMachine, path, &order).await;
    let hint = json!({"id": strange, "state": "dreaming"}).to_string();
    assert_eq!(post(&world, &url, &hint).await.status, 200);
    world.drain().await;
    assert_eq!(world.job(&id).await.attempts()[0].remote, None);
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    assert_eq!(job.attempts()[0].remote.as_ref().map(|remote| &remote.id), Some(&own));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_account_that_fal_signs_for_is_learnt_and_another_one_is_not_heard() {
    let world = World::new().await;
    let pins = Pins::new(world.table());
    let (id, _) = begin(&world, Provider::Fal, "pika-2.2", "a boat").await;
    assert_eq!(pins.get(Provider::Fal).await.unwrap(), None);
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);
    let ours = pins.get(Provider::Fal).await.unwrap().expect("it is pinned");

    let prompt = "a coat [[sim: create=drop-after, webhook=lost, latency=900]]";
    let (id, _) = begin(&world, Provider::Fal, "pika-2.2", prompt).await;
    let own = world.simulator(Provider::Fal).remote_jobs().unwrap().pop().unwrap().id;
    let remote = domain::id::RemoteJob::new(&own, None);
    let queue = Queue::new(world.operator.sqs(), world.stack.sqs.queue_url("genmux-settle"));
    let report = async |provider: Provider, user: &str| {
        let sender = Sender { provider, user: Some(user.to_owned()), old_token: false };
        let report = Message::report(id.clone(), 1, remote.clone(), None, sender);
        queue.send(&report, None, Duration::ZERO).await.unwrap();
        let calls = world.simulator(Provider::Fal).calls().len();
        world.drain().await;
        world.simulator(Provider::Fal).calls().len() - calls
    };
    assert_eq!(report(Provider::Fal, "somebody else").await, 0, "another account");
    assert_eq!(report(Provider::Minimax, &ours).await, 0, "another provider");
    assert_eq!(world.job(&id).await.attempts()[0].remote, None);
    assert!(report(Provider::Fal, &ours).await > 0);
    assert_eq!(world.job(&id).await.attempts()[0].phase, Phase::Running);

    // Of a remote job that is ours, another account is ours too: the key was changed.
    report(Provider::Fal, "our new account").await;
    assert_eq!(pins.get(Provider::Fal).await.unwrap().as_deref(), Some("our new account"));
}

/// The tokens of older releases do not name the provider: they are taken for three hours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_with_a_token_of_an_older_release_is_heard_for_three_hours() {
    let world = World::new().await;
    let prompt = "a boat [[sim: latency=80000, webhook=lost]]";
    let (id, _) = begin(&world, Provider::Minimax, "hailuo-2.3", prompt).await;
    let queue = Queue::new(world.operator.sqs(), world.stack.sqs.queue_url("genmux-settle"));
    let asked = async || {
        let sender = Sender { provider: Provider::Minimax, user: None, old_token: true };
        let hint = Message::report(id.clone(), 1, None, None, sender);
        world.drain().await;
        let before = world.calls(Provider::Minimax, CallKind::Poll);
        queue.send(&hint, None, Duration::ZERO).await.unwrap();
        world.drain().await;
        world.calls(Provider::Minimax, CallKind::Poll) - before
    };
    world.clock.advance(Duration::from_secs(3 * 3_600 - 60));
    assert_eq!(asked().await, 1);
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(asked().await, 0);
}
