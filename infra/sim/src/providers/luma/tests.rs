use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::test_bench::{Bench, Client, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Luma,
    wire: &super::Luma,
    headers: &[("Authorization", "Bearer secret")],
    create: |bench, prompt, _| bench.call(Method::POST, "/v1/generations").json(&video_order(prompt)),
    poll: |bench, job| bench.call(Method::GET, &address(job)),
    word: "/state",
    words: ["queued", "processing", "completed"],
    video: |bench, job| {
        async move { look(bench, job).await.1["output"][0]["url"].as_str().unwrap().to_owned() }.boxed()
    },
};

fn video_order(prompt: &str) -> Value {
    json!({"prompt": prompt, "model": "ray-3.2", "type": "video", "aspect_ratio": "16:9",
           "video": {"duration": "5s", "resolution": "720p"}})
}

fn image_order(prompt: &str) -> Value {
    json!({"prompt": prompt, "model": "uni-1", "type": "image", "aspect_ratio": "3:1", "output_format": "png"})
}

fn address(job: &Value) -> String {
    format!("/v1/generations/{}", text(job, "id"))
}

async fn look(bench: &Bench, job: &Value) -> (u16, Value) {
    bench.get(&address(job)).await
}

#[tokio::test]
async fn a_video_and_an_image_are_made_at_one_endpoint() {
    let bench = Bench::of(&CLIENT).await;
    for (order, mime) in [(video_order("a boat"), "video/mp4"), (image_order("a boat"), "image/png")] {
        let (code, job) = bench.post("/v1/generations", &order).await;
        assert_eq!((code, &job["state"], &job["output"]), (200, &json!("queued"), &json!([])));
        bench.wait(30);
        assert_eq!(look(&bench, &job).await.1["state"], "processing");
        bench.wait(30);
        let (_, body) = look(&bench, &job).await;
        assert_eq!((&body["state"], &body["type"]), (&json!("completed"), &order["type"]));
        let medium = bench.http.get(body["output"][0]["url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(medium.headers()["Content-Type"], mime);
    }
    assert_eq!(bench.get("/v1/generations/none").await.0, 404);
}

#[tokio::test]
async fn a_run_fails_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code) in [
        ("content_policy", json!("content_moderated")),
        ("internal", json!("generation_failed")),
        ("invalid", json!("invalid_request")),
        ("no_code", Value::Null),
    ] {
        let job = bench.create(&format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let (_, body) = look(&bench, &job).await;
        assert_eq!((&body["state"], &body["failure_code"]), (&json!("failed"), &code), "{word}");
    }
}

#[tokio::test]
async fn an_expired_address_is_renewed_by_the_next_poll() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a [[sim: asset=expired:3600]]").await;
    bench.wait(60);
    let first = (CLIENT.video)(&bench, &job).await;
    bench.wait(3_600);
    assert_eq!(bench.http.get(first).send().await.unwrap().status(), 403);
    let second = (CLIENT.video)(&bench, &job).await;
    assert_eq!(bench.http.get(second).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn bodies_that_luma_does_not_take_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let frame = json!({"url": "https://example.com/a.png"});
    let with = |video: Value| {
        let mut body = video_order("a");
        body["video"] = video;
        body
    };
    let put = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };
    for (body, words) in [
        (put(video_order("a"), "prompt", json!("")), "prompt"),
        (put(video_order("a"), "model", json!("ray-2")), "model"),
        (put(video_order("a"), "aspect_ratio", json!("3:1")), "aspect_ratio"),
        (put(video_order("a"), "seed", json!(7)), "seed: Unknown"),
        (put(video_order("a"), "callback_url", json!("https://example.com")), "callback_url: Unknown"),
        (with(json!({"duration": 5})), "duration"),
        (with(json!({"duration": "9s"})), "duration"),
        (with(json!({"resolution": "4k"})), "resolution"),
        (with(json!({"duration": "10s", "start_frame": frame})), "need a duration of 5s"),
        (with(json!({"duration": "10s", "loop": true})), "loop"),
        (with(json!({"start_frame": {"url": "https://a", "file_id": "b"}})), "exactly one"),
        (with(json!({"start_frame": frame, "keyframes": [frame], "keyframe_indexes": [0]})), "exclude"),
        (with(json!({"keyframes": [frame], "keyframe_indexes": []})), "must match"),
        (with(json!({"keyframes": [frame], "keyframe_indexes": [121]})), "within the video"),
        (put(image_order("a"), "model", json!("ray-3.2")), "model"),
        (put(image_order("a"), "output_format", json!("webp")), "output_format"),
        (video_order("a [[sim: fail=badly]]"), "unknown directive fail=badly"),
    ] {
        let (code, answer) = bench.post("/v1/generations", &body).await;
        assert_eq!(code, 422, "{body}");
        assert!(answer["detail"].to_string().contains(words), "{body}: {answer}");
    }
    for video in [
        json!({"duration": "5s", "resolution": "360p", "start_frame": frame, "end_frame": frame}),
        json!({"duration": "10s", "keyframes": [frame, frame], "keyframe_indexes": [0, 240]}),
        json!({"loop": true, "start_frame": {"generation_id": "a"}}),
    ] {
        assert_eq!(bench.post("/v1/generations", &with(video)).await.0, 200);
    }
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code) in [
        ("401", 401),
        ("403-balance", 402),
        ("422", 422),
        ("429", 429),
        ("500", 500),
        ("503", 503),
        ("policy", 400),
    ] {
        let prompt = format!("a [[sim: create=refuse:{word}, retry_after=7]]");
        let response = (CLIENT.create)(&bench, &prompt, None).send().await.unwrap();
        assert_eq!(response.headers()["Retry-After"], "7", "{word}");
        let (status, answer) = read(response).await;
        assert_eq!(status, code, "{word}");
        assert_eq!(answer["detail"]["code"] == "content_moderated", word == "policy");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn calls_without_a_good_key_are_refused_and_the_files_are_the_ping() {
    let bench = Bench::of(&CLIENT).await;
    for (method, path) in
        [(Method::POST, "/v1/generations"), (Method::GET, "/v1/generations/1"), (Method::GET, "/v1/files")]
    {
        let call = bench.http.request(method, format!("{}{path}", bench.base)).bearer_auth("invalid");
        assert_eq!(call.json(&video_order("a")).send().await.unwrap().status(), 401, "{path}");
    }
    let response = bench.call(Method::GET, "/v1/files?limit=1").send().await.unwrap();
    assert_eq!(response.headers()["X-API-Version"], "2026-04-01");
    assert_eq!(read(response).await.1["data"], json!([]));
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::Ping);
    assert_eq!(bench.get("/v1/credits").await.0, 404);
}
