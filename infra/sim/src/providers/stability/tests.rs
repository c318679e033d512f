use data_encoding::BASE64;
use domain::provider::Provider;
use futures_util::FutureExt;
use reqwest::multipart::Form;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;

use crate::frame::call::{CallKind, Fault};
use crate::frame::jobs::RemoteState;
use crate::test_bench::{Bench, Client, read};

/// It makes no videos and is not polled: only what a create needs is used of this.
static CLIENT: Client = Client {
    provider: Provider::Stability,
    wire: &super::Stability,
    headers: &[("Authorization", "Bearer sk-secret")],
    create: |bench, prompt, _| make(bench, "core", &[("prompt", prompt)]),
    poll: |bench, _| bench.call(Method::GET, "/v1/user/balance"),
    word: "",
    words: ["", "", ""],
    video: |_, _| async { String::new() }.boxed(),
};

type Texts<'a> = &'a [(&'a str, &'a str)];

fn make(bench: &Bench, generator: &str, texts: Texts<'_>) -> RequestBuilder {
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let form = texts.fold(Form::new(), |form, (name, text)| form.text(name, text));
    let path = format!("/v2beta/stable-image/generate/{generator}");
    bench.call(Method::POST, &path).header("Accept", "image/*").multipart(form)
}

async fn made(bench: &Bench, prompt: &str) -> Response {
    make(bench, "core", &[("prompt", prompt)]).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_image_is_the_answer_with_its_reason_and_seed() {
    let bench = Bench::of(&CLIENT).await;
    let texts = [("prompt", "a boat"), ("aspect_ratio", "16:9"), ("seed", "7"), ("output_format", "png")];
    for generator in ["core", "ultra", "sd3"] {
        let image = make(&bench, generator, &texts).send().await.unwrap();
        assert_eq!(image.status(), 200, "{generator}");
        assert_eq!(header(&image, "content-type"), "image/png");
        assert_eq!((header(&image, "finish-reason"), header(&image, "seed")), ("SUCCESS", "7"));
        assert!(image.bytes().await.unwrap().starts_with(b"\x89PNG"));
    }
    let jobs = bench.simulator.remote_jobs().unwrap();
    assert_eq!(jobs.len(), 3);
    assert!(jobs.iter().all(|job| job.state == RemoteState::Succeeded));
}

#[tokio::test]
async fn the_other_form_of_the_answer_is_json() {
    let bench = Bench::of(&CLIENT).await;
    let call = make(&bench, "ultra", &[("prompt", "a boat")]).build().unwrap();
    let mut call = call;
    call.headers_mut().insert("accept", "application/json".parse().unwrap());
    let (code, body) = read(bench.http.execute(call).await.unwrap()).await;
    assert_eq!((code, &body["finish_reason"]), (200, &json!("SUCCESS")));
    let image = BASE64.decode(body["image"].as_str().unwrap().as_bytes()).unwrap();
    assert!(image.starts_with(b"\x89PNG"));
}

#[tokio::test]
async fn what_is_no_good_form_is_refused_by_name() {
    let bench = Bench::of(&CLIENT).await;
    let long = "x".repeat(10_001);
    let cases: [(&str, Texts<'_>, &str); 9] = [
        ("core", &[], "prompt: is required"),
        ("core", &[("prompt", "")], "prompt: cannot be blank"),
        ("core", &[("prompt", &long)], "prompt: cannot be longer than 10000 characters"),
        ("ultra", &[("prompt", "a"), ("aspect_ratio", "4:3")], "aspect_ratio: must be one of"),
        ("ultra", &[("prompt", "a"), ("seed", "4294967295")], "seed: must be less than or equal to"),
        ("ultra", &[("prompt", "a"), ("seed", "one")], "seed: must be a integer"),
        ("sd3", &[("prompt", "a"), ("model", "sd4")], "model: must be one of"),
        ("sd3", &[("prompt", "a"), ("output_format", "webp")], "output_format: must be one of"),
        ("core", &[("prompt", "a [[sim: latncy=1]]")], "prompt: unknown directive latncy=1"),
    ];
    for (generator, texts, text) in cases {
        let (code, body) = read(make(&bench, generator, texts).send().await.unwrap()).await;
        assert_eq!((code, &body["name"]), (400, &json!("bad_request")), "{text}");
        assert!(body["errors"][0].as_str().unwrap().starts_with(text), "{text}: {body}");
    }
    let path = "/v2beta/stable-image/generate/core";
    let (code, body) = bench.post(path, &json!({"prompt": "a boat"})).await;
    assert_eq!((code, &body["errors"][0]), (400, &json!("content-type: must be multipart/form-data")));
    let form = Form::new().text("prompt", "a boat");
    let call = bench.call(Method::POST, path).header("Accept", "text/html").multipart(form);
    let (code, body) = read(call.send().await.unwrap()).await;
    assert_eq!((code, &body["name"]), (400, &json!("bad_request")));
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn it_refuses_in_its_own_words() {
    let bench = Bench::of(&CLIENT).await;
    for (play, code, name) in [
        ("401", 401, "unauthorized"),
        ("403-balance", 402, "payment_required"),
        ("422", 400, "bad_request"),
        ("429", 429, "rate_limit_exceeded"),
        ("500", 500, "internal_error"),
        ("503", 503, "service_unavailable"),
        ("policy", 403, "content_moderation"),
    ] {
        let prompt = format!("a [[sim: create=refuse:{play}, retry_after=60]]");
        let refused = made(&bench, &prompt).await;
        assert_eq!(header(&refused, "retry-after"), "60");
        let (status, body) = read(refused).await;
        assert_eq!((status, &body["name"]), (code, &json!(name)), "{play}");
    }
    assert!(bench.simulator.remote_jobs().unwrap().is_empty());
}

#[tokio::test]
async fn a_filtered_image_comes_with_success() {
    let bench = Bench::of(&CLIENT).await;
    let image = made(&bench, "a [[sim: fail=content_policy]]").await;
    assert_eq!((image.status().as_u16(), header(&image, "finish-reason")), (200, "CONTENT_FILTERED"));
    assert!(image.bytes().await.unwrap().starts_with(b"\x89PNG"));
    for (play, code) in [("internal", 500), ("invalid", 400), ("no_code", 500)] {
        let (status, body) = read(made(&bench, &format!("a [[sim: fail={play}]]")).await).await;
        assert_eq!((status, body["name"].is_string()), (code, play != "no_code"), "{play}");
    }
}

#[tokio::test]
async fn its_answer_is_spoilt_as_ordered() {
    let bench = Bench::of(&CLIENT).await;
    let whole = made(&bench, "a boat").await.bytes().await.unwrap();
    for play in ["unknown", "empty", "html", "junk", "truncated"] {
        let image = made(&bench, &format!("a boat [[sim: status={play}]]")).await;
        assert_eq!(image.status(), 200);
        let reason = header(&image, "finish-reason").to_owned();
        let bytes = image.bytes().await.unwrap();
        match play {
            "unknown" => assert_eq!((&*reason, &bytes), ("REHEARSING", &whole)),
            "empty" => assert!(bytes.is_empty()),
            "html" => assert!(bytes.starts_with(b"<!DOCTYPE html>") && reason.is_empty()),
            "junk" => assert!(bytes.len() >= 1 << 20),
            _ => assert_eq!(bytes, whole[..whole.len() / 2]),
        }
    }
}

#[tokio::test]
async fn its_wire_is_cut_and_a_slow_image_is_made_all_the_same() {
    let bench = Bench::of(&CLIENT).await;
    bench.simulator.cut(CallKind::Create, Fault::DropAfter);
    assert!(make(&bench, "core", &[("prompt", "a")]).send().await.is_err());
    assert!(make(&bench, "core", &[("prompt", "a [[sim: create=drop-before]]")]).send().await.is_err());
    assert_eq!(bench.simulator.remote_jobs().unwrap().len(), 1);
}

#[tokio::test]
async fn the_balance_needs_the_key_and_there_is_nothing_else() {
    let bench = Bench::of(&CLIENT).await;
    let (code, body) = bench.get("/v1/user/balance").await;
    assert_eq!((code, body["credits"].is_number()), (200, true));
    let url = format!("{}/v1/user/balance", bench.base);
    let (code, body) = read(bench.http.get(url).send().await.unwrap()).await;
    assert_eq!((code, &body["name"]), (401, &json!("unauthorized")));
    for gone in ["/v2beta/image-to-video", "/v2beta/stable-image/generate/xl", "/media/a.png"] {
        assert_eq!(bench.get(gone).await.0, 404, "{gone}");
    }
    let kinds: Vec<_> = bench.simulator.calls().iter().map(|call| call.kind).collect();
    assert_eq!(kinds[..3], [CallKind::Ping, CallKind::Ping, CallKind::Other]);
}
