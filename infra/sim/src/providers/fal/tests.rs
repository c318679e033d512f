//! In one file, because each test is a call of one simulator, and all share its client.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use domain::provider::Provider;
use domain::time::Timestamp;
use ed25519_dalek::{Signature, VerifyingKey};
use futures_util::FutureExt;
use http::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::frame::call::CallKind;
use crate::frame::jobs::{Medium, RemoteState};
use crate::test_bench::{Bench, Client, Receiver, read, text};

pub(crate) static CLIENT: Client = Client {
    provider: Provider::Fal,
    wire: &super::Fal,
    headers: &[("Authorization", "Key id:secret")],
    create: make,
    poll: |bench, job| bench.call(Method::GET, text(job, "status_url")),
    word: "/status",
    words: ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"],
    video: |bench, job| {
        async move { text(&bench.get(text(job, "response_url")).await.1["video"], "url").to_owned() }.boxed()
    },
};

const VEO: &str = "/fal-ai/veo3.1/fast";

fn make(bench: &Bench, prompt: &str, callback: Option<&str>) -> RequestBuilder {
    let address = callback.map_or(VEO.to_owned(), |url| format!("{VEO}?fal_webhook={url}"));
    bench.call(Method::POST, &address).json(&json!({"prompt": prompt, "duration": "4s"}))
}

#[tokio::test]
async fn a_job_waits_runs_and_gives_its_video() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a paper boat").await;
    let id = text(&job, "request_id");
    let short = format!("{}/fal-ai/veo3.1/requests/{id}", bench.base);
    assert_eq!(job["status"], "IN_QUEUE");
    assert_eq!(text(&job, "response_url"), short);
    assert_eq!(text(&job, "status_url"), format!("{short}/status"));
    assert_eq!(text(&job, "cancel_url"), format!("{short}/cancel"));

    let (code, status) = bench.get(text(&job, "status_url")).await;
    assert_eq!(
        (code, &status["status"], &status["request_id"]),
        (202, &json!("IN_QUEUE"), &job["request_id"])
    );
    bench.wait(30);
    let (code, status) = bench.get(&format!("{short}/status?logs=1")).await;
    assert_eq!((code, &status["status"]), (202, &json!("IN_PROGRESS")));
    assert_eq!(status["logs"][0]["level"], "INFO");
    assert_eq!(bench.get(&short).await, (400, json!({"detail": "Request is still in progress"})));
    bench.wait(30);
    let (code, status) = bench.get(&format!("{short}/status")).await;
    assert_eq!((code, &status["status"], &status["error"]), (200, &json!("COMPLETED"), &Value::Null));
    let (code, output) = bench.get(&short).await;
    assert_eq!((code, &output["video"]["content_type"]), (200, &json!("video/mp4")));
    assert_eq!(text(&output["video"], "url"), format!("{}/media/{id}.mp4", bench.base));
    let response = bench.call(Method::GET, &short).send().await.unwrap();
    assert_eq!(response.headers()["x-fal-request-id"], id);
}

#[tokio::test]
async fn a_job_is_found_below_its_endpoint_and_below_its_app_only() {
    let bench = Bench::of(&CLIENT).await;
    let id = text(&bench.create("a paper boat").await, "request_id").to_owned();
    for (app, code) in
        [("fal-ai/veo3.1", 202), ("fal-ai/veo3.1/fast", 202), ("fal-ai/pika", 404), ("fal-ai", 404)]
    {
        assert_eq!(bench.get(&format!("/{app}/requests/{id}/status")).await.0, code, "{app}");
    }
    let unknown = bench.get("/fal-ai/veo3.1/requests/0-0/status").await;
    assert_eq!(unknown, (404, json!({"status": "NOT_FOUND"})));
}

#[tokio::test]
async fn calls_without_a_good_key_are_refused_and_make_nothing() {
    let bench = Bench::of(&CLIENT).await;
    for key in ["", "Key ", "Key invalid", "Bearer id:secret"] {
        for (method, path) in [
            (Method::POST, VEO),
            (Method::GET, "/fal-ai/veo3.1/requests/1/status"),
            (Method::PUT, "/fal-ai/veo3.1/requests/1/cancel"),
            (Method::GET, "/v1/models/pricing?endpoint_id=fal-ai/veo3.1"),
        ] {
            let call =
                bench.http.request(method, format!("{}{path}", bench.base)).header("Authorization", key);
            let response = call.json(&json!({"prompt": "a boat"})).send().await.unwrap();
            assert_eq!(response.status(), 401, "{key} {path}");
        }
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn inputs_that_the_endpoint_does_not_take_are_refused_by_field() {
    let bench = Bench::of(&CLIENT).await;
    let kling = "/fal-ai/kling-video/v3/standard/text-to-video";
    let kling_image = "/fal-ai/kling-video/v3/standard/image-to-video";
    let pika = "/fal-ai/pika/v2.2/text-to-video";
    let [wan, vidu] = ["/fal-ai/wan/v2.7/text-to-video", "/fal-ai/vidu/q3/text-to-video"];
    let image = "https://example.com/a.png";
    for (path, body, field, kind) in [
        (VEO, json!({}), "prompt", "missing"),
        (VEO, json!({"prompt": 7}), "prompt", "string_type"),
        (VEO, json!({"prompt": "a", "duration": 8}), "duration", "literal_error"),
        (VEO, json!({"prompt": "a", "duration": "5s"}), "duration", "literal_error"),
        (VEO, json!({"prompt": "a", "aspect_ratio": "1:1"}), "aspect_ratio", "literal_error"),
        (VEO, json!({"prompt": "a", "resolution": "8k"}), "resolution", "literal_error"),
        ("/fal-ai/veo3.1/lite", json!({"prompt": "a", "resolution": "4k"}), "resolution", "literal_error"),
        (VEO, json!({"prompt": "a", "seed": 1.5}), "seed", "int_type"),
        (VEO, json!({"prompt": "a", "generate_audio": "yes"}), "generate_audio", "bool_type"),
        ("/fal-ai/veo3.1/image-to-video", json!({"prompt": "a"}), "image_url", "missing"),
        (
            "/fal-ai/veo3.1/image-to-video",
            json!({"prompt": "a", "image_url": "cat"}),
            "image_url",
            "file_download_error",
        ),
        (
            "/fal-ai/veo3.1/first-last-frame-to-video",
            json!({"prompt": "a", "first_frame_url": image}),
            "last_frame_url",
            "missing",
        ),
        (pika, json!({"prompt": "a", "duration": "5s"}), "duration", "literal_error"),
        (pika, json!({"prompt": "a", "aspect_ratio": "21:9"}), "aspect_ratio", "literal_error"),
        (kling, json!({"prompt": "a", "duration": "2"}), "duration", "literal_error"),
        (kling, json!({"prompt": "a", "cfg_scale": "high"}), "cfg_scale", "float_type"),
        (kling_image, json!({"prompt": "a", "image_url": image}), "start_image_url", "missing"),
        (wan, json!({"prompt": "a", "duration": "5"}), "duration", "literal_error"),
        (
            wan,
            json!({"prompt": "a", "negative_prompt": "b".repeat(501)}),
            "negative_prompt",
            "string_too_long",
        ),
        (vidu, json!({"prompt": "a", "duration": "5"}), "duration", "float_type"),
        (vidu, json!({"prompt": "a", "audio": "yes"}), "audio", "bool_type"),
        (
            "/fal-ai/ltx-2.3/text-to-video",
            json!({"prompt": "a", "duration": 12}),
            "duration",
            "literal_error",
        ),
        ("/fal-ai/nano-banana-2", json!({"prompt": "a", "resolution": "2k"}), "resolution", "literal_error"),
    ] {
        let (code, answer) = bench.post(path, &body).await;
        assert_eq!(code, 422, "{path} {body}");
        let issue = &answer["detail"][0];
        assert_eq!((&issue["loc"], &issue["type"]), (&json!(["body", field]), &json!(kind)), "{path} {body}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn creates_that_no_field_is_to_blame_for_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let kling = "/fal-ai/kling-video/v3/standard/text-to-video";
    let (code, answer) = bench.post(kling, &json!({"duration": "3"})).await;
    assert_eq!((code, &answer["detail"][0]["type"]), (422, &json!("value_error")));
    assert_eq!(bench.post("/fal-ai/veo9", &json!({"prompt": "a"})).await.0, 404);
    let junk = bench.call(Method::POST, VEO).body("{").send().await.unwrap();
    assert_eq!(read(junk).await.1["detail"][0]["type"], "json_invalid");
    let hook = bench.post(&format!("{VEO}?fal_webhook=nowhere"), &json!({"prompt": "a"})).await;
    assert_eq!(hook.0, 400);
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn every_known_endpoint_takes_a_full_input() {
    let bench = Bench::of(&CLIENT).await;
    let image = "https://example.com/a.png";
    let full = [
        (
            "veo3.1",
            json!({"prompt": "a", "duration": "6s", "aspect_ratio": "9:16", "resolution": "1080p",
            "seed": 4, "generate_audio": false, "negative_prompt": "b", "auto_fix": true, "safety_tolerance": "4"}),
        ),
        ("veo3.1/image-to-video", json!({"prompt": "a", "image_url": image, "aspect_ratio": "auto"})),
        (
            "veo3.1/first-last-frame-to-video",
            json!({"prompt": "a", "first_frame_url": image, "last_frame_url": image, "resolution": "4k"}),
        ),
        ("veo3.1/fast", json!({"prompt": "a"})),
        ("veo3.1/fast/image-to-video", json!({"prompt": "a", "image_url": "data:image/png;base64,AA=="})),
        ("pika/v2.2/text-to-video", json!({"prompt": "a", "duration": "10", "aspect_ratio": "4:5"})),
        ("pika/v2.2/image-to-video", json!({"prompt": "a", "image_url": image, "resolution": "1080p"})),
        ("kling-video/v3/standard/text-to-video", json!({"prompt": "a", "duration": "15", "cfg_scale": 0.5})),
        ("kling-video/v3/standard/image-to-video", json!({"prompt": "a", "start_image_url": image})),
    ];
    for (endpoint, body) in &full {
        let (code, answer) = bench.post(&format!("/fal-ai/{endpoint}"), body).await;
        assert_eq!(code, 200, "{endpoint} {answer}");
        let ping = bench.get(&format!("/v1/models/pricing?endpoint_id=fal-ai/{endpoint}")).await;
        assert_eq!(ping.1["prices"][0]["endpoint_id"], format!("fal-ai/{endpoint}"));
    }
    assert_eq!(bench.simulator.remote_jobs().unwrap().len(), full.len());
    let all = full.iter().map(|(endpoint, _)| format!("fal-ai/{endpoint}")).collect::<Vec<_>>().join(",");
    let listed = bench.get(&format!("/v1/models/pricing?endpoint_id={all}")).await.1;
    assert_eq!(listed["prices"].as_array().unwrap().len(), full.len());
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::Prices);
    for asked in [String::new(), vec!["fal-ai/veo3.1"; 51].join(",")] {
        let (code, refused) = bench.get(&format!("/v1/models/pricing?endpoint_id={asked}")).await;
        assert_eq!((code, &refused["error"]["type"]), (400, &json!("validation_error")));
    }
    assert_eq!(bench.get("/v1/models/pricing?endpoint_id=fal-ai/veo9").await.1["error"]["type"], "not_found");
}

#[tokio::test]
async fn a_number_of_seconds_is_made_and_an_image_is_the_first_of_a_list() {
    let bench = Bench::of(&CLIENT).await;
    for (endpoint, input, seconds) in [
        ("fal-ai/wan/v2.7/text-to-video", json!({"prompt": "a", "duration": 7}), Some(7)),
        ("xai/grok-imagine-video/text-to-video", json!({"prompt": "a"}), Some(6)),
        ("fal-ai/nano-banana-2", json!({"prompt": "a", "aspect_ratio": "8:1"}), None),
    ] {
        let (code, job) = bench.post(&format!("/{endpoint}"), &input).await;
        assert_eq!(code, 200, "{endpoint} {job}");
        bench.wait(120);
        let (code, output) = bench.get(text(&job, "response_url")).await;
        assert_eq!(code, 200, "{endpoint} {output}");
        let made = bench.simulator.store.get(text(&job, "request_id")).unwrap().unwrap().medium;
        let (wanted, file) = match seconds {
            Some(seconds) => (Medium::Video { seconds }, &output["video"]),
            None => (Medium::Image, &output["images"][0]),
        };
        assert_eq!(made, wanted, "{endpoint}");
        let media = bench.call(Method::GET, text(file, "url")).send().await.unwrap();
        assert_eq!(media.headers()["content-type"], text(file, "content_type"), "{endpoint}");
    }
}

#[tokio::test]
async fn a_running_job_is_canceled_and_a_finished_one_is_not() {
    let bench = Bench::of(&CLIENT).await;
    let running = bench.create("one").await;
    let (finished, stubborn) =
        (bench.create("two [[sim: latency=1]]").await, bench.create("three [[sim: cancel=ignored]]").await);
    bench.wait(10);
    let cancel = async |job: &Value| {
        read(bench.call(Method::PUT, text(job, "cancel_url")).send().await.unwrap()).await
    };
    assert_eq!(cancel(&running).await, (202, json!({"status": "CANCELLATION_REQUESTED"})));
    assert_eq!(cancel(&stubborn).await.0, 202);
    assert_eq!(cancel(&finished).await, (400, json!({"status": "ALREADY_COMPLETED"})));
    assert_eq!(cancel(&running).await.0, 400);
    let unknown = bench.call(Method::PUT, "/fal-ai/veo3.1/requests/0-0/cancel").send().await.unwrap();
    assert_eq!(read(unknown).await, (404, json!({"status": "NOT_FOUND"})));

    let (code, status) = bench.get(text(&running, "status_url")).await;
    assert_eq!(
        (code, &status["status"], &status["error_type"]),
        (200, &json!("COMPLETED"), &json!("client_cancelled"))
    );
    assert_eq!(bench.get(text(&running, "response_url")).await.0, 499);
    bench.wait(60);
    assert_eq!(bench.get(text(&stubborn, "response_url")).await.0, 200);
    let states: Vec<_> = bench.simulator.remote_jobs().unwrap().iter().map(|job| job.state).collect();
    assert_eq!(states, [RemoteState::Canceled, RemoteState::Succeeded, RemoteState::Succeeded]);
}

#[tokio::test]
async fn a_run_fails_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    for (word, code, kind, error_type) in [
        ("content_policy", 422, Some("content_policy_violation"), Value::Null),
        ("invalid", 422, Some("image_load_error"), Value::Null),
        ("internal", 500, None, json!("runner_server_error")),
        ("no_code", 500, None, Value::Null),
    ] {
        let job = bench.create_with(&receiver, &format!("a [[sim: fail={word}]]")).await;
        bench.wait(60);
        let (_, status) = bench.get(text(&job, "status_url")).await;
        assert_eq!((&status["status"], &status["error_type"]), (&json!("COMPLETED"), &error_type), "{word}");
        assert_eq!(status["error"].is_string(), code == 500, "{word}");
        let (result, output) = bench.get(text(&job, "response_url")).await;
        assert_eq!((result, output["detail"][0]["type"].as_str()), (code, kind), "{word}");
        assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
        let payload = receiver.bodies().pop().unwrap();
        assert_eq!((&payload["status"], &payload["payload"]), (&json!("ERROR"), &output), "{word}");
        assert_eq!(payload["error"], format!("Invalid status code: {code}"));
    }
}

#[tokio::test]
async fn the_result_call_fails_as_ordered_after_a_good_run() {
    let bench = Bench::of(&CLIENT).await;
    let gone = bench.create("a [[sim: result=404]]").await;
    let empty = bench.create("a [[sim: result=422]]").await;
    let broken = bench.create("a [[sim: result=500:2]]").await;
    bench.wait(60);
    for job in [&gone, &empty, &broken] {
        let (code, status) = bench.get(text(job, "status_url")).await;
        assert_eq!((code, &status["status"], &status["error"]), (200, &json!("COMPLETED"), &Value::Null));
    }
    assert_eq!(bench.get(text(&gone, "response_url")).await.0, 404);
    let (code, output) = bench.get(text(&empty, "response_url")).await;
    assert_eq!((code, &output["detail"][0]["type"]), (422, &json!("no_media_generated")));
    for code in [500, 500, 200] {
        assert_eq!(bench.get(text(&broken, "response_url")).await.0, code);
    }
}

#[tokio::test]
async fn a_webhook_is_signed_over_its_raw_body_with_the_published_key() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a boat").await;
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);
    bench.wait(60);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);
    let payloads = receiver.payloads();
    let (headers, body) = &payloads[0];
    let payload: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((&payload["request_id"], &payload["status"]), (&job["request_id"], &json!("OK")));
    assert_eq!(payload["payload"], bench.get(text(&job, "response_url")).await.1);
    assert_eq!(headers["X-Fal-Webhook-Timestamp"], bench.clock.now().as_secs().to_string());
    assert!(is_signed(&bench, headers, body).await);
    assert!(!is_signed(&bench, headers, &[body, &b" "[..]].concat()).await);
}

async fn is_signed(bench: &Bench, headers: &HeaderMap, body: &[u8]) -> bool {
    let keys = bench.http.get(format!("{}/.well-known/jwks.json", bench.base)).send().await.unwrap();
    let (_, keys) = read(keys).await;
    let key = BASE64URL_NOPAD.decode(text(&keys["keys"][0], "x").as_bytes()).unwrap();
    let value = |name: &str| headers[name].to_str().unwrap();
    let text = format!(
        "{}\n{}\n{}\n{}",
        value("X-Fal-Webhook-Request-Id"),
        value("X-Fal-Webhook-User-Id"),
        value("X-Fal-Webhook-Timestamp"),
        HEXLOWER.encode(&Sha256::digest(body))
    );
    let signature = HEXLOWER.decode(value("X-Fal-Webhook-Signature").as_bytes()).unwrap();
    VerifyingKey::from_bytes(&key.try_into().unwrap())
        .unwrap()
        .verify_strict(text.as_bytes(), &Signature::from_slice(&signature).unwrap())
        .is_ok()
}

#[tokio::test]
async fn a_webhook_that_is_not_taken_comes_again_ever_later_and_at_most_five_times() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[500, 302, 401, 503, 500, 500]).await;
    bench.create_with(&receiver, "a boat").await;
    let mut gaps = Vec::new();
    while let Some(due) = bench.simulator.next_due().unwrap() {
        gaps.push(due.since(bench.clock.now()).as_secs());
        bench.clock.advance(due.since(bench.clock.now()));
        bench.simulator.deliver_due().await.unwrap();
    }
    assert_eq!(receiver.payloads().len(), 5);
    assert_eq!(gaps[gaps.len() - 4..], [5, 15, 60, 240]);
    bench.wait(100_000);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);
}

#[tokio::test]
async fn webhooks_are_lost_doubled_delayed_or_badly_signed_as_ordered() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    bench.create_with(&receiver, "a [[sim: webhook=lost]]").await;
    bench.wait(1_000);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);

    bench.create_with(&receiver, "a [[sim: webhook=twice]]").await;
    bench.wait(60);
    for tried in [1, 1, 0] {
        assert_eq!(bench.simulator.deliver_due().await.unwrap(), tried);
    }
    let payloads = receiver.payloads();
    assert_eq!(payloads.len(), 2);
    assert_eq!(payloads[0].1, payloads[1].1);

    bench.create_with(&receiver, "a [[sim: webhook=late:90]]").await;
    bench.wait(149);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);
    bench.wait(1);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);

    bench.create_with(&receiver, "a [[sim: webhook=badsig]]").await;
    bench.wait(60);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 1);
    let (headers, body) = receiver.payloads().pop().unwrap();
    assert!(!is_signed(&bench, &headers, &body).await);
}

#[tokio::test]
async fn an_early_webhook_is_there_before_the_create_answer_and_tells_the_truth() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let prompt = "a [[sim: webhook=early, create=drop-after]]";
    let lost = make(&bench, prompt, Some(&receiver.url)).send().await;
    assert!(lost.is_err());
    assert_eq!(receiver.bodies()[0]["status"], "OK");
    let job = bench.create_with(&receiver, "a [[sim: webhook=early]]").await;
    assert_eq!(receiver.bodies()[1]["request_id"], job["request_id"]);
    assert_eq!(bench.get(text(&job, "response_url")).await.0, 200);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);
}

#[tokio::test]
async fn a_canceled_job_sends_no_webhook() {
    let bench = Bench::of(&CLIENT).await;
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a boat").await;
    bench.call(Method::PUT, text(&job, "cancel_url")).send().await.unwrap();
    bench.wait(600);
    assert_eq!(bench.simulator.deliver_due().await.unwrap(), 0);
    assert_eq!(bench.simulator.next_due().unwrap(), None::<Timestamp>);
}

#[tokio::test]
async fn a_create_is_refused_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (word, code, pointer, value) in [
        ("401", 401, "/detail", "Authentication is required to access this application"),
        (
            "403-balance",
            403,
            "/detail",
            "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
        ),
        ("422", 422, "/detail/0/type", "missing"),
        ("429", 429, "/error_type", "concurrent_requests_limit"),
        ("500", 500, "/error_type", "internal_error"),
        ("503", 503, "/error_type", "runner_scheduling_failure"),
        ("policy", 422, "/detail/0/type", "content_policy_violation"),
    ] {
        let body = json!({"prompt": format!("a [[sim: create=refuse:{word}, retry_after=7]]")});
        let response = bench.call(Method::POST, VEO).json(&body).send().await.unwrap();
        assert_eq!(response.headers()["Retry-After"], "7", "{word}");
        let (status, answer) = read(response).await;
        assert_eq!((status, answer.pointer(pointer)), (code, Some(&json!(value))), "{word}");
    }
    let (code, answer) = bench.post(VEO, &json!({"prompt": "a [[sim: latncy=3]]"})).await;
    assert_eq!((code, &answer["detail"][0]["msg"]), (422, &json!("unknown directive latncy=3")));
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    assert_eq!(bench.simulator.calls().iter().filter(|call| call.kind == CallKind::Create).count(), 8);
}

#[tokio::test]
async fn calls_are_logged_by_kind_also_when_they_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a boat").await;
    bench.get(text(&job, "status_url")).await;
    bench.get(text(&job, "response_url")).await;
    bench.get("/v1/models/pricing?endpoint_id=fal-ai/veo3.1").await;
    bench.get("/.well-known/jwks.json").await;
    bench.call(Method::DELETE, text(&job, "status_url")).send().await.unwrap();
    let refused = bench.http.post(format!("{}{VEO}", bench.base)).body("").send().await.unwrap();
    assert_eq!(read(refused).await.0, 401);
    let calls = bench.simulator.calls();
    let kinds: Vec<_> = calls.iter().map(|call| call.kind).collect();
    use CallKind::{Create, Keys, Other, Ping, Poll, Result};
    assert_eq!(kinds, [Create, Poll, Result, Ping, Keys, Other, Create]);
    assert_eq!((calls[0].method.as_str(), calls[0].path.as_str(), calls[0].authorized), ("POST", VEO, true));
    assert!(!calls[6].authorized);
    assert_eq!(bench.simulator.calls(), calls);
}

#[tokio::test]
async fn the_history_lists_what_ran_at_an_endpoint_with_its_input() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a boat").await;
    bench.create("a coat [[sim: fail=content_policy]]").await;
    bench.create("a goat [[sim: history=unlisted]]").await;
    let history = "/v1/models/requests/by-endpoint";
    let bounds = "start=2023-11-14T22:13:20Z&end=2023-11-14T22:13:21Z";
    let path = format!("{history}?endpoint_id=fal-ai%2Fveo3.1%2Ffast&{bounds}");
    let (code, list) = bench.get(&format!("{path}&expand=payloads")).await;
    assert_eq!((code, list["items"].as_array().unwrap().len(), &list["has_more"]), (200, 2, &json!(false)));
    let first = &list["items"][0];
    assert_eq!(
        (&first["request_id"], &first["json_input"]),
        (&job["request_id"], &json!({"prompt": "a boat", "duration": "4s"}))
    );
    assert_eq!((&first["ended_at"], &first["sent_at"]), (&Value::Null, &json!("2023-11-14T22:13:20.000Z")));
    bench.wait(60);
    let (_, list) = bench.get(&path).await;
    let codes: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["status_code"]).collect();
    assert_eq!(codes, [200, 422]);
    assert!(list["items"][0].get("json_input").is_none());
    let (_, page) = bench.get(&format!("{path}&limit=1")).await;
    assert_eq!((page["has_more"] == json!(true), page["items"].as_array().unwrap().len()), (true, 1));
    let (_, rest) = bench.get(&format!("{path}&limit=1&cursor={}", text(&page, "next_cursor"))).await;
    assert_eq!((&rest["has_more"], &rest["next_cursor"]), (&json!(false), &Value::Null));
    let other = format!("{history}?endpoint_id=fal-ai/veo3.1&{bounds}");
    assert_eq!(bench.get(&other).await.1["items"], json!([]));
    for (query, code) in
        [("", 404), ("?endpoint_id=fal-ai/none", 404), ("?endpoint_id=fal-ai/veo3.1&limit=101", 400)]
    {
        assert_eq!(bench.get(&format!("{history}{query}")).await.0, code, "{query}");
    }
    let refused = bench.http.get(format!("{}{path}", bench.base)).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(bench.simulator.calls().pop().unwrap().kind, CallKind::LookUp);
}
