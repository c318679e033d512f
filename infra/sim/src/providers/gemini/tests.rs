use data_encoding::BASE64;
use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::frame::jobs::RemoteState;
use crate::providers::rsa::RsaKey;
use crate::test_bench::{Bench, Client, Receiver, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Gemini,
    wire: &super::Gemini,
    headers: &[("x-goog-api-key", "secret")],
    create: make,
    poll: |bench, job| bench.call(Method::GET, &path(job)),
    word: "/status",
    words: ["queued", "in_progress", "completed"],
    video: |bench, job| {
        async move {
            let (_, body) = look(bench, job).await;
            format!("{}:download?alt=media", body["steps"][1]["content"][1]["uri"].as_str().unwrap())
        }
        .boxed()
    },
};

const CREATE: &str = "/v1beta/interactions";

fn make(bench: &Bench, prompt: &str, callback: Option<&str>) -> RequestBuilder {
    let mut body = order(prompt);
    if let Some(url) = callback {
        body["webhook_config"] = json!({"uris": [url], "user_metadata": {"genmux": "job_a.1"}});
    }
    bench.call(Method::POST, CREATE).json(&body)
}

fn order(prompt: &str) -> Value {
    json!({"model": "gemini-omni-1.2-flash", "input": [{"type": "text", "text": prompt}],
           "response_format": {"type": "video", "aspect_ratio": "16:9", "duration": "4s",
                               "resolution": "720p", "delivery": "uri"},
           "background": true, "store": true})
}

fn path(job: &Value) -> String {
    format!("{CREATE}/{}", text(job, "id"))
}

async fn look(bench: &Bench, job: &Value) -> (u16, Value) {
    bench.get(&path(job)).await
}

#[tokio::test]
async fn an_interaction_runs_and_its_file_is_for_the_key_alone() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a paper boat").await;
    assert_eq!(job["status"], "queued");
    for (wait, status) in [(30, "in_progress"), (30, "completed")] {
        bench.wait(wait);
        assert_eq!(look(&bench, &job).await.1["status"], status);
    }
    let (_, body) = look(&bench, &job).await;
    let uri = body["steps"][1]["content"][1]["uri"].as_str().unwrap();
    let (code, file) = bench.get(uri).await;
    assert_eq!((code, &file["state"]), (200, &json!("ACTIVE")));
    assert_eq!(file["name"], format!("files/{}", text(&job, "id")));
    let video = format!("{uri}:download?alt=media");
    assert_eq!(bench.http.get(&video).send().await.unwrap().status(), 400, "without the key");
    let answer = bench.call(Method::GET, &video).send().await.unwrap();
    assert_eq!(answer.headers()["Content-Type"], "video/mp4");
    let call = bench.simulator.calls().pop().unwrap();
    assert_eq!((call.kind, call.authorized), (CallKind::Media, true));
}

#[tokio::test]
async fn a_run_ends_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (directive, status, code) in [
        ("fail=content_policy", "failed", json!("https://ai.google.dev/errors/content_blocked")),
        ("fail=internal", "failed", json!("https://ai.google.dev/errors/internal")),
        ("fail=invalid", "failed", json!("https://ai.google.dev/errors/invalid_argument")),
        ("fail=no_code", "failed", Value::Null),
        ("gemini=budget_exceeded", "budget_exceeded", Value::Null),
        ("gemini=incomplete", "incomplete", Value::Null),
        ("gemini=requires_action", "requires_action", Value::Null),
        ("gemini=requires_continuation", "requires_continuation", Value::Null),
    ] {
        let job = bench.create(&format!("a [[sim: {directive}]]")).await;
        bench.wait(60);
        let (_, body) = look(&bench, &job).await;
        assert_eq!((&body["status"], &body["errors"][0]["code"]), (&json!(status), &code), "{directive}");
        assert_eq!(body["steps"], Value::Null);
    }
}

#[tokio::test]
async fn a_completed_interaction_brings_its_video_as_ordered() {
    let bench = Bench::of(&CLIENT).await;
    let completed = async |directive: &str| {
        let job = bench.create(&format!("a [[sim: {directive}]]")).await;
        bench.wait(60);
        let content = look(&bench, &job).await.1["steps"][1]["content"].clone();
        (content, format!("/v1beta/files/{}", text(&job, "id")))
    };
    let (content, _) = completed("gemini=inline").await;
    let video = BASE64.decode(content[1]["data"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(&video[4..8], b"ftyp");
    let (content, _) = completed("result=422").await;
    assert_eq!(content.as_array().unwrap().len(), 1, "only words");
    let (_, file) = completed("gemini=processing").await;
    assert_eq!(bench.get(&file).await.1["state"], "PROCESSING");
    bench.wait(30);
    assert_eq!(bench.get(&file).await.1["state"], "ACTIVE");
    let (_, file) = completed("gemini=file_failed").await;
    assert_eq!(bench.get(&file).await.1["state"], "FAILED");
    let (_, file) = completed("result=404").await;
    assert_eq!(bench.get(&file).await.0, 404);
    let (_, file) = completed("result=500:1").await;
    assert_eq!((bench.get(&file).await.0, bench.get(&file).await.0), (500, 200));
}

#[tokio::test]
async fn a_running_interaction_is_canceled_and_one_that_is_over_is_not() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a").await;
    let cancel = format!("{}/cancel", path(&job));
    let (code, body) = bench.post(&cancel, &json!({})).await;
    assert_eq!((code, &body["status"]), (200, &json!("cancelled")));
    let (code, body) = bench.post(&cancel, &json!({})).await;
    assert_eq!((code, &body["error"]["status"]), (400, &json!("FAILED_PRECONDITION")));
    assert_eq!(bench.simulator.remote_jobs().unwrap()[0].state, RemoteState::Canceled);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
    assert_eq!(receiver.bodies()[0]["type"], "interaction.cancelled");
    assert_eq!(bench.call(Method::DELETE, &path(&job)).send().await.unwrap().status(), 200);
    assert_eq!(look(&bench, &job).await.0, 404);
}

#[tokio::test]
async fn a_webhook_names_the_interaction_and_is_signed_for_its_url() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    for (directive, event) in [
        ("latency=1", "interaction.completed"),
        ("fail=internal", "interaction.failed"),
        ("gemini=requires_action", "interaction.requires_action"),
        ("webhook=badsig", "interaction.completed"),
    ] {
        let job = bench.create_with(&receiver, &format!("a [[sim: {directive}]]")).await;
        bench.wait(60);
        assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
        let body = receiver.bodies().pop().unwrap();
        assert_eq!((&body["type"], &body["data"]["id"]), (&json!(event), &job["id"]));
        let (headers, _) = receiver.payloads().pop().unwrap();
        let key = RsaKey::new(bench.simulator.secret.bytes()).unwrap();
        let claims = key.claims(headers["webhook-signature"].to_str().unwrap()).unwrap();
        assert_eq!(claims["aud"] == receiver.url.as_str(), directive != "webhook=badsig");
        assert_eq!(claims["exp"], bench.clock.now().as_secs() + 300);
    }
    let (code, keys) =
        read(bench.http.get(format!("{}/.well-known/jwks.json", bench.base)).send().await.unwrap()).await;
    assert_eq!((code, &keys["keys"][0]["kty"]), (200, &json!("RSA")));
}

fn still(model: &str, prompt: &str) -> Value {
    json!({"model": model, "input": [{"type": "text", "text": prompt}],
           "response_format": {"type": "image", "aspect_ratio": "16:9", "image_size": "1K"}})
}

#[tokio::test]
async fn an_image_is_in_the_answer_to_its_order_and_in_the_interaction() {
    let bench = Bench::of(&CLIENT).await;
    for model in ["gemini-nano-banana-2.1", "gemini-3-pro-image"] {
        let (code, body) = bench.post(CREATE, &still(model, "a boat")).await;
        assert_eq!((code, &body["status"]), (200, &json!("completed")), "{body}");
        let image = &body["steps"][1]["content"][0];
        assert_eq!((&image["type"], &image["mime_type"]), (&json!("image"), &json!("image/png")));
        assert!(BASE64.decode(image["data"].as_str().unwrap().as_bytes()).unwrap().starts_with(b"\x89PNG"));
        assert_eq!(look(&bench, &body).await.1["steps"], body["steps"]);
        assert_eq!(bench.post(&format!("{}/cancel", path(&body)), &json!({})).await.0, 400);
    }
    let jobs = bench.simulator.remote_jobs().unwrap();
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job.state == RemoteState::Succeeded));
    let (_, body) = bench.post(CREATE, &still("gemini-3-pro-image", "a [[sim: gemini=draft]]")).await;
    let content = body["steps"][1]["content"].as_array().unwrap();
    assert_eq!(content.iter().filter(|part| part["type"] == "image").count(), 2);
}

#[tokio::test]
async fn an_image_is_not_made_or_its_answer_is_spoilt_as_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    let made = async |directive: &str| {
        let prompt = format!("a [[sim: {directive}]]");
        let order = bench.call(Method::POST, CREATE).json(&still("gemini-3-pro-image", &prompt));
        let answer = order.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (_, failed) = made("fail=content_policy").await;
    assert!(failed.contains("safety filter") && failed.contains("\"failed\""), "{failed}");
    let (_, worded) = made("result=422").await;
    assert!(worded.contains("I cannot draw that.") && !worded.contains("image/png"), "{worded}");
    assert!(made("gemini=incomplete").await.1.contains("\"incomplete\""));
    assert!(made("status=unknown").await.1.contains("REHEARSING"));
    assert_eq!(made("status=empty").await, (200, String::new()));
    assert!(made("status=html").await.1.contains("<html>"));
    assert_eq!(made("status=500").await.0, 500);
    assert!(serde_json::from_str::<Value>(&made("status=truncated").await.1).is_err());
    assert_eq!(made("create=refuse:policy").await.0, 400);
    assert_eq!(bench.simulator.remote_jobs().unwrap().len(), 8, "what is spoilt is made");
}

#[tokio::test]
async fn orders_of_images_that_the_api_does_not_take_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let with = |model: &str, pointer: &str, value: Value| {
        let mut body = still(model, "a");
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[member] = value;
        body
    };
    let (banana, pro) = ("gemini-nano-banana-2.1", "gemini-3-pro-image");
    for (body, word) in [
        (with(pro, "/background", json!(true)), "does not support background interactions"),
        (with(pro, "/webhook_config", json!({"uris": ["https://a.example/"]})), "background"),
        (with(pro, "/model", json!("gemini-3.1-flash-image")), "model"), // shut down
        (with(pro, "/response_format/type", json!("video")), "type"),
        (with(pro, "/response_format/image_size", json!("1k")), "image_size"),
        (with(banana, "/response_format/image_size", json!("512")), "image_size"),
        (with(pro, "/response_format/aspect_ratio", json!("8:1")), "aspect_ratio"),
        (with(banana, "/response_format/aspect_ratio", json!("7:1")), "aspect_ratio"),
        (with(pro, "/response_format/duration", json!("6s")), "duration"),
        (with(pro, "/generation_config", json!({"thinking_level": "none"})), "thinking_level"),
    ] {
        let (code, answer) = bench.post(CREATE, &body).await;
        assert_eq!((code, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{body}");
        assert!(text(&answer["error"], "message").contains(word), "{answer}");
    }
    let strip = with(banana, "/response_format/aspect_ratio", json!("8:1"));
    assert_eq!(bench.post(CREATE, &strip).await.0, 200);
}

#[tokio::test]
async fn bodies_that_the_api_does_not_take_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let with = |pointer: &str, value: Value| {
        let mut body = order("a");
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[member] = value;
        body
    };
    let image =
        json!([{"type": "text", "text": "a"}, {"type": "image", "mime_type": "image/png", "data": "*!*!"}]);
    for (body, word) in [
        (with("/model", json!("veo-3.1-generate-preview")), "model"),
        (with("/fps", json!(24)), "fps"),
        (with("/input", json!([])), "input"),
        (with("/input", json!([{"type": "text", "text": "a", "seed": 1}])), "seed"),
        (with("/input", image), "base64"),
        (with("/background", json!("yes")), "background"),
        (with("/webhook_config", json!({"urls": []})), "urls"),
        (with("/response_format/duration", json!(6)), "duration"),
        (with("/response_format/duration", json!("11s")), "duration"),
        (with("/response_format/duration", json!("2s")), "duration"),
        (with("/response_format/aspect_ratio", json!("1:1")), "aspect_ratio"),
        (with("/response_format/resolution", json!("4K")), "resolution"),
        (with("/response_format/seed", json!(1)), "seed"),
        (with("/generation_config", json!({"video_config": {"task": "dance"}})), "task"),
        (with("/generation_config", json!({"temperature": 1})), "temperature"),
    ] {
        let (code, answer) = bench.post(CREATE, &body).await;
        assert_eq!((code, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{body}");
        assert!(text(&answer["error"], "message").contains(word), "{answer}");
    }
    let mut foreground = order("a");
    foreground["background"] = json!(false);
    foreground["webhook_config"] = json!({"uris": ["https://a.example/"]});
    assert_eq!(bench.post(CREATE, &foreground).await.0, 400);
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    let mut all = with("/response_format/resolution", json!("4k"));
    all["input"] = json!([{"type": "text", "text": "a"}, {"type": "image", "mime_type": "image/png", "data": "aW1hZ2U="}]);
    all["generation_config"] = json!({"video_config": {"task": "image_to_video"}});
    assert_eq!(bench.post(CREATE, &all).await.0, 200);
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code, status) in [
        ("401", 400, "INVALID_ARGUMENT"),
        ("403-balance", 402, "RESOURCE_EXHAUSTED"),
        ("422", 400, "INVALID_ARGUMENT"),
        ("429", 429, "RESOURCE_EXHAUSTED"),
        ("500", 500, "INTERNAL"),
        ("503", 503, "UNAVAILABLE"),
        ("policy", 400, "INVALID_ARGUMENT"),
    ] {
        let (given, answer) = bench.post(CREATE, &order(&format!("a [[sim: create=refuse:{word}]]"))).await;
        assert_eq!((given, &answer["error"]["status"]), (code, &json!(status)), "{word}");
    }
    let invalid = bench.http.get(format!("{}/v1beta/models", bench.base)).header("x-goog-api-key", "invalid");
    let (code, answer) = read(invalid.send().await.unwrap()).await;
    assert_eq!((code, &answer["error"]["details"][0]["reason"]), (400, &json!("API_KEY_INVALID")));
    assert_eq!(
        bench.get("/v1beta/models?pageSize=1").await.1["models"][0]["name"],
        "models/gemini-omni-1.2-flash"
    );
    assert_eq!(bench.get("/v1beta/nothing").await.0, 404);
}
