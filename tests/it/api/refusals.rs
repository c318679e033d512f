//! Bad input gets its documented problem and changes nothing.

use domain::catalog::{Catalog, Kind};
use domain::provider::Provider;
use harness::{Answer, World};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Snapshot, assert_problem, assert_unchanged};

async fn submit(world: &World, body: &str) -> Answer {
    world.call(Method::POST, "/v1/jobs", &[("idempotency-key", "order-1")], Some(body)).await
}

/// Submits each body, and asserts that none of them changed anything: the key that they
/// all came under is still free for a good one.
async fn refuse(cases: Vec<(String, u16, &str, &str)>) {
    let world = World::new().await;
    let before = Snapshot::take(&world).await;
    for (body, status, code, detail) in cases {
        let answer = submit(&world, &body).await;
        let told = assert_problem(&answer, status, code);
        assert!(told.contains(detail), "{body}: {told}");
        let field = detail.split_once(": invalid").map(|(field, _)| field);
        if let Some(field) = field {
            assert_eq!(answer.text("/errors/0/field"), field, "{answer:?}");
        }
        assert_eq!(answer.body.get("errors").is_some(), code == "invalid_request", "{answer:?}");
    }
    assert_unchanged(&world, &before).await;
    let good = json!({"model": "pika-2.2", "prompt": "a boat"}).to_string();
    let good = submit(&world, &good).await;
    assert_eq!(good.status, 202, "{good:?}");
    assert!(!good.headers.contains_key("idempotent-replayed"));
}

#[tokio::test]
async fn a_body_that_is_no_json_is_malformed() {
    let texts = ["", " ", "{", "nonsense", r#"{"model": "pika-2.2", "prompt": "a b"#, r#"{"a": 1} {"b": 2}"#];
    refuse(texts.map(|text| (text.to_owned(), 400, "malformed_json", "line 1")).into()).await;
}

#[tokio::test]
async fn a_wrong_field_or_type_is_named() {
    let order = |field: &str, value: Value| {
        let mut order = json!({"model": "pika-2.2", "prompt": "a boat"});
        order[field] = value;
        order.to_string()
    };
    let cases = [
        (order("colour", json!(1)), "unknown field `colour`"),
        (order("Prompt", json!("b")), "unknown field `Prompt`"),
        (order("duration_s", json!("5")), "duration_s: invalid type"),
        (order("duration_s", json!(5.5)), "duration_s: invalid type"),
        (order("duration_s", json!(-5)), "duration_s: invalid value"),
        (order("seed", json!(1_u64 << 32)), "seed: invalid value"),
        (order("audio", json!("yes")), "audio: invalid type"),
        (
            order("provider", json!("sora")),
            "provider: unknown variant `sora`, expected one of `fal`, `runway`, ",
        ),
        (order("metadata", json!({"order": 7})), "metadata.order: invalid type"),
        (order("fallback_models", json!("veo-3.1")), "fallback_models: invalid type"),
        (order("prompt", Value::Null), "prompt: invalid type"),
        (r#"{"prompt": "a"}"#.to_owned(), "missing field `model`"),
        (r#"{"model": "pika-2.2"}"#.to_owned(), "missing field `prompt`"),
        (r#"{"model": "a", "model": "b", "prompt": "c"}"#.to_owned(), "duplicate field `model`"),
        ("[]".to_owned(), "body: invalid"),
        ("null".to_owned(), "body: invalid"),
    ];
    refuse(cases.map(|(body, detail)| (body, 422, "invalid_request", detail)).into()).await;
}

#[tokio::test]
async fn a_body_over_256_kb_is_too_large() {
    let sized = |bytes: usize| {
        let empty = json!({"model": "pika-2.2", "prompt": ""}).to_string();
        json!({"model": "pika-2.2", "prompt": "x".repeat(bytes - empty.len())}).to_string()
    };
    refuse(vec![(sized(256_001), 413, "body_too_large", "256000 bytes")]).await;
    // Of exactly 256 kB it is read, and refused for what it says.
    let world = World::new().await;
    assert_problem(&submit(&world, &sized(256_000)).await, 422, "invalid_request");
}

#[tokio::test]
async fn a_body_that_is_no_text_is_malformed() {
    let world = World::new().await;
    let before = Snapshot::take(&world).await;
    let sent = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/jobs", world.stack.api_url);
    let sent =
        sent.post(url).bearer_auth(&world.key).body(vec![b'"', 0xff, 0xfe, b'"']).send().await.unwrap();
    let (status, headers) = (sent.status(), sent.headers().clone());
    assert_problem(&Answer { status, headers, body: sent.json().await.unwrap() }, 400, "malformed_json");
    assert_unchanged(&world, &before).await;
}

#[tokio::test]
async fn a_value_that_no_route_takes_is_answered_with_those_that_are() {
    let world = World::new().await;
    let before = Snapshot::take(&world).await;
    let catalog = Catalog::for_providers(Provider::ALL);
    let all: Vec<_> = catalog.models().map(|model| model.name.as_str()).collect();
    let films = catalog.models().filter(|model| model.kind == Kind::Video);
    let films: Vec<_> = films.map(|model| model.name.as_str()).collect();
    let none: [&str; 0] = [];
    let cases = [
        (json!({"model": "sora-9"}), "model", &all[..]),
        (json!({"model": "PIKA-2.2"}), "model", &all[..]),
        (json!({"model": "pika-2.2", "fallback_models": ["sora-9"]}), "fallback_models", &films[..]),
        (json!({"model": "pika-2.2", "duration_s": 7}), "duration_s", &["5", "10"]),
        (json!({"model": "veo-3.1", "duration_s": 0}), "duration_s", &["4", "6", "8"]),
        (json!({"model": "gen-4.5", "aspect_ratio": "1:1"}), "aspect_ratio", &["16:9", "9:16"]),
        (json!({"model": "pika-2.2", "resolution": "4k"}), "resolution", &["1080p", "720p"]),
        (json!({"model": "pika-2.2", "audio": true}), "audio", &["false"]),
        (json!({"model": "pika-2.2", "provider": "runway", "pin": true}), "provider", &["fal"]),
        (json!({"model": "gen-4.5", "prompt": "x".repeat(1_001)}), "prompt", &["1000"]),
        (json!({"model": "gen-4.5", "negative_prompt": "fog"}), "negative_prompt", &none),
        (json!({"model": "pika-2.2", "image_url": "http://example.com/a.png"}), "image_url", &none),
        (json!({"model": "pika-2.2", "callback_url": "ftp://example.com"}), "callback_url", &none),
        (json!({"model": "pika-2.2", "prompt": " \n"}), "prompt", &none),
        (json!({"model": "pika-2.2", "fps": 24}), "fps", &none),
        (json!({"model": "pika-2.2", "pin": true}), "pin", &none),
        (json!({"model": "pika-2.2", "metadata": {"": "a"}}), "metadata", &none),
        (json!({"model": "pika-2.2", "fallback_models": vec!["veo-3.1"; 5]}), "fallback_models", &none),
    ];
    for (mut order, field, allowed) in cases {
        if order.get("prompt").is_none() {
            order["prompt"] = json!("a boat");
        }
        let answer = submit(&world, &order.to_string()).await;
        assert_problem(&answer, 422, "invalid_request");
        assert_eq!(answer.text("/errors/0/field"), field, "{order}: {answer:?}");
        assert!(!answer.text("/errors/0/detail").is_empty(), "{answer:?}");
        let told = answer.body.pointer("/errors/0/allowed").cloned();
        assert_eq!(told, (!allowed.is_empty()).then(|| json!(allowed)), "{order}: {answer:?}");
        assert_eq!(answer.body.pointer("/errors/1"), None, "{order}: {answer:?}");
    }
    assert_unchanged(&world, &before).await;
}

#[tokio::test]
async fn every_wrong_value_of_an_order_is_told_at_once() {
    let world = World::new().await;
    let order = json!({"model": "gen-4.5", "prompt": " ", "duration_s": 40, "resolution": "8k", "fps": 60});
    let answer = submit(&world, &order.to_string()).await;
    assert_problem(&answer, 422, "invalid_request");
    let fields: Vec<&str> =
        (0..4).map(|n| answer.body["errors"][n]["field"].as_str().unwrap_or_default()).collect();
    assert_eq!(fields, ["prompt", "fps", "duration_s", "resolution"]);
}

#[tokio::test]
async fn a_model_that_needs_an_image_says_so_first() {
    let world = World::new().await;
    let answer = submit(&world, r#"{"model": "gen-4-turbo", "prompt": "a boat"}"#).await;
    assert_problem(&answer, 422, "invalid_request");
    assert_eq!(answer.text("/errors/0/field"), "image_url", "{answer:?}");
}

#[tokio::test]
async fn a_bad_idempotency_key_is_refused() {
    let world = World::new().await;
    let before = Snapshot::take(&world).await;
    let body = json!({"model": "pika-2.2", "prompt": "a boat"}).to_string();
    let long = "x".repeat(256);
    for key in ["\"\"", " ", "a\"b", "\"a\\b\"", "schlüssel", "a\tb", &long] {
        let headers = [("idempotency-key", key)];
        let answer = world.call(Method::POST, "/v1/jobs", &headers, Some(&body)).await;
        assert_problem(&answer, 400, "invalid_idempotency_key");
    }
    let twice = [("idempotency-key", "\"a\""), ("idempotency-key", "\"b\"")];
    let answer = world.call(Method::POST, "/v1/jobs", &twice, Some(&body)).await;
    assert_problem(&answer, 400, "invalid_idempotency_key");
    assert_unchanged(&world, &before).await;
}

#[tokio::test]
async fn an_api_version_that_does_not_exist_is_refused_everywhere() {
    let world = World::new().await;
    let before = Snapshot::take(&world).await;
    let job = "/v1/jobs/job_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let cancel = format!("{job}/cancel");
    let calls = [
        (Method::POST, "/v1/jobs"),
        (Method::GET, "/v1/jobs"),
        (Method::GET, job),
        (Method::POST, &cancel),
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1/providers"),
        (Method::GET, "/v1/account"),
    ];
    for (method, path) in calls {
        for version in ["2020-01-01", "latest"] {
            let answer = world.call(method.clone(), path, &[("genmux-version", version)], None).await;
            let detail = assert_problem(&answer, 400, "unknown_version");
            assert!(detail.contains("2026-11-22"), "{detail}");
        }
    }
    assert_unchanged(&world, &before).await;
    let known = world.call(Method::GET, "/v1/models", &[("genmux-version", "2026-11-22")], None).await;
    assert_eq!(known.status, 200);
}

#[tokio::test]
async fn a_preference_that_cannot_be_read_is_ignored() {
    let world = World::new().await;
    let id = world.submit("pika-2.2", "a boat", "one").await;
    for wait in ["wait=soon", "wait=", "wait=-1", "wait=1.5", "wait", "foo=\"a, wait=9"] {
        let answer = world.call(Method::GET, &format!("/v1/jobs/{id}"), &[("prefer", wait)], None).await;
        assert_eq!(answer.status, 200, "{wait}: {answer:?}");
        assert_eq!(answer.headers.get("preference-applied"), None, "{wait}");
    }
}

#[tokio::test]
async fn a_method_or_path_that_is_no_route_gets_a_problem_document() {
    let world = World::new().await;
    let before = Snapshot::take(&world).await;
    let calls = [
        (Method::GET, "/nothing", None),
        (Method::GET, "/v1", None),
        (Method::GET, "/v1/nothing", None),
        (Method::GET, "/v2/jobs", None),
        (Method::GET, "/v1/jobs/", None),
        (Method::DELETE, "/v1/jobs", Some("GET, POST")),
        (Method::PUT, "/v1/jobs", Some("GET, POST")),
        (Method::HEAD, "/v1/models", Some("GET")),
        (Method::POST, "/v1/account", Some("GET")),
        (Method::GET, "/v1/webhooks/fal/token", Some("POST")),
    ];
    for (method, path, allow) in calls {
        let answer = world.call(method.clone(), path, &[], None).await;
        let (status, code) = if allow.is_some() { (405, "method_not_allowed") } else { (404, "not_found") };
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(
            answer.headers.get("allow").map(|value| value.to_str().unwrap()),
            allow,
            "{method} {path}"
        );
        // An answer to HEAD has no body, and so no type of it.
        if method != Method::HEAD {
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{method} {path}");
            assert_eq!(answer.code(), code, "{method} {path}: {answer:?}");
            assert_eq!(answer.text("/request_id"), answer.headers["x-request-id"], "{method} {path}");
        }
    }
    assert_unchanged(&world, &before).await;
}
