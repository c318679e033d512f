use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::test_bench::{Bench, Client, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Xai,
    wire: &super::Xai,
    headers: &[("Authorization", "Bearer secret")],
    create: make,
    poll: |bench, job| bench.call(Method::GET, &format!("/v1/videos/{}", text(job, "request_id"))),
    word: "/status",
    words: ["pending", "pending", "done"],
    video: |bench, job| {
        async move { look(bench, job).await.1["video"]["url"].as_str().unwrap().to_owned() }.boxed()
    },
};

fn make(bench: &Bench, prompt: &str, _callback: Option<&str>) -> RequestBuilder {
    bench.call(Method::POST, "/v1/videos/generations").json(&classic(prompt))
}

fn classic(prompt: &str) -> Value {
    json!({"model": "grok-imagine-video", "prompt": prompt, "duration": 6, "resolution": "720p"})
}

async fn look(bench: &Bench, job: &Value) -> (u16, Value) {
    bench.get(&format!("/v1/videos/{}", text(job, "request_id"))).await
}

async fn post(bench: &Bench, body: &Value) -> (u16, Value) {
    bench.post("/v1/videos/generations", body).await
}

#[tokio::test]
async fn a_job_is_pending_with_its_progress_and_then_done_with_its_cost() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a paper boat").await;
    assert_eq!(look(&bench, &job).await, (202, json!({"status": "pending", "progress": 0})));
    bench.wait(30);
    assert_eq!(look(&bench, &job).await, (202, json!({"status": "pending", "progress": 49})));
    bench.wait(30);
    let (code, body) = look(&bench, &job).await;
    assert_eq!((code, &body["status"], &body["progress"]), (200, &json!("done"), &json!(100)));
    assert_eq!(body["usage"], json!({"cost_in_usd_ticks": 4_200_000_000_u64}));
    assert_eq!((&body["video"]["duration"], &body["video"]["respect_moderation"]), (&json!(6), &json!(true)));
    let video = bench.http.get(text(&body["video"], "url")).send().await.unwrap();
    assert_eq!(video.headers()["Content-Type"], "video/mp4");
}

#[tokio::test]
async fn what_is_not_over_may_be_answered_by_a_status_alone() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a [[sim: xai=bare]]").await;
    let path = format!("/v1/videos/{}", text(&job, "request_id"));
    let response = bench.call(Method::GET, &path).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap()), (202, String::new()));
    bench.wait(60);
    assert_eq!(look(&bench, &job).await.1["status"], "done");
}

#[tokio::test]
async fn a_run_fails_in_each_way_that_the_prompt_orders_and_only_moderation_is_billed() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code, ticks) in [
        ("content_policy", json!("invalid_argument"), 4_200_000_000_u64),
        ("internal", json!("internal_error"), 0),
        ("internal-billed", json!("internal_error"), 4_200_000_000),
        ("invalid", json!("invalid_argument"), 0),
        ("no_code", Value::Null, 0),
    ] {
        let job = bench.create(&format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let (status, body) = look(&bench, &job).await;
        assert_eq!(
            (status, &body["status"], &body["error"]["code"]),
            (200, &json!("failed"), &code),
            "{word}"
        );
        assert_eq!(body["usage"]["cost_in_usd_ticks"], ticks, "{word}");
        let bills = bench.simulator.remote_jobs().unwrap().pop().unwrap().bills;
        assert_eq!(bills, ticks > 0, "{word}");
    }
}

#[tokio::test]
async fn a_blocked_video_is_answered_in_three_ways_and_an_old_one_in_a_fourth() {
    let bench = Bench::of(&CLIENT).await;
    let blocked = async |play: &str| {
        let job = bench.create(&format!("a [[sim: {play}]]")).await;
        bench.wait(60);
        look(&bench, &job).await
    };
    let (code, body) = blocked("fail=content_policy, xai=done").await;
    assert_eq!((code, &body["status"], &body["video"]["url"]), (200, &json!("done"), &json!("")));
    assert_eq!(body["video"]["respect_moderation"], false);
    let (code, body) = blocked("fail=content_policy, xai=error").await;
    assert_eq!((code, &body["usage"]["cost_in_usd_ticks"]), (400, &json!(4_200_000_000_u64)));
    assert!(text(&body, "error").contains("moderation"));
    assert_eq!(blocked("xai=expired").await, (200, json!({"status": "expired"})));
}

#[tokio::test]
async fn a_call_needs_a_key_and_a_wrong_one_is_a_bad_request() {
    let bench = Bench::of(&CLIENT).await;
    for (method, path) in [
        (Method::POST, "/v1/videos/generations"),
        (Method::GET, "/v1/videos/1"),
        (Method::GET, "/v1/api-key"),
        (Method::GET, "/v1/video-generation-models"),
    ] {
        let call = || bench.http.request(method.clone(), format!("{}{path}", bench.base)).json(&classic("a"));
        let (code, body) = read(call().send().await.unwrap()).await;
        assert_eq!((code, &body["code"]), (401, &json!("unauthenticated")), "{path}");
        let (code, body) = read(call().bearer_auth("invalid").send().await.unwrap()).await;
        assert_eq!(code, 400, "{path}");
        assert!(text(&body, "error").starts_with("Incorrect API key provided"));
    }
    let (code, key) = bench.get("/v1/api-key").await;
    assert_eq!((code, &key["team_blocked"], &key["api_key_disabled"]), (200, &json!(false), &json!(false)));
    let (_, models) = bench.get("/v1/video-generation-models").await;
    assert_eq!(models["models"].as_array().unwrap().len(), 3);
    for (method, path, code) in [
        (Method::DELETE, "/v1/videos/1", 405),
        (Method::GET, "/v1/videos/generations", 405),
        (Method::GET, "/v1/videos/1", 404),
        (Method::GET, "/v1/videos", 404),
    ] {
        assert_eq!(bench.call(method, path).send().await.unwrap().status(), code, "{path}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

/// The order with one field changed.
fn with(field: &str, value: Value) -> Value {
    let mut body = classic("a");
    body[field] = value;
    body
}

#[tokio::test]
async fn a_body_is_rejected_in_plain_text_at_once_or_when_the_job_has_failed() {
    let bench = Bench::of(&CLIENT).await;
    let path = "/v1/videos/generations";
    for body in [
        json!([]),
        with("duration", json!(1.5)),
        with("aspect_ratio", json!("16x9")),
        with("resolution", json!("4k")),
        with("image", json!("https://images.example/a.png")),
        with("fps", json!(24)),
    ] {
        let response = bench.call(Method::POST, path).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 422, "{body}");
        assert!(response.text().await.unwrap().starts_with("Failed to deserialize the JSON body"), "{body}");
    }
    let image = json!({"url": "https://images.example/a.png"});
    for (body, code) in [
        (with("duration", json!(16)), 400),
        (with("duration", json!("0")), 400),
        (with("image", json!({})), 400),
        (with("last_frame", image.clone()), 400),
        (with("model", json!("grok-9")), 404),
    ] {
        let (status, answer) = post(&bench, &body).await;
        assert_eq!(status, code, "{body}");
        assert!(answer["code"].is_string() && answer["error"].is_string(), "{answer}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    let fine = json!({"model": "grok-imagine-video-1.5", "image": image, "last_frame": image,
                      "resolution": "1080p"});
    for (body, code) in [
        (with("prompt", json!("")), "invalid_argument"),
        (with("resolution", json!("1080p")), "failed_precondition"),
        (fine, "failed_precondition"),
    ] {
        let (_, job) = post(&bench, &body).await;
        bench.wait(60);
        assert_eq!(look(&bench, &job).await.1["error"]["code"], code, "{body}");
    }
}

#[tokio::test]
async fn every_model_takes_a_full_body_at_its_price() {
    let bench = Bench::of(&CLIENT).await;
    let image = json!({"url": "https://images.example/a.png"});
    for (body, cents) in [
        (json!({"prompt": "a"}), 40.0),
        (json!({"model": "grok-imagine-video", "prompt": "a", "seconds": "1", "image": image}), 5.2),
        (
            json!({"model": "grok-imagine-video-1.5", "prompt": "a", "duration": 15, "resolution": "1080p",
                "aspect_ratio": "9:16", "generate_audio": false, "user": null}),
            375.0,
        ),
        (
            json!({"model": "grok-imagine-video-1.5-preview", "image": image, "last_frame": image,
                "duration": 2}),
            18.0,
        ),
        (
            json!({"model": "grok-imagine-video-1.5-lite", "prompt": "a", "image": image, "duration": 4,
                "resolution": "720p"}),
            13.0,
        ),
    ] {
        let (code, job) = post(&bench, &body).await;
        assert_eq!(code, 200, "{body} {job}");
        bench.wait(60);
        let (_, answer) = look(&bench, &job).await;
        assert_eq!(answer["usage"]["cost_in_usd_ticks"], (cents * 100_000_000.0) as u64, "{body}");
    }
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code, says) in [
        ("401", 400, "Incorrect API key"),
        ("403-balance", 403, "spending limit"),
        ("422", 422, "missing field"),
        ("429", 429, "Too many requests"),
        ("500", 500, "unavailable"),
        ("503", 503, "capacity"),
        ("policy", 403, "usage guidelines"),
    ] {
        let body = classic(&format!("a [[sim: create=refuse:{word}, retry_after=7]]"));
        let response = bench.call(Method::POST, "/v1/videos/generations").json(&body).send().await.unwrap();
        assert_eq!(response.status(), code, "{word}");
        assert_eq!(response.headers()["Retry-After"], "7", "{word}");
        assert!(response.text().await.unwrap().contains(says), "{word}");
    }
    let (code, answer) = post(&bench, &classic("a [[sim: fail=badly]]")).await;
    assert_eq!((code, &answer["error"]), (400, &json!("unknown directive fail=badly")));
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}
