use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::frame::call::CallKind;
use crate::test_bench::{Bench, Client, Receiver, read, text};

/// Signed by `simulated`, good from 2020 to 2100.
const TOKEN: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
eyJpc3MiOiJzaW11bGF0ZWQiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MTYwMDAwMDAwMH0.\
0vvjPE-nRmKaCIPYnj39NQmgSP3afWq3mqfsjZ6pFGU";

pub(crate) static CLIENT: Client = Client {
    provider: Provider::KlingLegacy,
    wire: &super::KlingLegacy,
    headers: &[("Authorization", TOKEN)],
    create: make,
    poll: |bench, job| bench.call(Method::GET, &format!("{TEXT}/{}", text(&job["data"], "task_id"))),
    word: "/data/task_status",
    words: ["submitted", "processing", "succeed"],
    video: |bench, job| {
        async move { text(&look(bench, job).await["task_result"]["videos"][0], "url").to_owned() }.boxed()
    },
};

const TEXT: &str = "/v1/videos/text2video";
const IMAGES: &str = "/v1/videos/image2video";

fn make(bench: &Bench, prompt: &str, callback: Option<&str>) -> RequestBuilder {
    let mut body = json!({"model_name": "kling-v2-6", "prompt": prompt, "duration": "10"});
    if let Some(url) = callback {
        body["callback_url"] = json!(url);
    }
    bench.call(Method::POST, TEXT).json(&body)
}

async fn look(bench: &Bench, job: &Value) -> Value {
    let (code, body) = bench.get(&format!("{TEXT}/{}", text(&job["data"], "task_id"))).await;
    assert_eq!((code, &body["code"]), (200, &json!(0)));
    body["data"].clone()
}

#[tokio::test]
async fn a_job_waits_runs_and_succeeds_in_the_older_word() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a paper boat").await;
    assert_eq!(job["data"]["task_status"], "submitted");
    bench.wait(30);
    assert_eq!(look(&bench, &job).await["task_status"], "processing");
    bench.wait(30);
    let done = look(&bench, &job).await;
    assert_eq!(done["task_status"], "succeed");
    assert_eq!(done["task_result"]["videos"][0]["duration"], "10");
    let failing = bench.create("a [[sim: fail=content_policy]]").await;
    bench.wait(60);
    let failed = look(&bench, &failing).await;
    assert_eq!(text(&failed, "task_status_msg"), "Failure to pass the risk control system");
}

#[tokio::test]
async fn a_job_is_found_by_id_or_reference_under_the_path_that_made_it() {
    let bench = Bench::of(&CLIENT).await;
    let body = json!({"model_name": "kling-v3", "prompt": "a", "external_task_id": "job_a.1"});
    let (_, job) = bench.post(TEXT, &body).await;
    for name in [text(&job["data"], "task_id"), "job_a.1"] {
        let (_, found) = bench.get(&format!("{TEXT}/{name}")).await;
        assert_eq!(found["data"]["task_info"]["external_task_id"], "job_a.1");
        let (status, answer) = bench.get(&format!("{IMAGES}/{name}")).await;
        assert_eq!((status, &answer["code"]), (404, &json!(1203)));
    }
    assert_eq!(bench.get(&format!("{TEXT}/job_a.2")).await.1["code"], 1203);
    assert_eq!(bench.post(TEXT, &body).await.1["code"], 1201, "a reference is used once");
    let kinds: Vec<_> = bench.simulator.calls().iter().map(|call| call.kind).collect();
    assert_eq!(kinds[1], CallKind::Poll);
    assert_eq!(kinds[3], CallKind::LookUp);
}

#[tokio::test]
async fn tokens_are_refused_that_are_foreign_too_young_or_too_old() {
    let bench = Bench::of(&CLIENT).await;
    let head = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
    let good = "eyJpc3MiOiJzaW11bGF0ZWQiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MTYwMDAwMDAwMH0";
    let early = "eyJpc3MiOiJzaW11bGF0ZWQiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MTcwMDAwMDAwMX0";
    let late = "eyJpc3MiOiJzaW11bGF0ZWQiLCJleHAiOjE3MDAwMDAwMDAsIm5iZiI6MTYwMDAwMDAwMH0";
    let invalid_issuer = "eyJpc3MiOiJpbnZhbGlkIiwiZXhwIjo0MTAyNDQ0ODAwLCJuYmYiOjE2MDAwMDAwMDB9";
    for (token, code) in [
        (format!("{head}.{good}.d2Px0vMvLxba6kd64CEEo8ycqNOY4CL7PFn6XvzGRlY"), 1002),
        (format!("{head}.{early}.3TDZeXhXGDTrIIVM8R1CcD2PPWyPEPpRIbxfaE3Q3uc"), 1003),
        (format!("{head}.{late}.I2oSKTIMNG2Pk-5oPj41bF8OOreEyoIYlm0AA8eVj4Y"), 1004),
        (format!("{head}.{invalid_issuer}.DyWhRJkocOWVbzEpQvMtV_b0_mZnWUR_oRuQqnYvY0M"), 1002),
        ("secret".to_owned(), 1002),
        ("a.b.c".to_owned(), 1002),
    ] {
        let call = bench.http.get(format!("{}/account/costs?start_time=1&end_time=2", bench.base));
        let (status, answer) = read(call.bearer_auth(&token).send().await.unwrap()).await;
        assert_eq!((status, &answer["code"]), (401, &json!(code)), "{token}");
    }
    let (status, answer) = read(bench.http.post(format!("{}{TEXT}", bench.base)).send().await.unwrap()).await;
    assert_eq!((status, &answer["code"]), (401, &json!(1001)));
    assert_eq!(bench.get("/account/costs?start_time=1&end_time=2").await.0, 200);
}

#[tokio::test]
async fn bodies_that_the_model_does_not_take_are_refused_by_name() {
    let bench = Bench::of(&CLIENT).await;
    let image = "https://example.com/a.png";
    for (path, body, code, name) in [
        (TEXT, json!({"prompt": "a"}), 1203, "does not exist"),
        (TEXT, json!({"model_name": "kling-v1-6", "prompt": "a"}), 1203, "does not exist"),
        (TEXT, json!({"model_name": "kling-v3"}), 1201, "prompt is required"),
        (TEXT, json!({"model_name": "kling-v3", "prompt": "a", "duration": 5}), 1201, "duration"),
        (TEXT, json!({"model_name": "kling-v2-6", "prompt": "a", "duration": "7"}), 1201, "duration"),
        (TEXT, json!({"model_name": "kling-v2-6", "prompt": "a", "mode": "4k"}), 1201, "mode"),
        (TEXT, json!({"model_name": "kling-v2-6", "prompt": "a", "sound": "on"}), 1201, "sound"),
        (TEXT, json!({"model_name": "kling-v2-5-turbo", "prompt": "a", "sound": "off"}), 1201, "sound"),
        (TEXT, json!({"model_name": "kling-v3", "prompt": "a", "image": image}), 1201, "image"),
        (TEXT, json!({"model_name": "kling-v3", "prompt": "a", "seed": 1}), 1201, "seed"),
        (IMAGES, json!({"model_name": "kling-v3", "prompt": "a"}), 1201, "image is required"),
        (
            IMAGES,
            json!({"model_name": "kling-v3", "prompt": "a", "image": image, "aspect_ratio": "1:1"}),
            1201,
            "aspect_ratio",
        ),
        (
            IMAGES,
            json!({"model_name": "kling-v2-6", "prompt": "a", "image": image, "image_tail": image}),
            1201,
            "image_tail",
        ),
    ] {
        let (status, answer) = bench.post(path, &body).await;
        assert!(status >= 400 && answer["code"] == code, "{body}: {answer}");
        assert!(text(&answer, "message").contains(name), "{body}: {answer}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
    for (path, body) in [
        (
            TEXT,
            json!({"model_name": "kling-v3", "prompt": "a", "negative_prompt": "b", "cfg_scale": 0.5, "mode": "4k", "aspect_ratio": "1:1", "duration": "15", "sound": "on"}),
        ),
        (
            IMAGES,
            json!({"model_name": "kling-v2-6", "prompt": "a", "mode": "pro", "image": image, "image_tail": image, "sound": "on"}),
        ),
    ] {
        assert_eq!(bench.post(path, &body).await.1["code"], 0, "{body}");
    }
}

#[tokio::test]
async fn refusals_and_callbacks_are_in_the_older_shape() {
    let bench = Bench::of(&CLIENT).await;
    for (word, status, code) in [("403-balance", 429, 1102), ("policy", 400, 1301), ("429", 429, 1302)] {
        let call = make(&bench, &format!("a [[sim: create=refuse:{word}]]"), None);
        let (got, answer) = read(call.send().await.unwrap()).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{word}");
    }
    let receiver = Receiver::answering(&[]).await;
    let job = bench.create_with(&receiver, "a boat").await;
    for wait in [12, 48] {
        bench.wait(wait);
        bench.simulator.deliver_due().await.unwrap();
    }
    let bodies = receiver.bodies();
    assert_eq!([text(&bodies[0], "task_status"), text(&bodies[1], "task_status")], ["processing", "succeed"]);
    assert_eq!(bodies[1]["task_id"], job["data"]["task_id"]);
    assert!(receiver.payloads()[1].0.contains_key("webhook-signature"));
}
