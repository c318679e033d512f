use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::test_bench::{Bench, Client, Receiver, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::DreamMachine,
    wire: &super::DreamMachine,
    headers: &[("Authorization", "Bearer secret")],
    create: |bench, prompt, callback| {
        let mut body = video(prompt);
        if let Some(callback) = callback {
            body["callback_url"] = json!(callback);
        }
        bench.call(Method::POST, CREATE).json(&body)
    },
    poll: |bench, job| bench.call(Method::GET, &address(job)),
    word: "/state",
    words: ["queued", "dreaming", "completed"],
    video: |bench, job| {
        async move { look(bench, job).await.1["assets"]["video"].as_str().unwrap().to_owned() }.boxed()
    },
};

const CREATE: &str = "/dream-machine/v1/generations/video";
const LIST: &str = "/dream-machine/v1/generations";

fn video(prompt: &str) -> Value {
    json!({"model": "ray-2", "prompt": prompt, "duration": "5s", "resolution": "720p", "aspect_ratio": "9:21"})
}

fn address(job: &Value) -> String {
    format!("{LIST}/{}", text(job, "id"))
}

async fn look(bench: &Bench, job: &Value) -> (u16, Value) {
    bench.get(&address(job)).await
}

#[tokio::test]
async fn a_generation_repeats_its_request_and_ends_with_its_video() {
    let bench = Bench::of(&CLIENT).await;
    let (code, job) = bench.post(CREATE, &video("a boat")).await;
    assert_eq!((code, &job["state"], &job["assets"]), (201, &json!("queued"), &Value::Null));
    assert_eq!(job["request"]["aspect_ratio"], "9:21");
    bench.wait(30);
    assert_eq!(look(&bench, &job).await.1["state"], "dreaming");
    bench.wait(30);
    let video = bench.http.get((CLIENT.video)(&bench, &job).await).send().await.unwrap();
    assert_eq!(video.headers()["Content-Type"], "video/mp4");
}

#[tokio::test]
async fn the_list_is_newest_first_and_tells_callback_urls() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let first = bench.create_with(&receiver, "one").await;
    let second = bench.create("two").await;
    let (_, list) = bench.get(LIST).await;
    let ids: Vec<_> = list["generations"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids, [&second["id"], &first["id"]]);
    assert_eq!(list["generations"][1]["request"]["callback_url"], receiver.url);
    let (_, page) = bench.get(&format!("{LIST}?limit=1&offset=1")).await;
    assert_eq!((&page["generations"][0]["id"], &page["has_more"]), (&first["id"], &json!(false)));
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::LookUp);
}

#[tokio::test]
async fn callbacks_report_start_and_end_without_a_signature() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    for (prompt, end) in [("a boat", "completed"), ("a [[sim: fail=internal]]", "failed")] {
        let job = bench.create_with(&receiver, prompt).await;
        bench.wait(30);
        bench.simulator.deliver_due().await.unwrap();
        bench.wait(30);
        bench.simulator.deliver_due().await.unwrap();
        let bodies = receiver.bodies().split_off(receiver.bodies().len() - 2);
        assert_eq!((&bodies[0]["state"], &bodies[1]["state"]), (&json!("dreaming"), &json!(end)));
        assert_eq!((&bodies[0]["id"], &bodies[1]["id"]), (&job["id"], &job["id"]));
    }
    assert!(
        receiver
            .payloads()
            .iter()
            .all(|(headers, _)| { headers.keys().all(|name| !name.as_str().contains("signature")) })
    );
}

#[tokio::test]
async fn a_removed_generation_is_gone_with_its_video() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a [[sim: latency=1]]").await;
    bench.wait(1);
    let video = (CLIENT.video)(&bench, &job).await;
    let remove = || async { bench.call(Method::DELETE, &address(&job)).send().await.unwrap().status() };
    assert_eq!(remove().await, 204);
    assert_eq!((look(&bench, &job).await.0, remove().await.as_u16()), (404, 404));
    assert_eq!(bench.http.get(video).send().await.unwrap().status(), 404);
    assert_eq!(bench.get(LIST).await.1["generations"], json!([]));
}

#[tokio::test]
async fn a_run_fails_with_a_text_and_no_code() {
    let bench = Bench::of(&CLIENT).await;
    for (word, reason) in
        [("content_policy", "moderation"), ("internal", "failed"), ("invalid", "image"), ("no_code", "")]
    {
        let job = bench.create(&format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let (_, body) = look(&bench, &job).await;
        assert_eq!((&body["state"], &body["assets"]), (&json!("failed"), &Value::Null));
        assert!(text(&body, "failure_reason").contains(reason), "{word}");
    }
}

#[tokio::test]
async fn bodies_that_luma_does_not_take_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let frames = |frame: Value| json!({"frame0": frame});
    for (field, value) in [
        ("model", json!("ray-1-6")),
        ("model", json!("ray-3.2")),
        ("duration", json!(5)),
        ("duration", json!("10s")),
        ("resolution", json!("360p")),
        ("aspect_ratio", json!("3:1")),
        ("seed", json!(7)),
        ("keyframes", frames(json!({"type": "image"}))),
        ("keyframes", frames(json!({"type": "film", "url": "https://example.com"}))),
        ("keyframes", json!({"frame2": {"type": "image", "url": "https://example.com"}})),
        ("prompt", json!("a [[sim: fail=badly]]")),
    ] {
        let mut body = video("a boat");
        body[field] = value;
        let (code, answer) = bench.post(CREATE, &body).await;
        assert_eq!(code, 400, "{body}");
        assert!(answer["detail"].is_string(), "{answer}");
    }
    assert_eq!(bench.post(LIST, &video("a boat")).await.0, 404, "the address of old tutorials");
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    let mut body = video("a boat");
    body["keyframes"] = json!({"frame0": {"type": "image", "url": "https://example.com/a.png"},
                               "frame1": {"type": "generation", "id": "b"}});
    assert_eq!(bench.post(CREATE, &body).await.0, 201);
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code, detail) in [
        ("401", 401, "API key"),
        ("403-balance", 400, "Insufficient credits"),
        ("422", 400, "Invalid"),
        ("429", 429, "Too many"),
        ("500", 500, "error"),
        ("503", 503, "Unavailable"),
        ("policy", 400, "moderation"),
    ] {
        let prompt = format!("a [[sim: create=refuse:{word}]]");
        let (status, answer) = read((CLIENT.create)(&bench, &prompt, None).send().await.unwrap()).await;
        assert_eq!(status, code, "{word}");
        assert!(text(&answer, "detail").contains(detail), "{answer}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn all_calls_but_the_ping_need_a_good_key() {
    let bench = Bench::of(&CLIENT).await;
    for (path, code) in [(LIST, 401), ("/dream-machine/v1/credits", 401), ("/dream-machine/v1/ping", 200)] {
        let call = bench.http.get(format!("{}{path}", bench.base)).bearer_auth("invalid");
        assert_eq!(call.send().await.unwrap().status(), code, "{path}");
    }
    assert!(bench.get("/dream-machine/v1/credits").await.1["credit_balance"].is_number());
}
