//! A webhook that is not proved genuine is refused and changes nothing.

use std::time::Duration;

use domain::id::JobId;
use domain::job::State;
use domain::provider::Provider;
use harness::world::LATENCY;
use harness::{Answer, World};
use serde_json::{Value, json};

use super::{Snapshot, assert_problem, assert_unchanged, gateway_answer};

const SIGNATURE: &str = "/headers/x-fal-webhook-signature";
const TIMESTAMP: &str = "/headers/x-fal-webhook-timestamp";

/// A running job whose webhook has come: it is taken, and not yet acted on.
async fn world_with_webhook(prompt: &str) -> (World, JobId, Value) {
    let world = World::new().await;
    let id = world.submit("pika-2.2", prompt, "one").await;
    world.drain().await;
    assert_eq!(world.state(&id).await, State::Running);
    world.clock.advance(LATENCY);
    assert_eq!(world.simulator(Provider::Fal).deliver_due().await.unwrap(), 1);
    let (function, document) = world.wire.invocations().pop().unwrap();
    assert_eq!(function, "webhook");
    (world, id, document)
}

async fn deliver(world: &World, document: Value) -> Answer {
    gateway_answer(&world.stack.host.invoke("webhook", document).await.unwrap())
}

/// The document with one text of it changed.
fn with(document: &Value, pointer: &str, change: impl Fn(&str) -> String) -> Value {
    let mut changed = document.clone();
    let text = changed.pointer_mut(pointer).unwrap();
    *text = json!(change(text.as_str().unwrap()));
    assert_ne!(changed, *document, "{pointer}");
    changed
}

fn without(document: &Value, headers: &[&str]) -> Value {
    let mut changed = document.clone();
    for name in headers {
        assert!(changed["headers"].as_object_mut().unwrap().remove(*name).is_some(), "{name}");
    }
    changed
}

/// Another first character of the same kind.
fn flip_first(text: &str) -> String {
    let other = if text.starts_with('2') { '3' } else { '2' };
    format!("{other}{}", &text[1..])
}

/// The part of a token with this number (job, attempt, MAC) replaced.
fn token_part(number: usize, change: impl Fn(&str) -> String) -> impl Fn(&str) -> String {
    move |token| {
        let parts = token.split('.').enumerate();
        let parts = parts.map(|(n, part)| if n == number { change(part) } else { part.to_owned() });
        parts.collect::<Vec<_>>().join(".")
    }
}

/// Delivers each document; asserts its problem, and that nothing came of any.
async fn refuse(world: &World, cases: Vec<(&str, Value, u16, &str)>) {
    world.wire.reset();
    let before = Snapshot::take(world).await;
    for (what, document, status, code) in cases {
        let answer = deliver(world, document).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{what}: {answer:?}");
        assert_problem(&answer, status, code);
    }
    assert_unchanged(world, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_truncated_or_unsigned_webhook_is_refused() {
    let (world, id, genuine) = world_with_webhook("a boat").await;
    let all = ["signature", "timestamp", "user-id", "request-id"].map(|name| format!("x-fal-webhook-{name}"));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut cases = vec![
        ("forged signature", with(&genuine, SIGNATURE, flip_first), 401, "bad_signature"),
        ("all zeros", with(&genuine, SIGNATURE, |_| "0".repeat(128)), 401, "bad_signature"),
        ("cut signature", with(&genuine, SIGNATURE, |it| it[..127].to_owned()), 400, "malformed_webhook"),
        ("signature of letters", with(&genuine, SIGNATURE, |_| "z".repeat(128)), 400, "malformed_webhook"),
        ("empty signature", with(&genuine, SIGNATURE, |_| String::new()), 400, "malformed_webhook"),
        ("signature twice", with(&genuine, SIGNATURE, |it| format!("{it},{it}")), 400, "malformed_webhook"),
        ("another body", with(&genuine, "/body", |it| it.replace("OK", "KO")), 401, "bad_signature"),
        ("one blank more", with(&genuine, "/body", |it| format!("{it} ")), 401, "bad_signature"),
        ("cut body", with(&genuine, "/body", |it| it[..it.len() / 2].to_owned()), 401, "bad_signature"),
        ("no body", with(&genuine, "/body", |_| String::new()), 401, "bad_signature"),
        (
            "another remote job",
            with(&genuine, &format!("/headers/{}", all[3]), flip_first),
            401,
            "bad_signature",
        ),
        ("another user", with(&genuine, &format!("/headers/{}", all[2]), flip_first), 401, "bad_signature"),
        ("no signature at all", without(&genuine, &all), 400, "malformed_webhook"),
    ];
    cases.extend(
        all.iter().map(|name| ("one header less", without(&genuine, &[name]), 400, "malformed_webhook")),
    );
    let huge = with(&genuine, "/body", |_| "x".repeat(5 * 1024 * 1024 + 1));
    cases.push(("a megabyte", huge, 413, "body_too_large"));
    refuse(&world, cases).await;

    // The very same delivery, untouched, is taken: now and as a repeat.
    for _ in 0..2 {
        let answer = deliver(&world, genuine.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({"received": true})));
    }
    assert_eq!(world.finish(&id).await.state(), State::Succeeded);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_with_another_token_is_refused() {
    let (world, _, genuine) = world_with_webhook("a boat").await;
    let token = |change: &dyn Fn(&str) -> String| with(&genuine, "/pathParameters/token", change);
    let cases = [
        ("another attempt", token(&token_part(1, |_| "2".to_owned()))),
        ("attempt 01", token(&token_part(1, |_| "01".to_owned()))),
        ("another job", token(&token_part(0, flip_first))),
        ("another MAC", token(&token_part(2, flip_first))),
        ("no MAC", token(&token_part(2, |_| String::new()))),
        ("a MAC in capitals", token(&token_part(2, str::to_uppercase))),
        ("a cut token", token(&|token| token[..token.len() - 1].to_owned())),
        ("a longer token", token(&|token| format!("{token}.a"))),
        ("nonsense", token(&|_| "nonsense".to_owned())),
        ("nothing", token(&|_| String::new())),
    ];
    refuse(&world, cases.map(|(what, document)| (what, document, 401, "bad_signature")).into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_for_a_provider_that_sends_none_is_not_found() {
    let (world, _, genuine) = world_with_webhook("a boat").await;
    let provider = |name: &str| with(&genuine, "/pathParameters/provider", |_| name.to_owned());
    let cases = ["runway", "sora", "FAL", ""].map(|name| ("provider", provider(name), 404, "not_found"));
    refuse(&world, cases.into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_webhook_is_refused() {
    let (world, _, genuine) = world_with_webhook("a boat").await;
    let later = |span: i64| move |sent: &str| (sent.parse::<i64>().unwrap() + span).to_string();
    let cases = vec![
        ("a timestamp that was not signed", with(&genuine, TIMESTAMP, later(1)), 401, "bad_signature"),
        ("from the future", with(&genuine, TIMESTAMP, later(301)), 400, "stale_webhook"),
        ("from the past", with(&genuine, TIMESTAMP, later(-301)), 400, "stale_webhook"),
        ("no time", with(&genuine, TIMESTAMP, |_| "now".to_owned()), 400, "malformed_webhook"),
        ("a signed number", with(&genuine, TIMESTAMP, |it| format!("+{it}")), 400, "malformed_webhook"),
        ("beyond numbers", with(&genuine, TIMESTAMP, |it| it.repeat(4)), 400, "malformed_webhook"),
    ];
    refuse(&world, cases).await;
    world.clock.advance(Duration::from_secs(299));
    assert_eq!(deliver(&world, genuine.clone()).await.status, 200);
    world.clock.advance(Duration::from_secs(2));
    refuse(&world, vec![("kept for five minutes", genuine, 400, "stale_webhook")]).await;
}

/// A genuine delivery that somebody sends to the callback URL of another job of ours: the
/// signature does not cover the URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_genuine_webhook_of_one_job_does_not_end_another() {
    let (world, first, genuine) = world_with_webhook("a boat").await;
    let second = world.submit("pika-2.2", "a coat [[sim: latency=900]]", "two").await;
    world.drain().await;
    assert_eq!((world.state(&first).await, world.state(&second).await), (State::Succeeded, State::Running));
    let remote_jobs = world.simulator(Provider::Fal).remote_jobs().unwrap();
    let url = remote_jobs.last().unwrap().webhook_url.clone().unwrap();
    let token = url.rsplit('/').next().unwrap().to_owned();
    let _answer = deliver(&world, with(&genuine, "/pathParameters/token", |_| token.clone())).await;
    world.drain().await;
    let job = world.job(&second).await;
    assert_eq!(job.state(), State::Running, "{job:?}");
    assert_eq!(world.finish(&second).await.state(), State::Succeeded);
    world.audit().await;
}
