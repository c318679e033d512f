use domain::provider::Provider;
use domain::time::Timestamp;
use futures_util::FutureExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::test_bench::{Bench, Client, Receiver, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Kling,
    wire: &super::Kling,
    headers: &[("Authorization", "Bearer secret")],
    create: make,
    poll: |bench, job| bench.call(Method::GET, &format!("/tasks?task_ids={}", id(job))),
    word: "/data/0/status",
    words: ["submitted", "processing", "succeeded"],
    video: |bench, job| async move { text(&look(bench, job).await["outputs"][0], "url").to_owned() }.boxed(),
};

const V26: &str = "/text-to-video/kling-2.6";
const IMAGE: &str = "https://example.com/a.png";

fn make(bench: &Bench, prompt: &str, callback: Option<&str>) -> RequestBuilder {
    let mut body = json!({"prompt": prompt, "settings": {"duration": 10, "resolution": "1080p"}});
    if let Some(url) = callback {
        body["options"] = json!({"callback_url": url});
    }
    bench.call(Method::POST, V26).json(&body)
}

fn id(job: &Value) -> &str {
    text(&job["data"], "id")
}

async fn look(bench: &Bench, job: &Value) -> Value {
    let (code, body) = bench.get(&format!("/tasks?task_ids={}", id(job))).await;
    assert_eq!((code, &body["code"]), (200, &json!(0)));
    body["data"][0].clone()
}

#[tokio::test]
async fn a_job_waits_runs_and_gives_its_video_and_its_bill() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a paper boat").await;
    assert_eq!((&job["code"], &job["data"]["status"]), (&json!(0), &json!("submitted")));
    assert_eq!(job["data"]["create_time"], 1_700_000_000_000_i64);
    bench.wait(30);
    assert_eq!(look(&bench, &job).await["status"], "processing");
    bench.wait(30);
    let done = look(&bench, &job).await;
    assert_eq!((&done["status"], &done["outputs"][0]["duration"]), (&json!("succeeded"), &json!("10")));
    let bill = &done["billing"][0];
    assert_eq!(
        (text(bill, "charge_type"), text(bill, "amount"), text(bill, "currency")),
        ("cash", "0.7", "USD")
    );
    let video = bench.http.get(text(&done["outputs"][0], "url")).send().await.unwrap();
    assert_eq!(video.headers()["Content-Type"], "video/mp4");
}

#[tokio::test]
async fn jobs_are_found_by_ids_or_by_references_but_not_by_both() {
    let bench = Bench::of(&CLIENT).await;
    let body = json!({"prompt": "a", "options": {"external_task_id": "job_a.1"}});
    let (_, first) = bench.post(V26, &body).await;
    let second = bench.create("b").await;
    let (_, both) = bench.get(&format!("/tasks?task_ids={},{},1", id(&second), id(&first))).await;
    assert_eq!(both["data"].as_array().unwrap().len(), 2);
    let (_, found) = bench.get("/tasks?external_task_ids=job_a.1").await;
    assert_eq!(
        (&found["data"][0]["id"], &found["data"][0]["external_id"]),
        (&first["data"]["id"], &json!("job_a.1"))
    );
    assert_eq!(bench.get("/tasks?external_task_ids=job_a.2").await.1["data"], json!([]));
    for query in ["", "?task_ids=1&external_task_ids=1"] {
        assert_eq!(bench.get(&format!("/tasks{query}")).await.1["code"], 1201, "{query}");
    }
    let (code, again) = bench.post(V26, &body).await;
    assert_eq!((code, &again["code"]), (400, &json!(1201)), "a reference is used once");
    let kinds: Vec<_> = bench.simulator.calls().iter().map(|call| call.kind).collect();
    assert_eq!(kinds[2..5], [CallKind::Poll, CallKind::LookUp, CallKind::LookUp]);
}

#[tokio::test]
async fn a_run_fails_with_a_sentence_and_no_code() {
    let bench = Bench::of(&CLIENT).await;
    for (word, sentence) in [
        ("content_policy", "Failure to pass the risk control system"),
        ("internal", "Server internal error"),
        ("invalid", "Image pixel is invalid"),
        ("no_code", ""),
    ] {
        let job = bench.create(&format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let failed = look(&bench, &job).await;
        assert_eq!((&failed["status"], &failed["message"]), (&json!("failed"), &json!(sentence)));
        assert!(failed["outputs"].is_null() && failed["billing"].is_null());
    }
}

#[tokio::test]
async fn every_refusal_has_its_own_code_and_429_is_not_always_haste() {
    let bench = Bench::of(&CLIENT).await;
    for (word, status, code) in [
        ("401", 401, 1002),
        ("403-balance", 429, 1102),
        ("422", 400, 1201),
        ("429", 429, 1302),
        ("500", 500, 5000),
        ("503", 503, 5001),
        ("policy", 400, 1301),
    ] {
        let prompt = format!("a [[sim: create=refuse:{word}, retry_after=7]]");
        let response = make(&bench, &prompt, None).send().await.unwrap();
        assert_eq!(response.headers()["Retry-After"], "7");
        let (got, answer) = read(response).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{word}");
    }
    let (_, answer) = read(make(&bench, "a [[sim: fail=badly]]", None).send().await.unwrap()).await;
    assert_eq!(answer["message"], "unknown directive fail=badly");
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn calls_without_a_good_key_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    for (method, path) in
        [(Method::POST, V26), (Method::GET, "/tasks?task_ids=1"), (Method::GET, "/account/costs")]
    {
        let call = || bench.http.request(method.clone(), format!("{}{path}", bench.base));
        let (status, answer) = read(call().send().await.unwrap()).await;
        assert_eq!((status, &answer["code"]), (401, &json!(1001)), "{path}");
        let (status, answer) = read(call().bearer_auth("invalid").send().await.unwrap()).await;
        assert_eq!((status, &answer["code"]), (401, &json!(1002)), "{path}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn bodies_that_the_model_does_not_take_are_refused_by_name() {
    let bench = Bench::of(&CLIENT).await;
    let settings = |settings: Value| json!({"prompt": "a", "settings": settings});
    let image = |last: bool, settings: Value| {
        let mut contents = json!([{"type": "prompt", "text": "a"}, {"type": "first_frame", "url": IMAGE}]);
        if last {
            contents.as_array_mut().unwrap().push(json!({"type": "last_frame", "url": IMAGE}));
        }
        json!({"contents": contents, "settings": settings})
    };
    for (path, body, name) in [
        (V26, json!({}), "prompt is required"),
        (V26, json!({"prompt": "x".repeat(2_501)}), "prompt is too long"),
        (V26, json!({"prompt": "a", "seed": 1}), "seed"),
        (V26, json!({"prompt": "a", "contents": []}), "contents"),
        (V26, settings(json!({"duration": "5"})), "duration"),
        (V26, settings(json!({"duration": 7})), "duration"),
        (V26, settings(json!({"resolution": "4k"})), "resolution"),
        (V26, settings(json!({"multi_shot": false})), "multi_shot"),
        (V26, settings(json!({"audio": "native"})), "audio"),
        (V26, json!({"prompt": "a", "options": {"callback": "x"}}), "callback"),
        (V26, json!({"prompt": "a", "options": {"watermark_info": {}}}), "enabled"),
        ("/text-to-video/kling-3.0-turbo", settings(json!({"audio": "native"})), "audio"),
        ("/text-to-video/kling-3.0", settings(json!({"aspect_ratio": "4:3"})), "aspect_ratio"),
        ("/text-to-video/kling-3.0", settings(json!({"multi_shot": "no"})), "multi_shot"),
        ("/image-to-video/kling-3.0", image(false, json!({"aspect_ratio": "16:9"})), "aspect_ratio"),
        ("/image-to-video/kling-3.0", json!({"contents": [{"type": "prompt", "text": "a"}]}), "first_frame"),
        ("/image-to-video/kling-3.0", json!({"contents": [{"type": "first_frame", "url": "a.png"}]}), "url"),
        ("/image-to-video/kling-3.0-turbo", image(true, json!({})), "last_frame"),
        ("/image-to-video/kling-2.6", image(true, json!({})), "last_frame"),
        (
            "/image-to-video/kling-2.6",
            image(true, json!({"resolution": "1080p", "audio": "native"})),
            "last_frame",
        ),
    ] {
        let (status, answer) = bench.post(path, &body).await;
        assert_eq!((status, &answer["code"]), (400, &json!(1201)), "{body}");
        assert!(text(&answer, "message").contains(name), "{body}: {answer}");
    }
    let (status, answer) = bench.post("/text-to-video/kling-2.1", &json!({"prompt": "a"})).await;
    assert_eq!((status, &answer["code"]), (404, &json!(1203)), "a retired model");
    assert_eq!(bench.get("/v1/nothing").await.1["code"], 1202);
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn every_known_model_takes_a_full_body() {
    let bench = Bench::of(&CLIENT).await;
    let options = json!({"callback_url": "https://example.com/cb", "watermark_info": {"enabled": false}});
    let contents = json!([
        {"type": "prompt", "text": "a"}, {"type": "first_frame", "url": IMAGE}, {"type": "last_frame", "url": IMAGE},
    ]);
    for (path, mut body) in [
        (
            "/text-to-video/kling-3.0",
            json!({"prompt": "a", "settings": {"resolution": "4k", "aspect_ratio": "1:1", "duration": 15, "audio": "native", "multi_shot": true}}),
        ),
        (
            "/image-to-video/kling-3.0",
            json!({"contents": contents, "settings": {"resolution": "720p", "duration": 3, "audio": "native", "multi_shot": false}}),
        ),
        (
            "/text-to-video/kling-3.0-turbo",
            json!({"prompt": "a", "settings": {"resolution": "1080p", "aspect_ratio": "9:16", "duration": 3}}),
        ),
        (V26, json!({"prompt": "a", "settings": {"resolution": "1080p", "audio": "native", "duration": 10}})),
        (
            "/image-to-video/kling-2.6",
            json!({"contents": contents, "settings": {"resolution": "1080p", "audio": "off"}}),
        ),
        (
            "/image-to-video/kling-2.5-turbo",
            json!({"contents": contents, "settings": {"resolution": "1080p"}}),
        ),
    ] {
        body["options"] = options.clone();
        let (status, answer) = bench.post(path, &body).await;
        assert_eq!((status, &answer["code"]), (200, &json!(0)), "{body} {answer}");
    }
}

#[tokio::test]
async fn every_change_is_reported_and_signed() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a boat").await;
    for wait in [12, 48] {
        bench.wait(wait);
        assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
    }
    let words: Vec<_> = receiver.bodies().iter().map(|body| text(body, "status").to_owned()).collect();
    assert_eq!(words, ["processing", "succeeded"]);
    for (headers, body) in receiver.payloads() {
        let value = |name: &str| headers[name].to_str().unwrap();
        let sent_at = Timestamp::from_secs(value("webhook-timestamp").parse().unwrap());
        let secret = bench.simulator.webhook_secret();
        let genuine = secret.headers(value("webhook-id"), sent_at, str::from_utf8(&body).unwrap());
        assert_eq!(value("webhook-signature"), genuine[2].1);
    }
    assert_eq!(receiver.bodies()[1]["id"], job["data"]["id"]);
}

#[tokio::test]
async fn the_costs_want_a_period() {
    let bench = Bench::of(&CLIENT).await;
    let (status, answer) = bench.get("/account/costs?start_time=1&end_time=2").await;
    assert_eq!((status, &answer["code"]), (200, &json!(0)));
    assert!(answer["data"]["resource_pack_subscribe_infos"].is_array());
    assert_eq!(bench.get("/account/costs?start_time=1").await.1["code"], 1201);
}
