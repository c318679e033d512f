//! An object in a body is an object: a list of its values, which serde would read by position, is refused.

use std::collections::BTreeSet;

use domain::time::Timestamp;
use harness::World;
use reqwest::Method;
use serde_json::{Value, json};

use super::schema::Document;

const URL: &str = "https://example.com/a.png";

/// A good body of each operation that takes JSON, with every object that it may have.
fn bodies(endpoint: &str, now: Timestamp) -> Vec<(&'static str, String, Value)> {
    let sha256 = "0".repeat(64);
    let order = json!({
        "model": "veo-3.1", "prompt": "a boat", "metadata": {"order": "7"},
        "image": {"url": URL}, "last_frame": {"url": URL},
    });
    let file = json!({"type": "url", "url": URL});
    let start = json!({
        "prompt": "a boat", "image": file, "providerOptions": {"genmux": {"metadata": {"order": "7"}}},
        "frameImages": [{"image": file, "frameType": "first_frame"}, {"image": file, "frameType": "last_frame"}],
    });
    let upload = json!({"content_type": "image/png", "bytes": 7, "sha256": sha256});
    let video = json!({"model": "veo-3.1", "prompt": "a boat", "input_reference": {"image_url": URL}});
    let topup = json!({"amount": 1_000, "currency": "USD", "processor": "stripe", "return_url": URL});
    let new = json!({"url": "https://example.com/hook", "types": ["job.*"]});
    let at = |rest: &str| format!("/v1/endpoints/{endpoint}{rest}");
    let all = [
        ("POST /v1/jobs", "/v1/jobs".to_owned(), order.clone()),
        ("POST /v1/quotes", "/v1/quotes".to_owned(), order),
        ("POST /v1/uploads", "/v1/uploads".to_owned(), upload),
        ("POST /v1/videos", "/v1/videos".to_owned(), video),
        ("POST /v1/ai/video-model/start", "/v1/ai/video-model/start".to_owned(), start),
        (
            "POST /v1/ai/video-model/status",
            "/v1/ai/video-model/status".to_owned(),
            json!({"operation": {"id": "job_aaaaaaaaaaaaaaaaaaaaaaaaaa"}}),
        ),
        ("POST /v1/topups", "/v1/topups".to_owned(), topup),
        ("POST /v1/endpoints", "/v1/endpoints".to_owned(), new),
        ("PATCH /v1/endpoints/{id}", at(""), json!({"description": "a"})),
        ("POST /v1/endpoints/{id}/secret/rotate", at("/secret/rotate"), json!({"grace_s": 0})),
        ("POST /v1/endpoints/{id}/recover", at("/recover"), json!({"since": now.to_string()})),
        (
            "POST /v1/events/{id}/redeliver",
            "/v1/events/evt_aaaaaaaaaaaaaaaaaaaaaaaaaa/redeliver".to_owned(),
            json!({"endpoint": endpoint}),
        ),
    ];
    all.into()
}

/// Every order of these values.
fn orders(values: &[Value]) -> Vec<Vec<Value>> {
    if values.is_empty() {
        return vec![Vec::new()];
    }
    let with = |at: usize| {
        let mut rest = values.to_vec();
        let first = rest.remove(at);
        orders(&rest).into_iter().map(move |rest| [vec![first.clone()], rest].concat())
    };
    (0..values.len()).flat_map(with).collect()
}

/// The body with one of its objects as a list of its values, in each order, for each object.
fn listed(body: &Value) -> Vec<Value> {
    let inside =
        |child: &Value, put: &dyn Fn(Value) -> Value| listed(child).into_iter().map(put).collect::<Vec<_>>();
    match body {
        Value::Object(members) => {
            let values: Vec<_> = members.values().cloned().collect();
            let mut all: Vec<_> = orders(&values).into_iter().map(Value::Array).collect();
            for (name, child) in members {
                all.extend(inside(child, &|child| {
                    let mut whole = body.clone();
                    whole[name] = child;
                    whole
                }));
            }
            all
        }
        Value::Array(items) => {
            let each = items.iter().enumerate();
            let each = each.flat_map(|(at, child)| {
                inside(child, &|child| {
                    let mut whole = body.clone();
                    whole[at] = child;
                    whole
                })
            });
            each.collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_the_place_of_an_object_is_refused_everywhere() {
    let world = World::new().await;
    let new = json!({"url": "https://example.com/hook", "types": ["job.*"]}).to_string();
    let endpoint = world.call(Method::POST, "/v1/endpoints", &[], Some(&new)).await;
    let bodies = bodies(endpoint.text("/id"), world.clock.now());
    let document = Document::served(&world).await;
    let takes_json = |(name, operation): (String, &Value)| {
        let content = &document.resolve(&operation["requestBody"])["content"];
        content.get("application/json").is_some().then_some(name)
    };
    let described: BTreeSet<_> = document.operations().filter_map(takes_json).collect();
    assert_eq!(bodies.iter().map(|(route, ..)| (*route).to_owned()).collect::<BTreeSet<_>>(), described);
    for (route, path, body) in bodies {
        let method: Method = route.split(' ').next().unwrap().parse().unwrap();
        let send = async |body: &Value| {
            let headers = [("ai-model-id", "veo-3.1")];
            world.call(method.clone(), &path, &headers, Some(&body.to_string())).await
        };
        let good = send(&body).await;
        assert!(good.status.is_success() || good.status == 404, "{route} {body}: {good:?}");
        for body in listed(&body) {
            let refused = send(&body).await;
            assert!(matches!(refused.status.as_u16(), 400 | 422), "{route} {body}: {refused:?}");
        }
    }
    assert_eq!(world.books().await.jobs.len(), 3);
}
