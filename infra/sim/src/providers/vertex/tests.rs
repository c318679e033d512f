use data_encoding::BASE64;
use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{ACCOUNT, AUDIENCE, GRANT, SCOPE};
use crate::frame::call::CallKind;
use crate::providers::rsa::RsaKey;
use crate::test_bench::{Bench, Client, read, text};

static CLIENT: Client = Client {
    provider: Provider::Vertex,
    wire: &super::Vertex,
    headers: &[],
    create: |bench, prompt, _| made(bench, CREATE, &order(prompt)),
    poll: |bench, job| made(bench, FETCH, &json!({"operationName": job["name"]})),
    word: "/done",
    words: ["", "", ""],
    video: |bench, job| {
        async move {
            let (_, body) = fetch(bench, job).await;
            object(text(&body["response"]["videos"][0], "gcsUri"))
        }
        .boxed()
    },
};

const MODEL: &str =
    "/v1/projects/simulated-project/locations/us-central1/publishers/google/models/veo-3.1-generate-001";
const CREATE: &str = ":predictLongRunning";
const FETCH: &str = ":fetchPredictOperation";

/// A call with a token that the simulator gives for its own key, as it says it would.
fn made(bench: &Bench, verb: &str, body: &Value) -> RequestBuilder {
    let access = access(bench, bench.clock.now().as_secs() + 60);
    bench.call(Method::POST, &format!("{MODEL}{verb}")).bearer_auth(access).json(body)
}

fn key(bench: &Bench) -> RsaKey {
    RsaKey::new(bench.simulator.secret.bytes()).unwrap()
}

fn access(bench: &Bench, exp: i64) -> String {
    key(bench).token(&json!({"sub": ACCOUNT, "exp": exp})).unwrap()
}

fn order(prompt: &str) -> Value {
    json!({"instances": [{"prompt": prompt}],
           "parameters": {"sampleCount": 1, "durationSeconds": 4, "aspectRatio": "16:9", "resolution": "720p",
                          "generateAudio": false, "storageUri": "gs://bucket/veo/job_a.1/"}})
}

fn object(address: &str) -> String {
    let (bucket, name) = address.strip_prefix("gs://").unwrap().split_once('/').unwrap();
    format!("/storage/v1/b/{bucket}/o/{}?alt=media", name.replace('/', "%2F"))
}

async fn fetch(bench: &Bench, job: &Value) -> (u16, Value) {
    read((CLIENT.poll)(bench, job).send().await.unwrap()).await
}

async fn ask_token(bench: &Bench, grant: &str, claims: &Value) -> (u16, Value) {
    let assertion = key(bench).token(claims).unwrap();
    let pairs = [("grant_type", grant), ("assertion", assertion.as_str())];
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let call = bench.call(Method::POST, "/token").body(form);
    read(call.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap()).await
}

#[tokio::test]
async fn a_token_is_given_for_the_accounts_assertion_and_lasts_an_hour() {
    let bench = Bench::of(&CLIENT).await;
    let now = bench.clock.now().as_secs();
    let good = json!({"iss": ACCOUNT, "aud": AUDIENCE, "scope": SCOPE, "iat": now, "exp": now + 3_600});
    let (code, token) = ask_token(&bench, GRANT, &good).await;
    assert_eq!((code, &token["expires_in"]), (200, &json!(3_599)));
    let models = "/v1/publishers/google/models/veo-3.1-generate-001";
    let ping = async || {
        bench
            .call(Method::GET, models)
            .bearer_auth(text(&token, "access_token"))
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(ping().await, 200);
    bench.wait(3_599);
    assert_eq!(ping().await, 401);
    assert_eq!(ask_token(&bench, "password", &good).await.1["error"], "unsupported_grant_type");
    for (member, value) in [
        ("iss", json!("other")),
        ("aud", json!("https://elsewhere.example/")),
        ("exp", json!(now)),
        ("exp", json!(now + 9_999)),
        ("scope", json!("email")),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        let (code, answer) = ask_token(&bench, GRANT, &bad).await;
        assert!(code == 400 && text(&answer, "error").starts_with("invalid_"), "{bad} {answer}");
    }
}

#[tokio::test]
async fn an_operation_runs_and_its_video_is_in_the_bucket_for_the_token_alone() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a paper boat").await;
    assert!(text(&job, "name").starts_with(&format!("{}/operations/", &MODEL[4..])));
    assert_eq!(fetch(&bench, &job).await, (200, json!({"name": job["name"], "done": false})));
    bench.wait(60);
    let (_, body) = fetch(&bench, &job).await;
    assert_eq!(body["done"], true);
    let video = (CLIENT.video)(&bench, &job).await;
    assert_eq!(bench.call(Method::GET, &video).send().await.unwrap().status(), 401);
    let with = bench.call(Method::GET, &video).bearer_auth(access(&bench, bench.clock.now().as_secs() + 60));
    let answer = with.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["Content-Type"]),
        (200, &"video/mp4".parse().unwrap())
    );
    let call = bench.simulator.calls().pop().unwrap();
    assert_eq!((call.kind, call.authorized), (CallKind::Media, true));
}

#[tokio::test]
async fn without_a_place_to_write_to_the_video_is_inline() {
    let bench = Bench::of(&CLIENT).await;
    let mut body = order("a");
    body["parameters"].as_object_mut().unwrap().remove("storageUri");
    let (_, job) = read(made(&bench, CREATE, &body).send().await.unwrap()).await;
    bench.wait(60);
    let (_, body) = fetch(&bench, &job).await;
    let video = BASE64.decode(text(&body["response"]["videos"][0], "bytesBase64Encoded").as_bytes()).unwrap();
    assert_eq!(&video[4..8], b"ftyp");
}

#[tokio::test]
async fn a_run_fails_in_each_way_that_the_prompt_orders() {
    let bench = Bench::of(&CLIENT).await;
    for (directive, code) in [
        ("fail=internal", json!(13)),
        ("fail=invalid", json!(3)),
        ("grpc=8", json!(8)),
        ("grpc=14", json!(14)),
    ] {
        let job = bench.create(&format!("a [[sim: {directive}]]")).await;
        bench.wait(60);
        let (_, body) = fetch(&bench, &job).await;
        assert_eq!((&body["done"], &body["error"]["code"]), (&json!(true), &code), "{directive}");
    }
    let job = bench.create("a [[sim: fail=content_policy]]").await;
    let empty = bench.create("a [[sim: fail=no_code]]").await;
    let none = bench.create("a [[sim: result=422]]").await;
    bench.wait(60);
    assert_eq!(fetch(&bench, &job).await.1["response"]["raiMediaFilteredCount"], 1);
    for job in [empty, none] {
        let response = fetch(&bench, &job).await.1["response"].clone();
        assert!(response.is_object() && response["videos"].is_null(), "{response}");
    }
    let (code, _) = read((CLIENT.create)(&bench, "a [[sim: grpc=99]]", None).send().await.unwrap()).await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn polls_are_spoilt_as_ordered() {
    let bench = Bench::of(&CLIENT).await;
    let job = bench.create("a [[sim: status=unknown]]").await;
    bench.wait(30);
    assert_eq!(fetch(&bench, &job).await.1["done"], "REHEARSING");
    bench.wait(30);
    assert_eq!(fetch(&bench, &job).await.1["done"], true);
}

#[tokio::test]
async fn bodies_that_the_model_does_not_take_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let image = json!({"bytesBase64Encoded": "aW1hZ2U=", "mimeType": "image/png"});
    let with = |pointer: &str, value: Value| {
        let mut body = order("a");
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[member] = value;
        body
    };
    for (body, word) in [
        (with("/model", json!("a")), "model"),
        (with("/instances", json!([])), "instances"),
        (with("/instances/0/prompt", json!("")), "prompt"),
        (with("/instances/0/image", json!({"url": "https://a.example/"})), "url"),
        (with("/instances/0/image", json!({"bytesBase64Encoded": "aW1hZ2U="})), "mimeType"),
        (with("/instances/0/image", json!({"bytesBase64Encoded": "*!*!", "mimeType": "image/png"})), "image"),
        (with("/instances/0/lastFrame", image.clone()), "lastFrame"),
        (with("/parameters/durationSeconds", json!(5)), "durationSeconds"),
        (with("/parameters/durationSeconds", json!("8")), "durationSeconds"),
        (with("/parameters/aspectRatio", json!("1:1")), "aspectRatio"),
        (with("/parameters/resolution", json!("4K")), "resolution"),
        (with("/parameters/storageUri", json!("https://bucket/")), "storageUri"),
        (with("/parameters/gcsOutputDirectory", json!("gs://bucket/")), "gcsOutputDirectory"),
        (with("/parameters/seed", json!(-1)), "seed"),
    ] {
        let (code, answer) = read(made(&bench, CREATE, &body).send().await.unwrap()).await;
        assert_eq!((code, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{body}");
        assert!(text(&answer["error"], "message").contains(word), "{answer}");
    }
    let mut all = with("/instances/0/image", image.clone());
    all["instances"][0]["lastFrame"] = image;
    all["parameters"]["negativePrompt"] = json!("rain");
    all["parameters"]["seed"] = json!(4_294_967_295_u32);
    assert_eq!(made(&bench, CREATE, &all).send().await.unwrap().status(), 200);
    assert_eq!(bench.simulator.remote_jobs().unwrap().len(), 1);
}

#[tokio::test]
async fn calls_without_a_token_or_for_others_are_refused() {
    let bench = Bench::of(&CLIENT).await;
    let (code, answer) = bench.post(&format!("{MODEL}{CREATE}"), &order("a")).await;
    assert_eq!((code, &answer["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    let token = access(&bench, bench.clock.now().as_secs() + 60);
    for (path, code) in [
        (MODEL.replace("simulated-project", "other"), 403),
        (MODEL.replace("veo-3.1", "veo-2.0"), 404),
        (MODEL.replace("us-central1", "us-central1/x"), 404),
    ] {
        let call = bench.call(Method::POST, &format!("{path}{CREATE}")).bearer_auth(&token);
        assert_eq!(call.json(&order("a")).send().await.unwrap().status(), code, "{path}");
    }
    for (word, code, status) in [
        ("401", 401, "UNAUTHENTICATED"),
        ("403-balance", 402, "RESOURCE_EXHAUSTED"),
        ("422", 400, "INVALID_ARGUMENT"),
        ("429", 429, "RESOURCE_EXHAUSTED"),
        ("500", 500, "INTERNAL"),
        ("503", 503, "UNAVAILABLE"),
        ("policy", 400, "INVALID_ARGUMENT"),
    ] {
        let prompt = format!("a [[sim: create=refuse:{word}]]");
        let (given, answer) = read((CLIENT.create)(&bench, &prompt, None).send().await.unwrap()).await;
        assert_eq!((given, &answer["error"]["status"]), (code, &json!(status)), "{word}");
    }
    let unknown = json!({"operationName": format!("{}/operations/none", &MODEL[4..])});
    assert_eq!(read(made(&bench, FETCH, &unknown).send().await.unwrap()).await.0, 404);
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}
