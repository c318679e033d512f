use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::frame::jobs::RemoteState;
use crate::test_bench::{Bench, Client, Receiver, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Byteplus,
    wire: &super::Byteplus,
    headers: &[("Authorization", "Bearer secret")],
    create: |bench, prompt, callback| {
        let mut body = order(prompt);
        if let Some(callback) = callback {
            body["callback_url"] = json!(callback);
        }
        bench.call(Method::POST, super::TASKS).json(&body)
    },
    poll: |bench, job| bench.call(Method::GET, &path(job)),
    word: "/status",
    words: ["queued", "running", "succeeded"],
    video: |bench, job| {
        async move {
            let (_, body) = bench.get(&path(job)).await;
            body["content"]["video_url"].as_str().unwrap().to_owned()
        }
        .boxed()
    },
};

const IMAGE: &str = "https://example.com/a.png";

fn order(prompt: &str) -> Value {
    json!({"model": "dreamina-seedance-2-0-260128", "content": [{"type": "text", "text": prompt}],
           "resolution": "720p", "ratio": "16:9", "duration": 5, "generate_audio": false})
}

fn path(job: &Value) -> String {
    format!("{}/{}", super::TASKS, text(job, "id"))
}

fn put(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn frame(role: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": IMAGE}, "role": role})
}

#[tokio::test]
async fn a_task_repeats_its_settings_and_counts_the_tokens_that_are_billed() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a boat").await;
    assert!(text(&job, "id").starts_with("cgt-20231114221320-"), "{job}");
    let (_, queued) = bench.get(&path(&job)).await;
    assert_eq!((&queued["status"], &queued["content"]), (&json!("queued"), &Value::Null));
    assert_eq!(
        (&queued["execution_expires_after"], &queued["created_at"]),
        (&json!(172_800), &json!(1_700_000_000))
    );
    bench.wait(60);
    let (_, task) = bench.get(&path(&job)).await;
    assert_eq!(
        (&task["status"], &task["usage"]["completion_tokens"]),
        (&json!("succeeded"), &json!(108_900))
    );
    assert_eq!(
        (&task["duration"], &task["resolution"], &task["ratio"]),
        (&json!(5), &json!("720p"), &json!("16:9"))
    );
}

#[tokio::test]
async fn a_prompt_with_options_orders_more_than_its_body() {
    let bench = Bench::of(&CLIENT).await;
    for (prompt, length, size) in [
        ("a boat --dur 15 --rs 1080p", 15, "1080p"),
        ("a boat --dur 99 --rs 8k", 5, "720p"),
        ("a boat \u{2014}dur 15", 5, "720p"),
    ] {
        let (_, task) = bench.get(&path(&bench.create(prompt).await)).await;
        assert_eq!((&task["duration"], &task["resolution"]), (&json!(length), &json!(size)), "{prompt}");
    }
}

#[tokio::test]
async fn a_run_fails_in_each_way_that_the_prompt_orders_and_has_no_tokens_unless_it_is_billed() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code) in [
        ("content_policy", "OutputVideoSensitiveContentDetected"),
        ("internal", "InternalServiceError"),
        ("internal-billed", "InternalServiceError"),
        ("invalid", "InvalidParameter.TaskTypeConstraint"),
        ("no_code", ""),
    ] {
        let job = bench.create(&format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let (_, task) = bench.get(&path(&job)).await;
        assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!(code)));
        assert_eq!(task.get("usage").is_some(), word == "internal-billed", "{task}");
    }
}

#[tokio::test]
async fn one_that_takes_too_long_expires() {
    let bench = Bench::of(&CLIENT).await;
    let body = put(order("a [[sim: latency=9000]]"), "execution_expires_after", json!(3_600));
    let (_, job) = bench.post(super::TASKS, &body).await;
    bench.wait(3_599);
    assert_eq!(bench.get(&path(&job)).await.1["status"], "running");
    bench.wait(1);
    assert_eq!(bench.get(&path(&job)).await.1["status"], "expired");
    bench.wait(9_000);
    assert!(!bench.simulator.remote_jobs().unwrap()[0].bills);
}

#[tokio::test]
async fn one_call_takes_back_what_waits_and_deletes_what_has_ended() {
    let bench = Bench::of(&CLIENT).await;
    let delete = |job: &Value| {
        let call = bench.call(Method::DELETE, &path(job));
        async move { read(call.send().await.unwrap()).await }
    };
    let waiting = bench.create("one").await;
    assert_eq!(delete(&waiting).await, (200, json!({})));
    assert_eq!(bench.get(&path(&waiting)).await.1["status"], "cancelled");
    assert_eq!(delete(&waiting).await.0, 409);
    let running = bench.create("two").await;
    bench.wait(30);
    let (status, body) = delete(&running).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("InvalidAction.RunningTaskDeletion")));
    bench.wait(30);
    assert_eq!(delete(&running).await, (200, json!({})));
    let (status, body) = bench.get(&path(&running)).await;
    assert_eq!((status, &body["error"]["type"]), (404, &json!("NotFound")));
    assert_eq!(delete(&running).await.0, 404);
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Canceled);
}

#[tokio::test]
async fn callbacks_are_unsigned_tasks_at_the_start_and_at_the_end() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a boat").await;
    for wait in [30, 30] {
        bench.wait(wait);
        bench.simulator.deliver_due().await.unwrap();
    }
    let said: Vec<_> =
        receiver.bodies().into_iter().map(|body| (body["id"].clone(), body["status"].clone())).collect();
    assert_eq!(said, [(job["id"].clone(), json!("running")), (job["id"].clone(), json!("succeeded"))]);
}

#[tokio::test]
async fn bodies_that_modelark_does_not_take_are_refused_and_one_is_found_out_later() {
    let bench = Bench::of(&CLIENT).await;
    let content = |items: Value| put(order("a"), "content", items);
    let words = json!({"type": "text", "text": "a"});
    for body in [
        put(order("a"), "duration", json!("5")),
        put(order("a"), "duration", json!(3)),
        put(order("a"), "duration", json!(16)),
        put(order("a"), "resolution", json!("2k")),
        put(order("a"), "ratio", json!("9:21")),
        put(order("a"), "seed", json!(1)),
        put(order("a"), "execution_expires_after", json!(60)),
        put(
            put(order("a"), "model", json!("dreamina-seedance-2-0-fast-260128")),
            "resolution",
            json!("1080p"),
        ),
        content(json!([])),
        content(json!([words, {"type": "image_url", "image_url": IMAGE}])),
        content(json!([words, frame("first_frame"), frame("first_frame")])),
        content(json!([words, frame("last_frame")])),
        content(json!([words, frame("first_frame"), frame("reference_image")])),
        order("a [[sim: fail=badly]]"),
    ] {
        let (status, answer) = bench.post(super::TASKS, &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(text(&answer["error"], "code").starts_with("InvalidParameter."), "{answer}");
    }
    let (status, answer) = bench.post(super::TASKS, &put(order("a"), "model", json!("seedance-9"))).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("InvalidEndpointOrModel.NotFound")));
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    let framed = content(json!([words, frame("first_frame"), frame("last_frame")]));
    assert_eq!(bench.post(super::TASKS, &framed).await.0, 200);
    let newer = put(framed, "model", json!("dreamina-seedance-2-5-260628"));
    let (_, job) = bench.post(super::TASKS, &newer).await;
    bench.wait(60);
    let (_, task) = bench.get(&path(&job)).await;
    assert_eq!(task["error"]["code"], "InvalidParameter.TaskTypeConstraint");
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, status, code) in [
        ("401", 401, "AuthenticationError"),
        ("403-balance", 403, "AccountOverdueError"),
        ("422", 400, "InvalidParameter"),
        ("429", 429, "ModelAccountRpmRateLimitExceeded"),
        ("500", 500, "InternalServiceError"),
        ("503", 503, "ServerOverloaded"),
        ("policy", 400, "InputTextSensitiveContentDetected"),
    ] {
        let prompt = format!("a [[sim: create=refuse:{word}]]");
        let (got, answer) = read((CLIENT.create)(&bench, &prompt, None).send().await.unwrap()).await;
        assert_eq!((got, text(&answer["error"], "code")), (status, code), "{word}");
    }
    let wrong = bench.http.get(format!("{}{}", bench.base, super::TASKS)).bearer_auth("invalid").send();
    assert_eq!(read(wrong.await.unwrap()).await.1["error"]["type"], "Unauthorized");
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn the_list_is_the_ping_and_of_one_model_a_look_up() {
    let bench = Bench::of(&CLIENT).await;
    let first = bench.create("one").await;
    let other = put(order("two"), "model", json!("dreamina-seedance-2-0-mini-260615"));
    let (_, second) = bench.post(super::TASKS, &other).await;
    let (_, body) = bench.get(&format!("{}?page_num=1&page_size=1", super::TASKS)).await;
    assert_eq!((&body["total"], &body["items"][0]["id"]), (&json!(2), &second["id"]));
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::Ping);
    let (_, body) = bench.get(&format!("{}?filter.model=dreamina-seedance-2-0-260128", super::TASKS)).await;
    assert_eq!((&body["total"], &body["items"][0]["id"]), (&json!(1), &first["id"]));
    assert_eq!(body["items"][0].get("content"), None);
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::LookUp);
    let (_, body) = bench.get(&format!("{}?filter.status=running", super::TASKS)).await;
    assert_eq!(body["total"], 0);
}
