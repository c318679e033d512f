use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::frame::jobs::RemoteState;
use crate::test_bench::{Bench, Client, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Dashscope,
    wire: &super::Dashscope,
    headers: &[("Authorization", "Bearer secret"), ("X-DashScope-Async", "enable")],
    create: |bench, prompt, _| bench.call(Method::POST, super::CREATE).json(&order(prompt)),
    poll: |bench, job| bench.call(Method::GET, &path(job)),
    word: "/output/task_status",
    words: ["PENDING", "RUNNING", "SUCCEEDED"],
    video: |bench, job| {
        async move {
            let (_, body) = bench.get(&path(job)).await;
            body["output"]["video_url"].as_str().unwrap().to_owned()
        }
        .boxed()
    },
};

const IMAGE: &str = "https://example.com/a.png";

fn order(prompt: &str) -> Value {
    json!({"model": "wan2.7-t2v", "input": {"prompt": prompt},
           "parameters": {"resolution": "720P", "ratio": "16:9", "duration": 5}})
}

fn path(job: &Value) -> String {
    format!("{}/{}", super::TASKS, text(&job["output"], "task_id"))
}

fn put(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

/// An order from these frames.
fn framed(model: &str, kinds: &[&str]) -> Value {
    let media: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind, "url": IMAGE})).collect();
    json!({"model": model, "input": {"prompt": "a", "media": media}, "parameters": {"resolution": "720P"}})
}

#[tokio::test]
async fn a_task_says_what_is_billed_and_what_was_asked_only_once_it_has_its_video() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a boat").await;
    assert_eq!(job["output"]["task_status"], "PENDING");
    let (_, waiting) = bench.get(&path(&job)).await;
    assert_eq!(waiting["output"]["submit_time"], "2023-11-14 22:13:20.000");
    assert_eq!((waiting.get("usage"), waiting["output"].get("orig_prompt")), (None, None));
    bench.wait(60);
    let (_, task) = bench.get(&path(&job)).await;
    let (output, usage) = (&task["output"], &task["usage"]);
    assert_eq!((&output["task_status"], &output["orig_prompt"]), (&json!("SUCCEEDED"), &json!("a boat")));
    assert_eq!((&usage["duration"], &usage["SR"], &usage["ratio"]), (&json!(5), &json!(720), &json!("16:9")));
}

#[tokio::test]
async fn a_run_fails_in_each_way_that_the_prompt_orders_and_has_no_usage_unless_it_is_billed() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code) in [
        ("content_policy", Some("DataInspectionFailed")),
        ("internal", Some("InternalError.Algo")),
        ("internal-billed", Some("InternalError.Algo")),
        ("invalid", Some("InvalidParameter.DataInspection")),
        ("no_code", None),
    ] {
        let job = bench.create(&format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let (_, task) = bench.get(&path(&job)).await;
        assert_eq!(task["output"]["task_status"], "FAILED");
        assert_eq!(task["output"].get("code").and_then(Value::as_str), code, "{word}");
        assert_eq!(task.get("usage").is_some(), word == "internal-billed", "{task}");
    }
}

#[tokio::test]
async fn a_task_is_taken_back_only_while_it_waits() {
    let bench = Bench::of(&CLIENT).await;
    let cancel = |path: String| {
        let call = bench.call(Method::POST, &format!("{path}/cancel"));
        async move { read(call.send().await.unwrap()).await }
    };
    let waiting = bench.create("one").await;
    assert_eq!(cancel(path(&waiting)).await.0, 200);
    assert_eq!(bench.get(&path(&waiting)).await.1["output"]["task_status"], "CANCELED");
    let running = bench.create("two").await;
    bench.wait(30);
    for path in [path(&waiting), path(&running), format!("{}/unknown-task", super::TASKS)] {
        let (status, body) = cancel(path).await;
        assert_eq!((status, text(&body, "code")), (400, "UnsupportedOperation"));
    }
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Canceled);
    assert!(!bench.simulator.remote_jobs().unwrap()[0].bills);
}

#[tokio::test]
async fn what_is_not_known_is_a_task_as_well() {
    let bench = Bench::of(&CLIENT).await;
    let (status, body) = bench.get(&format!("{}/unknown-task", super::TASKS)).await;
    let output = json!({"task_id": "unknown-task", "task_status": "UNKNOWN"});
    assert_eq!((status, &body["output"]), (200, &output));
}

#[tokio::test]
async fn bodies_that_model_studio_does_not_take_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let horse = || put(order("a"), "/model", json!("happyhorse-1.1-t2v"));
    for body in [
        put(order("a"), "/model", json!("wan9")),
        put(order("a"), "/input", json!({})),
        put(order("a"), "/parameters/duration", json!("5")),
        put(order("a"), "/parameters/duration", json!(1)),
        put(order("a"), "/parameters/duration", json!(16)),
        put(order("a"), "/parameters/resolution", json!("720p")),
        put(order("a"), "/parameters/ratio", json!("21:9")),
        put(order("a"), "/parameters/seed", json!(-1)),
        put(order("a"), "/parameters/size", json!("1280*720")),
        put(horse(), "/parameters/duration", json!(2)),
        framed("wan2.7-i2v", &[]),
        framed("wan2.7-i2v", &["last_frame"]),
        framed("wan2.7-i2v", &["first_frame", "first_frame"]),
        framed("wan2.7-t2v", &["first_frame"]),
        framed("happyhorse-1.1-i2v", &["first_frame", "last_frame"]),
        put(framed("wan2.7-i2v", &["first_frame"]), "/parameters/ratio", json!("16:9")),
        order("a [[sim: fail=badly]]"),
    ] {
        let (status, answer) = bench.post(super::CREATE, &body).await;
        assert_eq!((status, text(&answer, "code")), (400, "InvalidParameter"), "{body}");
    }
    let awaited = bench.http.post(format!("{}{}", bench.base, super::CREATE)).bearer_auth("secret");
    let (status, answer) = read(awaited.json(&order("a")).send().await.unwrap()).await;
    assert_eq!((status, text(&answer, "code")), (403, "AccessDenied"));
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    for body in [
        framed("wan2.7-i2v", &["first_frame", "last_frame"]),
        framed("happyhorse-1.1-i2v", &["first_frame"]),
        put(horse(), "/parameters/ratio", json!("9:21")),
    ] {
        assert_eq!(bench.post(super::CREATE, &body).await.0, 200, "{body}");
    }
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, status, code) in [
        ("401", 401, "InvalidApiKey"),
        ("403-balance", 400, "Arrearage"),
        ("422", 400, "InvalidParameter"),
        ("429", 429, "Throttling.RateQuota"),
        ("500", 500, "InternalError"),
        ("503", 503, "ModelUnavailable"),
        ("policy", 400, "DataInspectionFailed"),
    ] {
        let prompt = format!("a [[sim: create=refuse:{word}]]");
        let (got, answer) = read((CLIENT.create)(&bench, &prompt, None).send().await.unwrap()).await;
        assert_eq!((got, text(&answer, "code")), (status, code), "{word}");
    }
    let wrong = bench.http.get(format!("{}{}/", bench.base, super::TASKS)).bearer_auth("invalid").send();
    assert_eq!(read(wrong.await.unwrap()).await.1["code"], "InvalidApiKey");
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn the_list_is_the_ping_and_shows_no_input() {
    let bench = Bench::of(&CLIENT).await;
    let first = bench.create("one").await;
    let second = bench.create("two").await;
    let (_, body) = bench.get(&format!("{}/?page_no=1&page_size=1", super::TASKS)).await;
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::Ping);
    assert_eq!((&body["total"], &body["total_page"]), (&json!(2), &json!(2)));
    let item = &body["data"][0];
    assert_eq!(
        (&item["task_id"], &item["request_id"]),
        (&second["output"]["task_id"], &second["request_id"])
    );
    assert!(!body.to_string().contains("two"), "{body}");
    let (_, body) = bench.get(&format!("{}?page_no=2&page_size=1", super::TASKS)).await;
    assert_eq!(body["data"][0]["task_id"], first["output"]["task_id"]);
    let (_, body) = bench.get(&format!("{}?status=RUNNING", super::TASKS)).await;
    assert_eq!(body["total"], 0);
}
