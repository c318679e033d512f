use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::frame::jobs::RemoteState;
use crate::test_bench::{Bench, Client, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Openai,
    wire: &super::Openai,
    headers: &[("Authorization", "Bearer secret")],
    create: make,
    poll: |bench, job| bench.call(Method::GET, &format!("/v1/videos/{}", text(job, "id"))),
    word: "/status",
    words: ["queued", "in_progress", "completed"],
    video: |bench, job| {
        async move { format!("{}/v1/videos/{}/content", bench.base, text(job, "id")) }.boxed()
    },
};

fn make(bench: &Bench, prompt: &str, _callback: Option<&str>) -> RequestBuilder {
    bench.call(Method::POST, "/v1/videos").json(&json!({"prompt": prompt, "seconds": "8"}))
}

async fn look(bench: &Bench, job: &Value) -> Value {
    bench.get(&format!("/v1/videos/{}", text(job, "id"))).await.1
}

#[tokio::test]
async fn a_video_waits_runs_and_gives_its_content_to_the_key_alone() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a paper boat").await;
    assert_eq!((text(&job, "object"), text(&job, "status"), text(&job, "seconds")), ("video", "queued", "8"));
    bench.wait(30);
    let running = look(&bench, &job).await;
    assert_eq!((text(&running, "status"), &running["progress"]), ("in_progress", &json!(50)));
    let video = (CLIENT.video)(&bench, &job).await;
    assert_eq!(bench.call(Method::GET, &video).send().await.unwrap().status(), 404);
    bench.wait(30);
    let done = look(&bench, &job).await;
    assert_eq!((text(&done, "status"), &done["completed_at"]), ("completed", &json!(1_700_000_060)));
    assert!(!done.to_string().contains("http"), "where the content is, is not said");
    assert_eq!(bench.http.get(&video).send().await.unwrap().status(), 401);
    let content = bench.call(Method::GET, &video).send().await.unwrap();
    assert_eq!(content.headers()["Content-Type"], "video/mp4");
}

#[tokio::test]
async fn a_video_fails_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code) in [
        ("content_policy", json!("moderation_blocked")),
        ("internal", json!("internal_error")),
        ("invalid", json!("invalid_input_reference")),
        ("no_code", Value::Null),
    ] {
        let job = bench.create(&format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let failed = look(&bench, &job).await;
        assert_eq!((text(&failed, "status"), &failed["error"]["code"]), ("failed", &code));
    }
}

#[tokio::test]
async fn a_form_is_taken_like_json() {
    let bench = Bench::of(&CLIENT).await;
    let form = reqwest::multipart::Form::new()
        .text("prompt", "a boat\r\nat \"sea\"")
        .text("model", "Wan-AI/Wan2.2-I2V-A14B-Diffusers")
        .text("seconds", "4")
        .text("size", "1280x720")
        .text("image_reference", r#"{"image_url":"https://example.com/a.png"}"#);
    let (code, job) =
        read(bench.call(Method::POST, "/v1/videos").multipart(form).send().await.unwrap()).await;
    assert_eq!((code, &job["size"]), (200, &json!("1280x720")), "{job}");
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].prompt, "a boat\r\nat \"sea\"");
    let form = reqwest::multipart::Form::new().text("prompt", "a").text("fps", "24");
    let (code, answer) =
        read(bench.call(Method::POST, "/v1/videos").multipart(form).send().await.unwrap()).await;
    assert_eq!((code, &answer["error"]["param"]), (400, &json!("fps")));
}

#[tokio::test]
async fn bodies_outside_the_shape_are_refused_by_field() {
    let bench = Bench::of(&CLIENT).await;
    for (body, field) in [
        (json!({"seconds": "4"}), "prompt"),
        (json!({"prompt": "a", "seconds": 4}), "seconds"),
        (json!({"prompt": "a", "seconds": "5"}), "seconds"),
        (json!({"prompt": "a", "size": "16:9"}), "size"),
        (json!({"prompt": "a", "size": "1920x1080"}), "size"),
        (json!({"prompt": "a", "model": "sora-2"}), "model"),
        (json!({"prompt": "a", "seed": 7}), "seed"),
        (json!({"prompt": "a", "input_reference": "https://example.com/a.png"}), "input_reference"),
        (json!({"prompt": "a", "input_reference": {"url": "https://example.com/a.png"}}), "input_reference"),
        (json!({"prompt": "a [[sim: fail=badly]]"}), "prompt"),
    ] {
        let (status, answer) = bench.post("/v1/videos", &body).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(field)), "{body}");
    }
    let (status, _) = read(bench.call(Method::POST, "/v1/videos").body("x").send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, status, code) in [
        ("401", 401, "invalid_api_key"),
        ("403-balance", 429, "insufficient_quota"),
        ("422", 400, "invalid_value"),
        ("429", 429, "rate_limit_exceeded"),
        ("500", 500, "server_error"),
        ("503", 503, "overloaded"),
        ("policy", 400, "moderation_blocked"),
    ] {
        let call = make(&bench, &format!("a [[sim: create=refuse:{word}]]"), None);
        let (got, answer) = read(call.send().await.unwrap()).await;
        assert_eq!((got, text(&answer["error"], "code")), (status, code), "{word}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn every_call_wants_the_key_and_a_deleted_video_is_gone() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a boat").await;
    let path = format!("/v1/videos/{}", text(&job, "id"));
    for (method, path) in [
        (Method::POST, "/v1/videos"),
        (Method::GET, path.as_str()),
        (Method::DELETE, path.as_str()),
        (Method::GET, "/v1/models"),
    ] {
        let call = bench.http.request(method, format!("{}{path}", bench.base)).bearer_auth("invalid");
        assert_eq!(call.send().await.unwrap().status(), 401, "{path}");
    }
    assert!(bench.get("/v1/models").await.1["data"].is_array());
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Queued);
    let deleted = read(bench.call(Method::DELETE, &path).send().await.unwrap()).await;
    assert_eq!((deleted.0, &deleted.1["deleted"]), (200, &json!(true)));
    assert_eq!(bench.get(&path).await.0, 404);
    assert_eq!(bench.get("/v1/nothing").await.0, 404);
    let kinds: Vec<_> = bench.simulator.calls().iter().map(|call| call.kind).collect();
    assert_eq!(kinds[1..5], [CallKind::Create, CallKind::Poll, CallKind::Other, CallKind::Ping]);
}
