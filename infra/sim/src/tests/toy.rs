//! A provider that uses of the frame what fal and Runway do not: intermediate reports,
//! Standard Webhooks, a challenge, authenticated media, images in the create's own answer.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::frame::create::{self, NewJob};
use crate::frame::jobs::{Callback, Medium, Phase, RemoteJob};
use crate::frame::play::Refusal;
use crate::frame::simulator::Simulator;
use crate::frame::wire::{Answer, Answering, Inbound, Payload, Wire};
use crate::frame::{media, poll, webhook};
use crate::test_bench::{Bench, Client, Receiver, text};

pub(super) static TOY: Client = Client {
    provider: Provider::Fal,
    wire: &Toy,
    headers: &[("x-key", "secret")],
    create: |bench, prompt, callback| {
        bench.call(Method::POST, "/videos").json(&json!({"prompt": prompt, "callback": callback}))
    },
    poll: |bench, job| bench.call(Method::GET, &format!("/jobs/{}", text(&job["job"], "id"))),
    word: "/job/state",
    words: ["queued", "running", "done"],
    video: |bench, job| {
        let id = text(&job["job"], "id").to_owned();
        async move { format!("{}/jobs/{id}/content", bench.base) }.boxed()
    },
};

#[derive(Debug)]
struct Toy;

impl Wire for Toy {
    fn kind(&self, call: &Inbound) -> CallKind {
        match call.parts.method {
            Method::POST => CallKind::Create,
            Method::GET => CallKind::Poll,
            Method::DELETE => CallKind::Cancel,
            _ => CallKind::Other,
        }
    }

    fn answer<'a>(&'a self, simulator: &'a Simulator, call: &'a Inbound) -> Answering<'a> {
        answer(simulator, call).boxed()
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        let code = match refusal {
            Refusal::WrongKey => StatusCode::UNAUTHORIZED,
            Refusal::RateLimit => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        };
        code.into_response()
    }

    fn key<'a>(&self, call: &'a Inbound) -> Option<&'a str> {
        call.header("x-key")
    }

    fn media<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix("/jobs/")?.strip_suffix("/content")
    }

    fn media_need_key(&self) -> bool {
        true
    }

    fn payload(
        &self,
        simulator: &Simulator,
        job: &RemoteJob,
        at: Timestamp,
    ) -> anyhow::Result<Option<Payload>> {
        Ok(Some(Payload::signed(simulator, &job.id, &job_json(job, at))))
    }
}

async fn answer(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let now = simulator.clock.now();
    let path = call.path();
    if call.is(&Method::POST) {
        return create(simulator, call).await;
    }
    let Some(job) = simulator.find(path.trim_start_matches("/jobs/"))? else {
        return Ok(StatusCode::NOT_FOUND.into());
    };
    if call.is(&Method::DELETE) {
        simulator.store.update(&job.id, |job| job.cancel(now))?;
    }
    Ok(poll::answer(simulator, &job, now, StatusCode::OK, job_json(&job, now), "/job/state").into())
}

fn job_json(job: &RemoteJob, at: Timestamp) -> Value {
    let state = match job.phase(at) {
        Phase::Throttled | Phase::Queued => "queued",
        Phase::Running(_) => "running",
        Phase::Succeeded => "done",
        Phase::Failed(_) => "failed",
        Phase::Canceled => "canceled",
    };
    json!({"job": {"id": job.id, "state": state}})
}

/// A video as a job; an image at once, in the answer itself.
async fn create(simulator: &Simulator, call: &Inbound) -> anyhow::Result<Answer> {
    let Ok(body) = call.object() else { return Ok(StatusCode::BAD_REQUEST.into()) };
    let prompt = text(&json!(body), "prompt").to_owned();
    let url = body.get("callback").and_then(Value::as_str).map(str::to_owned);
    if let Some(url) = &url {
        let challenge = Payload::unsigned(&json!({"challenge": "echo"}));
        let echo = webhook::post(simulator, url, challenge).await;
        if !echo.is_ok_and(|(_, body)| body == json!({"challenge": "echo"}).to_string()) {
            return Ok(StatusCode::BAD_REQUEST.into());
        }
    }
    let mut play = simulator.play(&prompt).unwrap();
    let mut medium = Medium::Video { seconds: 1 };
    if call.path() == "/images" {
        medium = Medium::Image;
        play.latency = Some(Duration::ZERO);
    }
    let new_job = NewJob {
        id: create::uuid()?,
        endpoint: "toy".to_owned(),
        prompt,
        medium,
        aspect: (1, 1),
        callback: url.map(|url| Callback { url, start: true, cancel: true }),
        extra: Value::Null,
        play,
    };
    let accept = async |job: RemoteJob| {
        Ok(match medium {
            Medium::Video { .. } => Json(job_json(&job, job.created_at)).into_response(),
            Medium::Image => media::bytes(simulator, &job).await?.into_response(),
        })
    };
    create::play(simulator, new_job, accept).await
}

fn statuses_sent_to(receiver: &Receiver) -> Vec<String> {
    let bodies = receiver.bodies().into_iter().filter(|body| body["challenge"].is_null());
    bodies.map(|body| text(&body["job"], "state").to_owned()).collect()
}

#[tokio::test]
async fn the_start_is_reported_once_and_the_end_until_it_is_accepted() {
    let bench = Bench::of(&TOY).await;
    // The first answer is to the challenge.
    let receiver = Receiver::answering(&[200, 500, 500]).await;
    bench.create_with(&receiver, "a boat").await;
    let mut gaps = Vec::new();
    while let Some(due) = bench.simulator.next_due().unwrap() {
        let gap = due.since(bench.clock.now());
        bench.clock.advance(gap);
        if bench.simulator.deliver_due().await.unwrap() > 0 {
            gaps.push(bench.clock.now().as_secs() - 1_700_000_000);
        }
    }
    assert_eq!(gaps, [12, 60, 65]);
    assert_eq!(statuses_sent_to(&receiver), ["running", "done", "done"]);
}

#[tokio::test]
async fn a_cancellation_is_reported_if_the_provider_does() {
    let bench = Bench::of(&TOY).await;
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a boat").await;
    bench.wait(5);
    bench.call(Method::DELETE, &format!("/jobs/{}", text(&job["job"], "id"))).send().await.unwrap();
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
    bench.wait(600);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);
    assert_eq!(statuses_sent_to(&receiver), ["canceled"]);
}

/// Whether each payload's signature is that of its body.
fn signed(bench: &Bench, receiver: &Receiver) -> Vec<bool> {
    let payloads = receiver.payloads().into_iter().filter(|(_, body)| !body.starts_with(b"{\"challenge"));
    let genuine = payloads.map(|(headers, body)| {
        let value = |name: &str| headers.get(name)?.to_str().ok();
        let (Some(id), Some(at)) = (value("webhook-id"), value("webhook-timestamp")) else { return false };
        let at = Timestamp::from_secs(at.parse().unwrap());
        let expected = bench.simulator.webhook_secret().headers(id, at, str::from_utf8(&body).unwrap());
        value("webhook-signature") == Some(&expected[2].1)
    });
    genuine.collect()
}

#[tokio::test]
async fn a_webhook_is_signed_wrongly_signed_or_unsigned_as_ordered() {
    let bench = Bench::of(&TOY).await;
    for (play, genuine) in [("late:1", true), ("badsig", false), ("unsigned", false)] {
        let receiver = Receiver::answering(&[]).await;
        bench.create_with(&receiver, &format!("a [[sim: webhook={play}]]")).await;
        bench.wait(60);
        bench.simulator.deliver_due().await.unwrap();
        bench.wait(1);
        bench.simulator.deliver_due().await.unwrap();
        assert_eq!(signed(&bench, &receiver), [genuine; 2], "{play}");
        let sent = receiver.payloads().pop().unwrap().0.contains_key("webhook-signature");
        assert_eq!(sent, play != "unsigned");
    }
}

#[tokio::test]
async fn media_behind_the_key_are_for_its_bearer_only() {
    let bench = Bench::of(&TOY).await;
    let job = bench.create("a boat").await;
    bench.wait(60);
    let url = (TOY.video)(&bench, &job).await;
    assert_eq!(bench.http.get(&url).send().await.unwrap().status(), 401);
    assert_eq!(bench.http.get(&url).header("x-key", "invalid").send().await.unwrap().status(), 401);
    let video = bench.call(Method::GET, &url).send().await.unwrap();
    assert_eq!(
        (video.status().as_u16(), &video.headers()["Content-Type"]),
        (200, &"video/mp4".parse().unwrap())
    );
    let call = bench.simulator.calls().pop().unwrap();
    assert_eq!((call.kind, call.authorized), (CallKind::Media, true));
}

#[tokio::test]
async fn an_image_is_the_creates_own_answer_and_a_medium_like_any() {
    let bench = Bench::of(&TOY).await;
    let drawn = bench.call(Method::POST, "/images").json(&json!({"prompt": "a boat"})).send().await.unwrap();
    let drawn = drawn.bytes().await.unwrap();
    assert!(drawn.starts_with(b"\x89PNG"));
    let id = bench.simulator.remote_jobs().unwrap()[0].id.clone();
    let served = bench.call(Method::GET, &format!("/jobs/{id}/content")).send().await.unwrap();
    assert_eq!(served.headers()["Content-Type"], "image/png");
    assert_eq!(served.bytes().await.unwrap(), drawn);
}
