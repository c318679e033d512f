use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::frame::jobs::RemoteState;
use crate::test_bench::{Bench, Client, Receiver, read, text};

/// H3 by v2; v1's calls are made in the tests below.
pub(crate) static CLIENT: Client = Client {
    provider: Provider::Minimax,
    wire: &super::Minimax,
    headers: &[("Authorization", "Bearer secret")],
    create: |bench, prompt, callback| {
        let mut body = h3(prompt);
        if let Some(callback) = callback {
            body["callback_url"] = json!(callback);
        }
        bench.call(Method::POST, V2).json(&body)
    },
    poll: |bench, job| bench.call(Method::GET, &look_2(job)),
    word: "/task/status",
    words: ["queued", "running", "succeeded"],
    video: |bench, job| {
        async move {
            let (_, body) = bench.get(&look_2(job)).await;
            body["task"]["content"]["url"].as_str().unwrap().to_owned()
        }
        .boxed()
    },
};

const V1: &str = "/v1/video_generation";
const V2: &str = "/v2/video_generation";
const IMAGE: &str = "https://example.com/a.png";

fn h3(prompt: &str) -> Value {
    json!({"model": "MiniMax-H3", "content": [{"type": "text", "text": prompt}], "duration": 6,
           "resolution": "768P", "ratio": "16:9"})
}

fn hailuo(prompt: &str) -> Value {
    json!({"model": "MiniMax-Hailuo-2.3", "prompt": prompt, "duration": 6, "resolution": "1080P"})
}

fn look_1(job: &Value) -> String {
    format!("/v1/query/video_generation?task_id={}", text(job, "task_id"))
}

fn look_2(job: &Value) -> String {
    format!("/v2/query/video_generation/{}", text(job, "task_id"))
}

/// The code in the answer of v1, which is always a 200.
async fn code_1(bench: &Bench, body: &Value) -> i64 {
    let (status, answer) = bench.post(V1, body).await;
    assert_eq!(status, 200);
    answer["base_resp"]["status_code"].as_i64().unwrap()
}

#[tokio::test]
async fn v1_returns_the_video_in_a_third_call() {
    let bench = Bench::of(&CLIENT).await;
    let (_, job) = bench.post(V1, &hailuo("a boat")).await;
    assert_eq!(job["base_resp"]["status_code"], 0);
    for (wait, status) in [(0, "Queueing"), (30, "Processing"), (30, "Success")] {
        bench.wait(wait);
        assert_eq!(bench.get(&look_1(&job)).await.1["status"], status);
    }
    let file = bench.get(&look_1(&job)).await.1["file_id"].as_str().unwrap().to_owned();
    let (_, body) = bench.get(&format!("/v1/files/retrieve?file_id={file}")).await;
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::Result);
    let video = bench.http.get(body["file"]["download_url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(video.headers()["Content-Type"], "video/mp4");
    assert_eq!(bench.get(&look_2(&job)).await.0, 500, "v2 does not know v1's jobs");
}

#[tokio::test]
async fn the_third_call_goes_wrong_as_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (play, answers) in [
        ("404", [(500, 1000), (500, 1000)]),
        ("422", [(200, 2013), (200, 2013)]),
        ("500:1", [(200, 1000), (200, 0)]),
    ] {
        let (_, job) = bench.post(V1, &hailuo(&format!("a [[sim: result={play}]]"))).await;
        bench.wait(60);
        let file = bench.get(&look_1(&job)).await.1["file_id"].as_str().unwrap().to_owned();
        for (status, code) in answers {
            let (file_status, body) = bench.get(&format!("/v1/files/retrieve?file_id={file}")).await;
            assert_eq!((file_status, &body["base_resp"]["status_code"]), (status, &json!(code)), "{play}");
        }
    }
}

#[tokio::test]
async fn a_run_fails_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code) in [("content_policy", 1027), ("internal", 1000), ("invalid", 2013), ("no_code", 0)] {
        let prompt = format!("a [[sim: fail={word}]]");
        let (_, one) = bench.post(V1, &hailuo(&prompt)).await;
        let two = bench.create(&prompt).await;
        bench.wait(60);
        let (_, body) = bench.get(&look_1(&one)).await;
        assert_eq!((&body["status"], &body["base_resp"]["status_code"]), (&json!("Fail"), &json!(code)));
        let (_, body) = bench.get(&look_2(&two)).await;
        assert_eq!(body["task"]["status"], "failed");
        assert_eq!(body["task"]["error"]["code"].as_str().unwrap_or("0"), code.to_string());
    }
}

#[tokio::test]
async fn an_unknown_job_is_an_error_of_the_server() {
    let bench = Bench::of(&CLIENT).await;
    for path in [
        "/v2/query/video_generation/1",
        "/v1/query/video_generation?task_id=1",
        "/v1/files/retrieve?file_id=1",
    ] {
        let (code, body) = bench.get(path).await;
        assert_eq!(code, 500, "{path}");
        assert!(body.to_string().contains("record not found"), "{body}");
    }
}

#[tokio::test]
async fn a_callback_counts_only_once_its_receiver_has_repeated_the_challenge() {
    let bench = Bench::of(&CLIENT).await;
    let deaf = Receiver::answering(&[500, 500]).await;
    let (code, body) = read((CLIENT.create)(&bench, "a boat", Some(&deaf.url)).send().await.unwrap()).await;
    assert_eq!(code, 400);
    assert!(text(&body["error"], "message").ends_with("(2013)"), "{body}");
    assert!(deaf.bodies()[0]["challenge"].is_string());
    let mut order = hailuo("a boat");
    order["callback_url"] = json!(deaf.url);
    assert_eq!(code_1(&bench, &order).await, 2013);
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn callbacks_report_the_start_and_the_end_in_each_versions_words() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let mut order = hailuo("a boat");
    order["callback_url"] = json!(receiver.url);
    let (_, one) = bench.post(V1, &order).await;
    let two = bench.create_with(&receiver, "a boat").await;
    for wait in [30, 30] {
        bench.wait(wait);
        bench.simulator.deliver_due().await.unwrap();
    }
    let statuses: Vec<_> = receiver.bodies().into_iter().filter(|body| body["challenge"].is_null()).collect();
    let of = |job: &Value| -> Vec<String> {
        let mine = statuses
            .iter()
            .filter(|body| body["task_id"] == job["task_id"] || body["task"]["id"] == job["task_id"]);
        mine.map(|body| body["status"].as_str().or(body["task"]["status"].as_str()).unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        (of(&one), of(&two)),
        (vec!["processing".into(), "success".into()], vec!["running".into(), "succeeded".into()])
    );
}

#[tokio::test]
async fn only_what_waits_can_be_canceled_and_what_has_ended_is_forgotten() {
    let bench = Bench::of(&CLIENT).await;
    let delete = |job: Value| {
        let path = format!("{V2}/{}", text(&job, "task_id"));
        let call = bench.call(Method::DELETE, &path);
        async move { read(call.send().await.unwrap()).await }
    };
    let waiting = bench.create("one").await;
    let (code, body) = delete(waiting.clone()).await;
    assert_eq!((code, &body["status"]), (200, &json!("cancelled")));
    assert_eq!(bench.get(&look_2(&waiting)).await.1["task"]["status"], "cancelled");
    assert_eq!(delete(waiting).await.0, 400);
    let running = bench.create("two").await;
    bench.wait(30);
    assert_eq!(delete(running.clone()).await.0, 400);
    bench.wait(30);
    assert_eq!(delete(running.clone()).await.1["status"], "deleted");
    assert_eq!(bench.get(&look_2(&running)).await.0, 500);
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Canceled);
}

#[tokio::test]
async fn bodies_that_minimax_does_not_take_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let put = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };
    let content = |items: Value| put(h3("a"), "content", items);
    let words = json!({"type": "text", "text": "a"});
    let first = json!({"type": "image_url", "image_url": {"url": IMAGE}, "role": "first_frame"});
    for body in [
        put(h3("a"), "model", json!("MiniMax-Hailuo-2.3")),
        put(h3("a"), "duration", json!("6")),
        put(h3("a"), "duration", json!(4)),
        put(h3("a"), "duration", json!(16)),
        put(h3("a"), "resolution", json!("768p")),
        put(h3("a"), "resolution", json!("1080P")),
        put(h3("a"), "ratio", json!("9:21")),
        put(h3("a"), "ratio", json!("adaptive")),
        put(h3("a"), "prompt", json!("a")),
        content(json!([])),
        content(json!([first])),
        content(json!([words, words])),
        content(json!([words, first, first])),
        content(json!([words, {"type": "image_url", "image_url": IMAGE}])),
        h3("a [[sim: fail=badly]]"),
    ] {
        let (code, answer) = bench.post(V2, &body).await;
        assert_eq!((code, &answer["error"]["type"]), (400, &json!("bad_request_error")), "{body}");
    }
    for body in [
        put(hailuo("a"), "model", json!("MiniMax-H3")),
        put(hailuo("a"), "prompt", json!("x".repeat(2_001))),
        put(hailuo("a"), "duration", json!(7)),
        put(hailuo("a"), "duration", json!(10)),
        put(hailuo("a"), "resolution", json!("512P")),
        put(hailuo("a"), "last_frame_image", json!(IMAGE)),
        put(hailuo("a"), "seed", json!(1)),
    ] {
        assert_eq!(code_1(&bench, &body).await, 2013, "{body}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    let both = json!({"type": "image_url", "image_url": {"url": IMAGE}, "role": "last_frame"});
    let framed = put(content(json!([words, first, both])), "ratio", json!("adaptive"));
    assert_eq!(bench.post(V2, &framed).await.0, 200);
    let framed = json!({"model": "MiniMax-Hailuo-02", "prompt": "a", "duration": 10, "resolution": "512P",
                        "first_frame_image": IMAGE, "last_frame_image": IMAGE});
    assert_eq!(code_1(&bench, &framed).await, 0);
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, status, code) in [
        ("401", 401, 1004),
        ("403-balance", 402, 1008),
        ("422", 400, 2013),
        ("429", 429, 1002),
        ("500", 500, 1000),
        ("503", 503, 1033),
        ("policy", 422, 1026),
    ] {
        let prompt = format!("a [[sim: create=refuse:{word}, retry_after=7]]");
        let (got, answer) = read((CLIENT.create)(&bench, &prompt, None).send().await.unwrap()).await;
        assert_eq!(got, status, "{word}");
        assert!(text(&answer["error"], "message").ends_with(&format!("({code})")), "{answer}");
        let response = bench.call(Method::POST, V1).json(&hailuo(&prompt)).send().await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["retry-after"]),
            (StatusCode::OK, &"7".parse().unwrap())
        );
        assert_eq!(read(response).await.1["base_resp"]["status_code"], code);
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_key_is_a_status_in_v2_and_a_200_with_an_error_in_v1() {
    let bench = Bench::of(&CLIENT).await;
    let call = |path: &str| bench.http.get(format!("{}{path}", bench.base)).bearer_auth("invalid").send();
    let (code, body) = read(call("/v2/query/video_generation").await.unwrap()).await;
    assert_eq!((code, &body["error"]["type"]), (401, &json!("authorized_error")));
    let (code, body) = read(call("/v1/query/video_generation?task_id=1").await.unwrap()).await;
    assert_eq!((code, &body["base_resp"]["status_code"]), (200, &json!(1004)));
}

#[tokio::test]
async fn the_list_is_the_ping_and_shows_v2s_jobs_newest_first() {
    let bench = Bench::of(&CLIENT).await;
    bench.create("one").await;
    let second = bench.create("two").await;
    bench.post(V1, &hailuo("three")).await;
    let (_, body) = bench.get("/v2/query/video_generation?page_num=1&page_size=1").await;
    assert_eq!((&body["total"], &body["items"][0]["id"]), (&json!(2), &second["task_id"]));
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::Ping);
}
