use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::frame::jobs::RemoteState;
use crate::test_bench::{Bench, Client, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Runway,
    wire: &super::Runway,
    headers: &[("Authorization", "Bearer secret"), ("X-Runway-Version", "2024-11-06")],
    create: make,
    poll: |bench, job| bench.call(Method::GET, &format!("/v1/tasks/{}", text(job, "id"))),
    word: "/status",
    words: ["PENDING", "RUNNING", "SUCCEEDED"],
    video: |bench, job| {
        async move { look(bench, job).await.1["output"][0].as_str().unwrap().to_owned() }.boxed()
    },
};

fn make(bench: &Bench, prompt: &str, _callback: Option<&str>) -> RequestBuilder {
    bench.call(Method::POST, "/v1/text_to_video").json(&gen45(prompt))
}

fn gen45(prompt: &str) -> Value {
    json!({"model": "gen4.5", "promptText": prompt, "ratio": "1280:720", "duration": 4})
}

const IMAGE: &str = "https://example.com/a.png";

async fn look(bench: &Bench, job: &Value) -> (u16, Value) {
    bench.get(&format!("/v1/tasks/{}", text(job, "id"))).await
}

async fn delete(bench: &Bench, job: &Value) -> u16 {
    let path = format!("/v1/tasks/{}", text(job, "id"));
    bench.call(Method::DELETE, &path).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_job_waits_runs_with_progress_and_gives_its_video_and_cost() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a paper boat").await;
    assert_eq!(job["estimatedCost"], json!({"credits": 48}));
    let (code, body) = look(&bench, &job).await;
    assert_eq!(
        (code, &body["status"], &body["createdAt"]),
        (200, &json!("PENDING"), &json!("2023-11-14T22:13:20.000Z"))
    );
    bench.wait(30);
    let (_, body) = look(&bench, &job).await;
    assert_eq!((&body["status"], &body["progress"]), (&json!("RUNNING"), &json!(0.5)));
    bench.wait(30);
    let (_, body) = look(&bench, &job).await;
    assert_eq!((&body["status"], &body["cost"]), (&json!("SUCCEEDED"), &json!({"credits": 48})));
    let video = bench.http.get(body["output"][0].as_str().unwrap()).send().await.unwrap();
    assert_eq!(
        (video.status().as_u16(), &video.headers()["Content-Type"]),
        (200, &"video/mp4".parse().unwrap())
    );
}

#[tokio::test]
async fn a_throttled_job_waits_before_its_run() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a [[sim: throttled=300]]").await;
    for (wait, status) in [(299, "THROTTLED"), (1, "PENDING"), (30, "RUNNING"), (30, "SUCCEEDED")] {
        bench.wait(wait);
        assert_eq!(look(&bench, &job).await.1["status"], status);
    }
}

#[tokio::test]
async fn a_run_fails_in_each_way_that_the_prompt_orders_and_costs_nothing() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code) in [
        ("content_policy", json!("SAFETY.INPUT.TEXT")),
        ("internal", json!("INTERNAL.BAD_OUTPUT.CODE01")),
        ("invalid", json!("ASSET.INVALID")),
        ("no_code", Value::Null),
    ] {
        let job = bench.create(&format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let (_, body) = look(&bench, &job).await;
        assert_eq!((&body["status"], &body["failureCode"]), (&json!("FAILED"), &code), "{word}");
        assert_eq!(body["cost"], json!({"credits": 0}));
        assert!(body["failure"].is_string());
    }
}

#[tokio::test]
async fn a_running_job_is_canceled_and_a_finished_one_is_removed_with_its_video() {
    let bench = Bench::of(&CLIENT).await;
    let running = bench.create("one").await;
    let stubborn = bench.create("two [[sim: cancel=ignored]]").await;
    let finished = bench.create("three [[sim: latency=1]]").await;
    bench.wait(10);
    let video = look(&bench, &finished).await.1["output"][0].as_str().unwrap().to_owned();
    for job in [&running, &stubborn, &finished] {
        assert_eq!(delete(&bench, job).await, 204);
    }
    let (code, body) = look(&bench, &running).await;
    assert_eq!((code, &body["status"], &body["cost"]), (200, &json!("CANCELLED"), &json!({"credits": 0})));
    assert_eq!(look(&bench, &finished).await.0, 404);
    assert_eq!(delete(&bench, &finished).await, 404);
    assert_eq!(bench.http.get(video).send().await.unwrap().status(), 404);
    bench.wait(60);
    assert_eq!(look(&bench, &stubborn).await.1["status"], "SUCCEEDED");
    assert_eq!(look(&bench, &running).await.1["status"], "CANCELLED");
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Canceled);
}

#[tokio::test]
async fn calls_without_a_good_key_or_version_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    for (method, path) in [
        (Method::POST, "/v1/text_to_video"),
        (Method::GET, "/v1/tasks/1"),
        (Method::DELETE, "/v1/tasks/1"),
        (Method::GET, "/v1/organization"),
    ] {
        for (key, version, code) in [
            ("Bearer invalid", "2024-11-06", 401),
            ("Key secret", "2024-11-06", 401),
            ("Bearer secret", "2023-01-01", 400),
        ] {
            let call = bench.http.request(method.clone(), format!("{}{path}", bench.base));
            let call = call.header("Authorization", key).header("X-Runway-Version", version);
            let (status, body) = read(call.json(&gen45("a")).send().await.unwrap()).await;
            assert_eq!(status, code, "{path} {key} {version}");
            assert!(body["error"].is_string());
        }
        let call = bench.http.request(method, format!("{}{path}", bench.base)).bearer_auth("secret");
        assert_eq!(call.json(&gen45("a")).send().await.unwrap().status(), 400, "{path} without a version");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

/// `good` with one field changed, or removed by null.
fn with(good: &Value, field: &str, value: Value) -> Value {
    let mut body = good.clone();
    match value {
        Value::Null => drop(body.as_object_mut().unwrap().remove(field)),
        value => body[field] = value,
    }
    body
}

#[tokio::test]
async fn bodies_that_the_model_does_not_take_are_refused_by_field() {
    let bench = Bench::of(&CLIENT).await;
    let gen45 = gen45("a");
    let veo = json!({"model": "veo3.1", "promptText": "a", "ratio": "1920:1080"});
    let turbo = json!({"model": "gen4_turbo", "promptImage": IMAGE, "ratio": "1104:832"});
    let emoji = "🚤".repeat(501);
    for (path, body, code, field) in [
        ("text", with(&gen45, "promptText", Value::Null), "invalid_type", "promptText"),
        ("text", with(&gen45, "promptText", json!("")), "too_small", "promptText"),
        ("text", with(&gen45, "promptText", json!(emoji)), "too_big", "promptText"),
        ("text", with(&gen45, "duration", Value::Null), "invalid_type", "duration"),
        ("text", with(&gen45, "duration", json!("4")), "invalid_type", "duration"),
        ("text", with(&gen45, "duration", json!(1)), "too_small", "duration"),
        ("text", with(&gen45, "duration", json!(11)), "too_big", "duration"),
        ("text", with(&gen45, "ratio", json!("16:9")), "invalid_value", "ratio"),
        ("text", with(&gen45, "ratio", json!("960:960")), "invalid_value", "ratio"),
        ("text", with(&gen45, "seed", json!(-1)), "too_small", "seed"),
        ("text", with(&gen45, "seed", json!(4_294_967_296_i64)), "too_big", "seed"),
        ("text", with(&veo, "duration", json!(5)), "invalid_value", "duration"),
        ("text", with(&veo, "audio", json!(1)), "invalid_type", "audio"),
        ("image", with(&turbo, "promptImage", Value::Null), "invalid_type", "promptImage"),
        ("image", with(&turbo, "promptImage", json!("cat")), "invalid_string", "promptImage"),
        (
            "image",
            with(&turbo, "promptImage", json!([{"uri": IMAGE, "position": "last"}])),
            "invalid_value",
            "promptImage",
        ),
        (
            "image",
            with(&veo, "promptImage", json!([{"uri": IMAGE, "position": "last"}])),
            "invalid_value",
            "promptImage",
        ),
    ] {
        let (status, answer) = bench.post(&format!("/v1/{path}_to_video"), &body).await;
        assert_eq!(status, 400, "{body}");
        let issue = &answer["issues"][0];
        assert_eq!((&issue["code"], &issue["path"]), (&json!(code), &json!([field])), "{body}");
    }
    let (_, answer) = bench.post("/v1/text_to_video", &with(&gen45, "fps", json!(24))).await;
    assert_eq!(answer["issues"][0]["keys"], json!(["fps"]));
    for body in [json!({"model": "gen9"}), turbo] {
        let (_, answer) = bench.post("/v1/text_to_video", &body).await;
        assert_eq!(answer["issues"][0]["path"], json!(["model"]));
    }
    assert_eq!(bench.get("/v1/text_to_video").await.0, 405);
    assert_eq!(bench.get("/v1/nothing").await.0, 404);
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn every_known_model_takes_a_full_body_at_its_price() {
    let bench = Bench::of(&CLIENT).await;
    let frames = json!([{"uri": IMAGE, "position": "first"}, {"uri": IMAGE, "position": "last"}]);
    for (path, body, credits) in [
        (
            "text",
            json!({"model": "gen4.5", "promptText": "🚤".repeat(500), "ratio": "720:1280", "duration": 10, "seed": 0, "contentModeration": {"publicFigureThreshold": "low"}}),
            120,
        ),
        (
            "image",
            json!({"model": "gen4.5", "promptText": "a", "promptImage": IMAGE, "ratio": "960:960", "duration": 2}),
            24,
        ),
        (
            "image",
            json!({"model": "gen4_turbo", "promptImage": [{"uri": IMAGE, "position": "first"}], "ratio": "1584:672", "duration": 5}),
            25,
        ),
        (
            "text",
            json!({"model": "veo3.1", "promptText": "a", "ratio": "1080:1920", "duration": 4, "negativePrompt": "b"}),
            160,
        ),
        ("text", json!({"model": "veo3.1", "promptText": "a", "ratio": "1280:720", "audio": false}), 160),
        (
            "image",
            json!({"model": "veo3.1_fast", "promptImage": frames, "ratio": "1280:720", "duration": 6}),
            90,
        ),
    ] {
        let (code, answer) = bench.post(&format!("/v1/{path}_to_video"), &body).await;
        assert_eq!((code, &answer["estimatedCost"]["credits"]), (200, &json!(credits)), "{body} {answer}");
    }
    let (code, organization) = bench.get("/v1/organization").await;
    assert_eq!(code, 200);
    assert!(
        organization["creditBalance"].is_number() && organization["tier"]["models"]["gen4.5"].is_object()
    );
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code) in [
        ("401", 401),
        ("403-balance", 400),
        ("422", 400),
        ("429", 429),
        ("500", 500),
        ("503", 503),
        ("policy", 400),
    ] {
        let body = gen45(&format!("a [[sim: create=refuse:{word}, retry_after=7]]"));
        let response = bench.call(Method::POST, "/v1/text_to_video").json(&body).send().await.unwrap();
        assert_eq!(response.headers()["Retry-After"], "7", "{word}");
        let (status, answer) = read(response).await;
        assert_eq!(status, code, "{word}");
        assert_eq!(answer["issues"].is_array(), word == "422");
        assert_eq!(text(&answer, "error").contains("enough credits"), word == "403-balance");
    }
    let (code, answer) = bench.post("/v1/text_to_video", &gen45("a [[sim: fail=badly]]")).await;
    assert_eq!((code, &answer["issues"][0]["message"]), (400, &json!("unknown directive fail=badly")));
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    bench.create("a [[sim: only=fal, create=refuse:503, webhook=lost, result=404]]").await;
}
